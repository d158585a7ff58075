package jsonvalue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestCanonical(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"null", "null"},
		{"true", "true"},
		{"false", "false"},
		{" \t\r\n null \t\r\n ", "null"},
		{"[]", "[]"},
		{"{}", "{}"},
		{"[ \n ]", "[]"},
		{"{ \n }", "{}"},
		{"[ 1 , \"a\" ,\tnull,{},[ ] ]", `[1,"a",null,{},[]]`},
		{"{ \"a\" : 1 ,\r\n\"b\" :\t2 }", `{"a":1,"b":2}`},
		// Keys in the order of their bytes, whatever level they are on.
		{`{"b":1,"a":2}`, `{"a":2,"b":1}`},
		{`{"b":{"d":1,"c":2},"a":[{"f":1,"e":2}]}`, `{"a":[{"e":2,"f":1}],"b":{"c":2,"d":1}}`},
		{`{"a":1,"A":2,"":3,"ab":4,"é":5,"😀":6,"` + "\uffff" + `":7}`, `{"":3,"A":2,"a":1,"ab":4,"é":5,"` + "\uffff" + `":7,"😀":6}`},
		// Escaped keys order as what they mean, not as they are written.
		{`{"]":1,"\\":2,"[":3}`, `{"[":3,"\\":2,"]":1}`},
		{`{"!":1,"\"":2,"#":3}`, `{"!":1,"\"":2,"#":3}`},
		{`{" ":1,"\u001f":2}`, `{"\u001f":2," ":1}`},
		{`{"\n":1,"\t":2,"\u0000":3,"\u000b":4}`, `{"\u0000":3,"\t":2,"\n":1,"\u000b":4}`},
		{`{"a\nb":1,"a\n":2,"a":3,"a\n\u0000":4}`, `{"a":3,"a\n":2,"a\n\u0000":4,"a\nb":1}`},
		{`{"\u0062":1,"a":2}`, `{"a":2,"b":1}`},
		{`{"\u00e9":1,"z":2}`, `{"z":2,"é":1}`},
		{`{"z":0,"\\a":1,"z\\":2}`, `{"\\a":1,"z":0,"z\\":2}`},
		// Of equal keys the last wins.
		{`{"a":1,"a":2}`, `{"a":2}`},
		{`{"a":1,"b":{"x":1},"a":[2],"b":{}}`, `{"a":[2],"b":{}}`},
		{`{"a":1,"\u0061":2}`, `{"a":2}`},
		{`{"\u0061":1,"a":2,"\u0061":3}`, `{"a":3}`},
		{`{"\n":1,"\u000a":2}`, `{"\n":2}`},
		{`{"x":{"a":1,"a":2},"a":{"a":1,"a":2}}`, `{"a":{"a":2},"x":{"a":2}}`},
		{`{"a":1,"a":2,"b":3,"b":4}`, `{"a":2,"b":4}`},
		// Strings.
		{`"\"\\\/\b\f\n\r\t"`, `"\"\\/\b\f\n\r\t"`},
		{`"\u0000\u0008\u0009\u000a\u000B\u000c\u000d\u001F"`, `"\u0000\b\t\n\u000b\f\r\u001f"`},
		{`"\u0020\u0022\u005c\u002f\u007f\u0080\u07ff\u0800\uFFFF"`, "\" \\\"\\\\/\x7f\u0080\u07ff\u0800\uffff\""},
		{`"\ud83d\ude00\uD800\uDC00\udbff\udfff"`, "\"😀\U00010000\U0010ffff\""},
		{"\"<>&\u2028\u2029\x7f\ufeff\ufffd\"", "\"<>&\u2028\u2029\x7f\ufeff\ufffd\""},
		{`"日本\n語"`, `"日本\n語"`},
		{`"\\u0041"`, `"\\u0041"`},
	} {
		out, err := Canonical([]byte(c.in), MaxDepth)
		if err != nil || string(out) != c.want {
			t.Errorf("%s\n got %s, %v\nwant %s", c.in, out, err, c.want)
			continue
		}
		if ref := reference(t, []byte(c.in)); ref != c.want {
			t.Errorf("%s: the reference says %s", c.in, ref)
		}
		if again, err := AppendCanonical(nil, out, MaxDepth); err != nil || !bytes.Equal(again, out) {
			t.Errorf("%s became %s, %v", out, again, err)
		}
		if !json.Valid(out) {
			t.Errorf("encoding/json refuses %s", out)
		}
	}
}

func TestCompactKeepsWhatIsWritten(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{" { \"b\" : 1e2 ,\n\"a\" : [ -0 , 1.50, 1E+2, 18446744073709551616 ] , \"b\" : null } ", `{"b":1e2,"a":[-0,1.50,1E+2,18446744073709551616],"b":null}`},
		{"[\"\\u0041\\/\", \"a  b\", \"\\\\\" ]", `["\u0041\/","a  b","\\"]`},
		{"{ }", "{}"},
		{"{\"\\u0061\" : true, \"a\" : false}", `{"\u0061":true,"a":false}`},
	} {
		out, err := AppendCompact([]byte("log:"), []byte(c.in), MaxDepth)
		if err != nil || string(out) != "log:"+c.want {
			t.Errorf("%s: got %s, %v", c.in, out, err)
		}
	}
}

// nested returns n containers around a zero, objects and arrays in turn.
func nested(n int) []byte {
	doc := []byte("0")
	for i := range n {
		if i%2 == 0 {
			doc = fmt.Appendf(nil, "[%s]", doc)
		} else {
			doc = fmt.Appendf(nil, `{"a":%s}`, doc)
		}
	}
	return doc
}

func TestDepth(t *testing.T) {
	for _, c := range []struct {
		containers, maxDepth int
		ok                   bool
	}{
		{0, 0, true}, {1, 0, false}, {1, 1, true}, {2, 1, false}, {0, -1, true}, {1, -5, false},
		{126, 126, true}, {127, 126, false}, {127, 127, true}, {128, 127, false},
		{128, 128, false}, {128, 1 << 40, false}, {100_000, 1 << 40, false},
	} {
		doc := nested(min(c.containers, 500))
		if c.containers > 500 {
			doc = bytes.Repeat([]byte("["), c.containers)
		}
		for name, convert := range map[string]func(dst, src []byte, maxDepth int) ([]byte, error){
			"canonical": AppendCanonical, "compact": AppendCompact,
		} {
			out, err := convert(nil, doc, c.maxDepth)
			if (err == nil) != c.ok {
				t.Errorf("%s: %d containers of %d: %v", name, c.containers, c.maxDepth, err)
			}
			if c.ok && !bytes.Equal(out, doc) {
				t.Errorf("%s: %s became %s", name, doc, out)
			}
		}
	}
	// Containers beside each other are not nested.
	wide := []byte("[" + strings.Repeat(`[],{},`, 1000) + "[]]")
	if out, err := Canonical(wide, 2); err != nil || !bytes.Equal(out, wide) {
		t.Errorf("%v", err)
	}
}

func TestAppendLeavesDstAlone(t *testing.T) {
	buf := make([]byte, 4, 100)
	copy(buf, "head")
	for _, convert := range []func(dst, src []byte, maxDepth int) ([]byte, error){AppendCanonical, AppendCompact} {
		out, err := convert(buf, []byte(` {"b":1, "a":2}`), MaxDepth)
		if err != nil || !strings.HasPrefix(string(out), `head{"`) {
			t.Errorf("got %s, %v", out, err)
		}
		for _, bad := range []string{`{"b":1,"a":2,}`, `{"b":1} x`} {
			out, err = convert(buf, []byte(bad), MaxDepth)
			if err == nil || string(out) != "head" {
				t.Errorf("after an error: %q, %v", out, err)
			}
		}
	}
	src := []byte(`{"a":1}`)
	out, err := Canonical(src, MaxDepth)
	if err != nil {
		t.Fatal(err)
	}
	src[2] = 'x'
	if string(out) != `{"a":1}` {
		t.Errorf("the result shares memory with the source: %s", out)
	}
	if out, err := Canonical([]byte("[1,"), MaxDepth); err == nil || out != nil {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestErrorsAreSyntaxErrors(t *testing.T) {
	_, err := Canonical([]byte("[1,\n 2,,]"), MaxDepth)
	var syntax *SyntaxError
	if !errors.As(fmt.Errorf("reading: %w", err), &syntax) {
		t.Fatalf("%T", err)
	}
	if want := (SyntaxError{Offset: 7, Line: 2, Column: 4, Msg: "expected a value, found ','"}); *syntax != want {
		t.Errorf("got %+v", *syntax)
	}
	if got, want := err.Error(), "line 2 column 4: expected a value, found ','"; got != want {
		t.Errorf("got %s", got)
	}
}

// Random documents against the reference.
func TestRandomDocuments(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	words := []string{"", "a", "b", "ab", "a b", `"`, `\`, "\n", "\x00", "é", "日", "😀", "\x1f", " ", "#", "[", "]"}
	word := func() string {
		var b strings.Builder
		for range random.IntN(3) {
			b.WriteString(words[random.IntN(len(words))])
		}
		if random.IntN(2) == 0 {
			out, _ := json.Marshal(b.String())
			return string(out)
		}
		return string(AppendString(nil, b.String()))
	}
	spaces := []string{"", "", " ", "\n", "\t", "\r\n", "                   "}
	space := func() string { return spaces[random.IntN(len(spaces))] }
	var value func(depth int) string
	value = func(depth int) string {
		kinds := 8
		if depth == 0 {
			kinds = 6
		}
		switch random.IntN(kinds) {
		case 0:
			return "null"
		case 1:
			return []string{"true", "false"}[random.IntN(2)]
		case 2, 3:
			return word()
		case 4:
			return fmt.Sprint(random.IntN(2000) - 1000)
		case 5:
			return fmt.Sprintf("%d.%de%d", random.IntN(100), random.IntN(1e9), random.IntN(60)-30)
		case 6:
			var elems []string
			for range random.IntN(5) {
				elems = append(elems, space()+value(depth-1)+space())
			}
			return "[" + strings.Join(elems, ",") + "]"
		default:
			var members []string
			for range random.IntN(8) {
				members = append(members, space()+word()+space()+":"+space()+value(depth-1)+space())
			}
			return "{" + strings.Join(members, ",") + "}"
		}
	}
	for range 20_000 {
		doc := []byte(space() + value(5) + space())
		out, err := Canonical(doc, MaxDepth)
		if err != nil {
			t.Fatalf("%q: %v", doc, err)
		}
		if want := reference(t, doc); string(out) != want {
			t.Fatalf("%q\n got %s\nwant %s", doc, out, want)
		}
		compact, err := AppendCompact(nil, doc, MaxDepth)
		if err != nil {
			t.Fatalf("%q: %v", doc, err)
		}
		var want bytes.Buffer
		if err := json.Compact(&want, doc); err != nil || !bytes.Equal(compact, want.Bytes()) {
			t.Fatalf("%q\n got %s\nwant %s, %v", doc, compact, &want, err)
		}
	}
}

// Keys in any order give the same bytes.
func TestKeyOrderDoesNotMatter(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	var keys []string
	for i := range 300 {
		keys = append(keys, fmt.Sprintf("key\n%d", i/2*7), fmt.Sprintf("k%d", i))
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	document := func() []byte {
		doc := []byte{'{'}
		for i, k := range keys {
			if i > 0 {
				doc = append(doc, ',')
			}
			doc = append(AppendString(doc, k), ':')
			doc = AppendString(doc, strings.ToUpper(k))
		}
		return append(doc, '}')
	}
	want := document()
	for range 20 {
		random.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		out, err := Canonical(document(), MaxDepth)
		if err != nil || !bytes.Equal(out, want) {
			t.Fatalf("got %s, %v", out, err)
		}
	}
}
