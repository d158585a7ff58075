package jsonvalue

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// hasLongNumber reports whether there may be a number in src that strconv,
// and so the reference, misreads.
func hasLongNumber(src []byte) bool { return len(src) > 700 }

func addSeeds(f *testing.F) {
	for _, s := range []string{
		"", " ", "null", "[1,2.5,-0,1e400,\"a\\u00e9\\ud83d\\ude00\\n\"]", `{"b":1,"a":{"d":[],"c":{}},"b":"\ud800"}`,
		`{"]":1,"\\":2,"[":3,"\u005d":4}`, "\"\xff\"", "\ufeff{}", "[1,]", "01", "-", "1e16", "0.00001",
		"9007199254740993.0", "18446744073709551616", strings.Repeat("[", 130), string(nested(127)), string(nested(128)),
		"\"\x7f\u2028\u2029<>&\"", "{\"a\nb\":1}", "[tru", "1E-07 ",
	} {
		f.Add([]byte(s))
	}
	f.Add(AppendIndent(nil, manifest(1<<10), 0))
}

func FuzzCanonical(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, src []byte) {
		out, err := AppendCanonical(nil, src, MaxDepth)
		compact, compactErr := AppendCompact(nil, src, MaxDepth)
		if !reflect.DeepEqual(err, compactErr) {
			t.Fatalf("canonical: %v, compact: %v", err, compactErr)
		}
		if err != nil {
			checkRefusal(t, src, err)
			return
		}

		// Canonical is a fixed point, and so is its pretty form.
		again, err := AppendCanonical(nil, out, MaxDepth)
		if err != nil || !bytes.Equal(again, out) {
			t.Fatalf("%q became %q, %v", out, again, err)
		}
		pretty := AppendIndent(nil, out, 0)
		back, err := AppendCanonical(nil, pretty, MaxDepth)
		if err != nil || !bytes.Equal(back, out) || !bytes.Equal(AppendIndent(nil, back, 0), pretty) {
			t.Fatalf("%q printed as %q reads back as %q, %v", out, pretty, back, err)
		}
		// What AppendCompact keeps has the same canonical form.
		fromCompact, err := AppendCanonical(nil, compact, MaxDepth)
		if err != nil || !bytes.Equal(fromCompact, out) {
			t.Fatalf("%q: compact %q became %q, %v", src, compact, fromCompact, err)
		}

		// encoding/json agrees on the layout and on the value.
		var want bytes.Buffer
		if err := json.Compact(&want, src); err != nil || !bytes.Equal(compact, want.Bytes()) {
			t.Fatalf("compact %q, json.Compact %q, %v", compact, &want, err)
		}
		want.Reset()
		if err := json.Indent(&want, out, "", "  "); err != nil || !bytes.Equal(pretty, want.Bytes()) {
			t.Fatalf("pretty %q, json.Indent %q, %v", pretty, &want, err)
		}
		if hasLongNumber(src) {
			return
		}
		if ref := reference(t, src); ref != string(out) {
			t.Fatalf("%q\n got %q\nwant %q", src, out, ref)
		}
		var a, b any
		if err := errors.Join(json.Unmarshal(src, &a), json.Unmarshal(out, &b)); err != nil || !reflect.DeepEqual(a, b) {
			t.Fatalf("%q is %v, %q is %v, %v", src, a, out, b, err)
		}
	})
}

// checkRefusal checks the place of an error, and that encoding/json refuses
// the document too unless one of our stricter rules forbids it.
func checkRefusal(t *testing.T, src []byte, err error) {
	var syntax *SyntaxError
	if !errors.As(err, &syntax) {
		t.Fatalf("%T: %v", err, err)
	}
	if syntax.Offset < 0 || syntax.Offset > len(src) || !utf8.ValidString(syntax.Msg) || len(syntax.Msg) > 150 {
		t.Fatalf("%q: %+v", src, *syntax)
	}
	line, column := position(src, syntax.Offset)
	if line != syntax.Line || column != syntax.Column {
		t.Fatalf("%q: %+v", src, *syntax)
	}
	if !json.Valid(src) {
		return
	}
	switch {
	case strings.Contains(syntax.Msg, "not UTF-8"):
		if utf8.Valid(src) {
			t.Fatalf("%q is UTF-8: %v", src, err)
		}
	case strings.Contains(syntax.Msg, "lone surrogate"):
		if at := bytes.Index(bytes.ToLower(src[syntax.Offset:]), []byte(`\ud`)); at < 0 {
			t.Fatalf("%q has no surrogate: %v", src, err)
		}
		var v any
		if err := json.NewDecoder(bytes.NewReader(src[syntax.Offset:])).Decode(&v); err != nil || !strings.Contains(v.(string), "\ufffd") {
			t.Fatalf("%q: encoding/json reads %q, %v", src, v, err)
		}
	case strings.Contains(syntax.Msg, "too deep"):
		if bytes.Count(src, []byte{'['})+bytes.Count(src, []byte{'{'}) <= MaxDepth {
			t.Fatalf("%q is not deep: %v", src, err)
		}
	case strings.Contains(syntax.Msg, "out of range"):
		var number float64
		err := json.NewDecoder(bytes.NewReader(src[syntax.Offset:])).Decode(&number)
		if err == nil && !hasLongNumber(src) {
			t.Fatalf("%q: encoding/json reads %g", src, number)
		}
	default:
		t.Fatalf("encoding/json accepts %q: %v", src, err)
	}
}

// A document read token by token gives what Canonical gives, errors included.
func FuzzScanner(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, src []byte) {
		s := NewScanner(src)
		v := readAny(s)
		err := s.End()
		out, wantErr := AppendCanonical(nil, src, MaxDepth)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: scanner %v, canonical %v", src, err, wantErr)
		}
		if err != nil {
			var got, want *SyntaxError
			if !errors.As(err, &got) || !errors.As(wantErr, &want) || *got != *want {
				t.Fatalf("%q: scanner %v, canonical %v", src, err, wantErr)
			}
			return
		}
		var b strings.Builder
		printReference(&b, v)
		if b.String() != string(out) && !hasLongNumber(src) {
			t.Fatalf("%q: scanner %q, canonical %q", src, b.String(), out)
		}
	})
}

// readAny reads a value through the methods for decoders.
func readAny(s *Scanner) any {
	switch s.Peek() {
	case Object:
		m := map[string]any{}
		s.EnterObject()
		for s.NextKey() {
			key := string(s.Key())
			m[key] = readAny(s)
		}
		return m
	case Array:
		list := []any{}
		s.EnterArray()
		for s.NextElem() {
			list = append(list, readAny(s))
		}
		return list
	case String:
		return s.ReadString()
	case Bool:
		return s.ReadBool()
	case Null:
		s.ReadNull()
		return nil
	default:
		return json.Number(s.AppendValue(nil))
	}
}

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", "\"\\/\b\t\n\f\r\x00\x1f\x7f", "é日😀\u2028", "12345678\n12345678"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		literal := AppendString(nil, s)
		out, err := AppendCanonical(nil, literal, 0)
		if !utf8.ValidString(s) {
			if err == nil {
				t.Fatalf("%q accepted as %q", s, literal)
			}
			return
		}
		if err != nil || !bytes.Equal(out, literal) {
			t.Fatalf("%q became %q, %v", literal, out, err)
		}
		if back := NewScanner(literal).ReadString(); back != s {
			t.Fatalf("%q reads back as %q", s, back)
		}
		var back string
		if err := json.Unmarshal(literal, &back); err != nil || back != s {
			t.Fatalf("%q: encoding/json reads %q as %q, %v", s, literal, back, err)
		}
	})
}

func FuzzFloat(f *testing.F) {
	for _, x := range []float64{0, 1, 0.1, 1e16, 1e-5, 9.99e-6, math.MaxFloat64, math.SmallestNonzeroFloat64} {
		f.Add(math.Float64bits(x))
	}
	f.Fuzz(func(t *testing.T, bits uint64) {
		x := math.Float64frombits(bits)
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return
		}
		token := string(appendFloat(nil, x))
		if want := referenceFloat(x); token != want {
			t.Fatalf("%x: got %s, want %s", bits, token, want)
		}
		out, err := AppendCanonical(nil, []byte(token), 0)
		if err != nil || string(out) != token {
			t.Fatalf("%s became %s, %v", token, out, err)
		}
	})
}
