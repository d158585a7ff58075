package jsonvalue

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

type rule struct {
	target    string
	recursive bool
}

type record struct {
	name     string
	active   *string
	rules    []rule
	manifest string
	extra    map[string]string
}

// decodeRecord is what a decoder written by hand looks like.
func decodeRecord(src []byte) (record, error) {
	s := NewScanner(src)
	var r record
	start, named := s.Offset(), false
	s.EnterObject()
	for s.NextKey() {
		switch string(s.Key()) {
		case "name":
			at := s.Offset()
			r.name, named = s.ReadString(), true
			if r.name == "" {
				s.Fail(at, "name is empty")
			}
		case "active":
			if !s.ReadNull() {
				active := s.ReadString()
				r.active = &active
			}
		case "rules":
			s.EnterArray()
			for s.NextElem() {
				r.rules = append(r.rules, decodeRule(s))
			}
		case "manifest":
			r.manifest = string(s.AppendValue(nil))
		default:
			if r.extra == nil {
				r.extra = map[string]string{}
			}
			key := string(s.Key())
			r.extra[key] = string(s.AppendValue(nil))
		}
	}
	if !named {
		s.Fail(start, "field \"name\" is missing")
	}
	return r, s.End()
}

func decodeRule(s *Scanner) (r rule) {
	s.EnterObject()
	for s.NextKey() {
		switch string(s.Key()) {
		case "target":
			r.target = s.ReadString()
		case "recursive":
			r.recursive = s.ReadBool()
		default:
			s.Fail(s.KeyOffset(), "unknown field %q", s.Key())
		}
	}
	return r
}

func TestScannerDecodes(t *testing.T) {
	active := "a\n"
	for _, c := range []struct {
		in   string
		want record
	}{
		{`{"name":"x"}`, record{name: "x"}},
		{` { "name" : "é\u00e9\ud83d\ude00\/" , "active" : null } `, record{name: "éé😀/"}},
		{`{"\u006eame":"x","active":"a\n"}`, record{name: "x", active: &active}},
		{`{"name":"x","rules":[]}`, record{name: "x"}},
		{"{\"rules\":[{\"target\":\"/\",\"recursive\":true},\n{ }, {\"recursive\":false}],\"name\":\"x\"}",
			record{name: "x", rules: []rule{{"/", true}, {}, {}}}},
		{`{"name":"x","manifest":{"b":[1.50],"a":{}}}`, record{name: "x", manifest: `{"a":{},"b":[1.5]}`}},
		{`{"new":{"y":1,"x":2},"name":"x","":0}`, record{name: "x", extra: map[string]string{"new": `{"x":2,"y":1}`, "": "0"}}},
	} {
		got, err := decodeRecord([]byte(c.in))
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, %v; want %+v", c.in, got, err, c.want)
		}
	}
}

func TestScannerErrors(t *testing.T) {
	for _, c := range []struct {
		in, want string
	}{
		{"", "line 1 column 1: unexpected end of input, expected an object"},
		{"[]", "line 1 column 1: expected an object, found an array"},
		{`"x"`, "line 1 column 1: expected an object, found a string"},
		{"x", "line 1 column 1: expected an object, found 'x'"},
		{"\ufeff{}", "line 1 column 1: expected an object, found a byte order mark; save the file as UTF-8 without it"},
		{"{}", `line 1 column 1: field "name" is missing`},
		{"{", "line 1 column 2: unexpected end of input, expected a key or '}'"},
		{`{"name":""}`, "line 1 column 9: name is empty"},
		{`{"name":7}`, "line 1 column 9: expected a string, found a number"},
		{`{"name":-7}`, "line 1 column 9: expected a string, found a number"},
		{"{\"name\":\n  null}", "line 2 column 3: expected a string, found null"},
		{`{"name":true}`, "line 1 column 9: expected a string, found a boolean"},
		{`{"name":{}}`, "line 1 column 9: expected a string, found an object"},
		{`{"name":}`, "line 1 column 9: expected a string, found '}'"},
		{`{"name":`, "line 1 column 9: unexpected end of input, expected a string"},
		{`{"name":"a\q"}`, "line 1 column 9: string has an invalid escape, 'q' after the backslash, at line 1 column 11"},
		{`{"active":nul}`, "line 1 column 11: expected null"},
		{`{"active":false}`, "line 1 column 11: expected a string, found a boolean"},
		{`{"rules":null}`, "line 1 column 10: expected an array, found null"},
		{`{"rules":[1]}`, "line 1 column 11: expected an object, found a number"},
		{`{"rules":[{},]}`, "line 1 column 14: expected a value after ',', found ']'; remove the trailing comma"},
		{`{"rules":[{"recursive":"yes"}]}`, "line 1 column 24: expected a boolean, found a string"},
		{`{"rules":[{"recursive":tru}]}`, "line 1 column 24: expected true"},
		{`{"rules":[{"recursive":fals}]}`, "line 1 column 24: expected false"},
		{`{"rules":[{"extra":1}]}`, `line 1 column 12: unknown field "extra"`},
		{`{"rules":[{"target":"/"} {}]}`, "line 1 column 26: expected ',' or ']', found '{'"},
		{`{"manifest":[1,]}`, "line 1 column 16: expected a value after ',', found ']'; remove the trailing comma"},
		{`{"manifest":` + strings.Repeat("[", 127), "line 1 column 139: too deep: at most 127 objects and arrays may be nested"},
		{`{"name" "x"}`, "line 1 column 9: expected ':' after the key, found '\"'"},
		{`{name:"x"}`, "line 1 column 2: expected a key in double quotes, found 'n'"},
		{`{"na`, "line 1 column 5: unexpected end of input, expected the string's closing quote"},
		{`{"name":"x"} x`, "line 1 column 14: expected the end of the document, found 'x'"},
	} {
		r, err := decodeRecord([]byte(c.in))
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: got %+v, %v\nwant %s", c.in, r, err, c.want)
		}
	}
}

// The depth counts from the top of the document.
func TestScannerDepth(t *testing.T) {
	for _, c := range []struct {
		manifest int
		ok       bool
	}{{126, true}, {127, false}} {
		in := `{"name":"x","manifest":` + string(nested(c.manifest)) + `}`
		_, err := decodeRecord([]byte(in))
		if (err == nil) != c.ok {
			t.Errorf("%d containers in the manifest: %v", c.manifest, err)
		}
	}
	// Containers entered by hand count like others, and closed ones no more.
	s := NewScanner([]byte(strings.Repeat("[[],", 126) + "[]" + strings.Repeat("]", 126)))
	open := 0
	var walk func()
	walk = func() {
		s.EnterArray()
		open++
		for s.NextElem() {
			walk()
		}
	}
	walk()
	if err := s.End(); err != nil || open != 253 {
		t.Errorf("%d arrays, %v", open, err)
	}
	s = NewScanner([]byte(strings.Repeat("[", 128)))
	for range 128 {
		s.EnterArray()
		s.NextElem()
	}
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "column 128: too deep") {
		t.Error(err)
	}
}

func TestScannerPeek(t *testing.T) {
	for _, c := range []struct {
		in   string
		kind Kind
		name string
	}{
		{" {", Object, "an object"}, {"[", Array, "an array"}, {`"`, String, "a string"},
		{"-", Number, "a number"}, {"0", Number, "a number"}, {"9", Number, "a number"},
		{"t", Bool, "a boolean"}, {"f", Bool, "a boolean"}, {"\n n", Null, "null"},
		{"", Invalid, "no value"}, {" ", Invalid, "no value"}, {"}", Invalid, "no value"}, {"x", Invalid, "no value"},
	} {
		s := NewScanner([]byte(c.in))
		if got := s.Peek(); got != c.kind || got.String() != c.name || s.Err() != nil {
			t.Errorf("%q: got %v (%s), %v", c.in, got, got.String(), s.Err())
		}
	}
}

// After the first error nothing moves, nothing is returned and the error
// stays.
func TestScannerErrorSticks(t *testing.T) {
	s := NewScanner([]byte(`{"a":"x"}`))
	s.EnterObject()
	if !s.NextKey() || string(s.Key()) != "a" || s.KeyOffset() != 1 {
		t.Fatalf("%q at %d, %v", s.Key(), s.KeyOffset(), s.Err())
	}
	s.Fail(5, "first %s", "error")
	want := s.Err()
	s.Fail(1, "second error")
	at := s.Offset()
	s.EnterObject()
	s.EnterArray()
	dst := []byte("dst")
	if s.NextKey() || s.NextElem() || s.ReadString() != "" || s.ReadBool() || s.ReadNull() || s.Peek() != Invalid ||
		string(s.AppendValue(dst)) != "dst" || s.Offset() != at {
		t.Error("a method did something after an error")
	}
	if s.Err() != want || s.End() != want || want.Error() != "line 1 column 6: first error" {
		t.Errorf("%v, %v, %v", want, s.Err(), s.End())
	}
	var syntax *SyntaxError
	if !errors.As(want, &syntax) || syntax.Offset != 5 {
		t.Errorf("%#v", want)
	}
	// An error in a value leaves dst as it was.
	s = NewScanner([]byte(`[1,2`))
	if got := s.AppendValue(dst); string(got) != "dst" || s.Err() == nil {
		t.Errorf("%q, %v", got, s.Err())
	}
}

func TestScannerErrorf(t *testing.T) {
	s := NewScanner([]byte("{\n\"a\":1}"))
	for _, c := range []struct{ offset, line, column int }{{0, 1, 1}, {1, 1, 2}, {2, 2, 1}, {8, 2, 7}, {99, 2, 7}, {-1, 2, 7}} {
		if err := s.Errorf(c.offset, "%d%%", 5); err.Line != c.line || err.Column != c.column || err.Msg != "5%" {
			t.Errorf("%d: %v", c.offset, err)
		}
	}
	if s.Err() != nil {
		t.Error(s.Err())
	}
}

// A decoder that forgets to read a value gets an error, not nonsense.
func TestScannerMisuse(t *testing.T) {
	s := NewScanner([]byte(`{"a":1,"b":2}`))
	s.EnterObject()
	for s.NextKey() {
	}
	if err := s.End(); err == nil || !strings.Contains(err.Error(), "expected ',' or '}', found '1'") {
		t.Error(err)
	}
	s = NewScanner([]byte(`]`))
	if s.NextElem() || s.NextKey() {
		t.Error("found something")
	}
	if err := s.End(); err == nil {
		t.Error("accepted")
	}
}

// What was read stays when the document's memory is used again.
func TestScannerResultsAreCopies(t *testing.T) {
	src := []byte(`["plain","esc\n",{"k":1}]`)
	s := NewScanner(src)
	s.EnterArray()
	s.NextElem()
	plain := s.ReadString()
	s.NextElem()
	escaped := s.ReadString()
	s.NextElem()
	value := s.AppendValue(nil)
	if s.NextElem() || s.End() != nil {
		t.Fatal(s.Err())
	}
	clear(src)
	if plain != "plain" || escaped != "esc\n" || string(value) != `{"k":1}` {
		t.Errorf("%q %q %q", plain, escaped, value)
	}
}
