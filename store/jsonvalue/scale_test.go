package jsonvalue

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// Inputs that make careless parsers slow or large. Each must come out right
// with memory that is a small multiple of the input; a quadratic step would
// show as a test that does not end.
func TestLargeInputs(t *testing.T) {
	const size = 2 << 20
	objectOf := func(key func(i int) string) []byte {
		var b bytes.Buffer
		b.WriteByte('{')
		for i := 0; b.Len() < size; i++ {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `"%s":0`, key(i))
		}
		b.WriteByte('}')
		return b.Bytes()
	}
	fill := func(s string) string { return strings.Repeat(s, size/len(s)) }
	deep := func(before, after string) []byte {
		return []byte(strings.Repeat(before, 126) + `"` + fill("x") + `"` + strings.Repeat(after, 126))
	}
	for _, c := range []struct {
		name string
		in   []byte
		most int // bytes allocated for each byte of input
	}{
		{"string", []byte(`"` + fill("x") + `"`), 2},
		{"string of escapes", []byte(`"` + fill(`\u0041`) + `"`), 2},
		{"string of backslashes", []byte(`"` + fill(`\\`) + `"`), 2},
		{"key", []byte(`{"` + fill("x") + `":1}`), 2},
		{"equal long keys", []byte(`{"` + fill("x") + `":1,"` + fill("x") + `":2}`), 3},
		{"number", []byte("0." + fill("3")), 3},
		{"number of zeros", []byte("-0." + fill("0")), 3},
		{"exponent of zeros", []byte("1e" + fill("0")), 5},
		{"whitespace", []byte(fill(" \n") + "0"), 2},
		{"array", []byte("[" + fill("0,") + "0]"), 2},
		{"floats that grow", []byte("[" + fill("1e15,") + "0]"), 16},
		{"empty objects", []byte("[" + fill("{},") + "{}]"), 2},
		{"keys ascending", objectOf(func(i int) string { return fmt.Sprintf("%07d", i) }), 20},
		{"keys descending", objectOf(func(i int) string { return fmt.Sprintf("%07d", 9999999-i) }), 25},
		{"keys mixed", objectOf(func(i int) string { return fmt.Sprintf("%07d", i*7919%9999991) }), 25},
		{"keys equal", objectOf(func(int) string { return "" }), 40},
		{"keys two", objectOf(func(i int) string { return string(rune('a' + i%2)) }), 40},
		{"keys escaped", objectOf(func(i int) string { return fmt.Sprintf(`\n%06d`, 999999-i%999999) }), 25},
		{"deep, out of order at each level", deep(`{"b":`, `,"a":0}`), 6},
		{"deep, large part last", deep(`{"b":0,"a":`, `}`), 6},
		{"deep, replaced at each level", deep(`{"a":`, `,"a":0}`), 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			out, err := Canonical(c.in, MaxDepth)
			runtime.ReadMemStats(&after)
			if err != nil {
				t.Fatal(err)
			}
			allocated := after.TotalAlloc - before.TotalAlloc
			t.Logf("%.1f bytes allocated for each byte of input", float64(allocated)/float64(len(c.in)))
			if allocated > uint64(c.most)*uint64(len(c.in)) {
				t.Errorf("%d bytes allocated for an input of %d", allocated, len(c.in))
			}
			again, err := AppendCanonical(nil, out, MaxDepth)
			if err != nil || !bytes.Equal(again, out) {
				t.Errorf("the result is not canonical: %v", err)
			}
			pretty := AppendIndent(nil, out, 0)
			back, err := AppendCanonical(nil, pretty, MaxDepth)
			if err != nil || !bytes.Equal(back, out) {
				t.Errorf("the pretty form reads back differently: %v", err)
			}
		})
	}
}

// Refusing a large document costs no more than reading it.
func TestLargeRefusals(t *testing.T) {
	fill := strings.Repeat("x", 2<<20)
	for _, in := range []string{
		`"` + fill, `"` + fill + "\x01", `"` + fill + `\ud800"`, `{"` + fill + `":1,}`, `["` + fill + `"] x`,
		strings.Repeat("[", 4<<20), strings.Repeat(`{"a":`, 1<<20), "1" + strings.Repeat("0", 4<<20),
		"-" + fill, strings.Repeat("\n", 4<<20),
	} {
		if out, err := AppendCanonical(nil, []byte(in), MaxDepth); err == nil {
			t.Errorf("%.20s…: accepted as %.20s…", in, out)
		} else if len(err.Error()) > 200 {
			t.Errorf("%.20s…: the message has %d bytes", in, len(err.Error()))
		}
	}
}

// Scanning allocates by the document, not by the token.
func TestAllocations(t *testing.T) {
	src := AppendIndent(nil, manifest(4<<10), 0)
	compact := manifest(4 << 10)
	dst := make([]byte, 0, 2*len(src))
	for name, f := range map[string]func(){
		"AppendCanonical": func() { AppendCanonical(dst, src, MaxDepth) },
		"AppendCompact":   func() { AppendCompact(dst, src, MaxDepth) },
		"AppendIndent":    func() { AppendIndent(dst, compact, 0) },
		"AppendString":    func() { AppendString(dst, "a\nb") },
		"Scanner": func() {
			s := NewScanner(src)
			s.EnterObject()
			for s.NextKey() {
				s.AppendValue(dst)
			}
			if s.End() != nil {
				panic(s.Err())
			}
		},
	} {
		// The pool may have been emptied meanwhile, hence not zero; the
		// document has hundreds of tokens.
		if n := testing.AllocsPerRun(100, f); n > 20 {
			t.Errorf("%s: %.0f allocations", name, n)
		}
	}
}
