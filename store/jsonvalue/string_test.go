package jsonvalue

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAppendString(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", `""`},
		{"plain", `"plain"`},
		{"\"\\/", `"\"\\/"`},
		{"\x00\x01\b\t\n\v\f\r\x1e\x1f \x7f", "\"\\u0000\\u0001\\b\\t\\n\\u000b\\f\\r\\u001e\\u001f \x7f\""},
		{"<>&\u2028\u2029é😀", "\"<>&\u2028\u2029é😀\""},
		{"end\n", `"end\n"`},
	} {
		got := AppendString([]byte("x"), c.in)
		if string(got) != "x"+c.want {
			t.Errorf("%q: got %s", c.in, got)
		}
	}
}

// Each character, raw and in each escaped spelling, at each offset within the
// eight bytes that are scanned at once.
func TestEveryCharacter(t *testing.T) {
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if r > 0x3000 && r%251 != 0 && (r < 0xd700 || r > 0x10040) {
			continue
		}
		if !utf8.ValidRune(r) {
			continue
		}
		pad := strings.Repeat("x", int(r%9))
		want := AppendString(nil, pad+string(r)+pad)
		spellings := []string{pad + string(r) + pad}
		if r < 0x20 || r == '"' || r == '\\' {
			spellings = nil
		}
		if r < 0x10000 {
			spellings = append(spellings, fmt.Sprintf(`%s\u%04x%s`, pad, r, pad), fmt.Sprintf(`%s\u%04X%s`, pad, r, pad))
		} else {
			high, low := (r-0x10000)>>10+0xd800, (r-0x10000)&0x3ff+0xdc00
			spellings = append(spellings, fmt.Sprintf(`%s\u%04x\u%04X%s`, pad, high, low, pad))
		}
		for _, s := range spellings {
			literal := `"` + s + `"`
			out, err := AppendCanonical(nil, []byte(literal), 0)
			if err != nil || string(out) != string(want) {
				t.Fatalf("%s: got %s, %v; want %s", literal, out, err, want)
			}
			var text string
			if err := json.Unmarshal(out, &text); err != nil || text != pad+string(r)+pad {
				t.Fatalf("%s reads back as %q, %v", out, text, err)
			}
		}
	}
}

// What is not plain is found wherever it is in eight bytes, whatever is beside
// it.
func TestPlainEnd(t *testing.T) {
	isPlain := func(c byte) bool { return ' ' <= c && c < 0x80 && c != '"' && c != '\\' }
	for c := range 256 {
		for _, beside := range []byte{' ', '!', '#', '[', ']', 'a', 0x7f} {
			for at := range 20 {
				src := []byte(strings.Repeat(string(rune(beside)), 20))
				src[at] = byte(c)
				want := at
				if isPlain(byte(c)) {
					want = len(src)
				}
				if got := plainEnd(src, 0); got != want {
					t.Fatalf("%q: got %d, want %d", src, got, want)
				}
				for after := range 256 {
					src[len(src)-1] = byte(after)
					want := 0
					for want < len(src) && isPlain(src[want]) {
						want++
					}
					if got := plainEnd(src, 0); got != want {
						t.Fatalf("%q: got %d, want %d", src, got, want)
					}
				}
			}
		}
	}
}
