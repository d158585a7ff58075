package jsonvalue

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestAppendIndent(t *testing.T) {
	for _, c := range []struct {
		in    string
		level int
		want  string
	}{
		{"null", 0, "null"},
		{"-1.5", 3, "-1.5"},
		{`"a,b:[{\"\\"`, 1, `"a,b:[{\"\\"`},
		{"[]", 0, "[]"},
		{"{}", 2, "{}"},
		{"[1,2]", 0, "[\n  1,\n  2\n]"},
		{`{"a":1,"b":[]}`, 0, "{\n  \"a\": 1,\n  \"b\": []\n}"},
		{`{"a":[{},[null]]}`, 1, "{\n    \"a\": [\n      {},\n      [\n        null\n      ]\n    ]\n  }"},
		{`["\\","\\\"","]"]`, 0, "[\n  \"\\\\\",\n  \"\\\\\\\"\",\n  \"]\"\n]"},
		{"[0]", 200, "[\n" + strings.Repeat("  ", 201) + "0\n" + strings.Repeat("  ", 200) + "]"},
	} {
		if got := string(AppendIndent([]byte("x"), []byte(c.in), c.level)); got != "x"+c.want {
			t.Errorf("%s at %d: got\n%s\nwant\n%s", c.in, c.level, got, c.want)
		}
	}
}

// encoding/json lays canonical values out alike.
func TestAppendIndentAgainstEncodingJSON(t *testing.T) {
	for _, src := range [][]byte{manifest(4 << 10), nested(MaxDepth), nested(MaxDepth - 1), []byte(`{"a":{},"b":[[],[{}]],"c":"\\\""}`)} {
		for _, level := range []int{0, 1, 5} {
			var want bytes.Buffer
			if err := json.Indent(&want, src, strings.Repeat("  ", level), "  "); err != nil {
				t.Fatal(err)
			}
			got := AppendIndent(nil, src, level)
			if !bytes.Equal(got, want.Bytes()) {
				t.Errorf("level %d: got\n%s\nwant\n%s", level, got, &want)
			}
			back, err := AppendCanonical(nil, got, MaxDepth)
			if err != nil || !bytes.Equal(back, src) {
				t.Errorf("level %d: reads back as %s, %v", level, back, err)
			}
		}
	}
}

// A caller that breaks the precondition gets nonsense, not a panic.
func TestAppendIndentOfNonsense(t *testing.T) {
	for _, in := range []string{"", "]", "]]]]}}", "[", "{", `"`, `"\`, `"\"`, "[,", ":", ",", "[}", "x", "[1,"} {
		AppendIndent(nil, []byte(in), 0)
		AppendIndent(nil, []byte(in), -3)
	}
}
