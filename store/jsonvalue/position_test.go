package jsonvalue

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// Each fault is reported at the first byte of the token that is wrong, or
// after the last byte if the input ends too soon.
func TestPositions(t *testing.T) {
	deep := strings.Repeat("[", 127)
	for _, c := range []struct {
		in           string
		line, column int
		msg          string // a part of it
	}{
		// Nothing at all.
		{"", 1, 1, "unexpected end of input, expected a value"},
		{" ", 1, 2, "unexpected end of input, expected a value"},
		{"\n\n", 3, 1, "unexpected end of input"},
		// Bytes that start no value.
		{"x", 1, 1, "expected a value, found 'x'"},
		{" \r\n\tx", 2, 2, "expected a value, found 'x'"},
		{"+1", 1, 1, "expected a value, found '+'"},
		{".5", 1, 1, "expected a value, found '.'"},
		{"'a'", 1, 1, `expected a value, found "'"`},
		{"NaN", 1, 1, "no NaN"},
		{"[-1, Infinity]", 1, 6, "no Infinity"},
		{"]", 1, 1, "found ']'"},
		{"\xff", 1, 1, "found byte 0xff"},
		{"\x00", 1, 1, "found byte 0x00"},
		{"\v1", 1, 1, "found byte 0x0b"},
		{"\u00a01", 1, 1, "found byte 0xc2"},
		{"\ufeff{}", 1, 1, "byte order mark"},
		{"[\ufeff1]", 1, 2, "found byte 0xef"},
		{"/* c */ 1", 1, 1, "JSON has no comments"},
		{"[1, // c\n2]", 1, 5, "JSON has no comments"},
		{"[1 // c\n]", 1, 4, "expected ',' or ']', found '/'"},
		// After the value.
		{"1 2", 1, 3, "expected the end of the document, found '2'"},
		{"{}\n{}", 2, 1, "expected the end of the document, found '{'"},
		{"1.5.5", 1, 4, "expected the end of the document, found '.'"},
		{"truex", 1, 5, "expected the end of the document, found 'x'"},
		{"null\x00", 1, 5, "found byte 0x00"},
		{"\"a\"\ufeff", 1, 4, "found byte 0xef"},
		// Literals.
		{"tru", 1, 4, "unexpected end of input, expected true"},
		{"[n", 1, 3, "unexpected end of input, expected null"},
		{"[fals]", 1, 2, "expected false"},
		{"\n True", 2, 2, "found 'T'"},
		{"nul\n", 1, 1, "expected null"},
		{`{"a":truE}`, 1, 6, "expected true"},
		// Numbers.
		{"-", 1, 2, "unexpected end of input, expected a digit"},
		{"[-", 1, 3, "unexpected end of input, expected a digit"},
		{"1.", 1, 3, "unexpected end of input, expected a digit"},
		{"1e", 1, 3, "unexpected end of input, expected a digit"},
		{"1e+", 1, 4, "unexpected end of input, expected a digit"},
		{" -x", 1, 2, "malformed number: expected a digit after '-', found 'x'"},
		{"-Infinity", 1, 1, "malformed number"},
		{"[1, 2.]", 1, 5, "malformed number: expected a digit after '.', found ']'"},
		{"[1,2.5ex]", 1, 4, "malformed number: expected a digit after 'e', found 'x'"},
		{"[1,2.5E-,", 1, 4, "malformed number: expected a digit after '-', found ','"},
		{"[10, 01]", 1, 6, "leading zero"},
		{"-00", 1, 1, "leading zero"},
		{"-012.5", 1, 1, "leading zero"},
		{"[0, 12e999]", 1, 5, "number out of range"},
		// Strings: the opening quote; the byte itself is in the message.
		{`"abc`, 1, 5, "unexpected end of input, expected the string's closing quote"},
		{`"abc\`, 1, 6, "unexpected end of input"},
		{`"abc\u12`, 1, 9, "unexpected end of input, expected four hex digits"},
		{`"abc\ud800`, 1, 11, "unexpected end of input, expected the second half"},
		{`"abc\ud800\`, 1, 12, "unexpected end of input, expected the second half"},
		{`"abc\ud800\u`, 1, 13, "unexpected end of input"},
		{`"abc\ud800\udc0`, 1, 16, "unexpected end of input"},
		{"\"ab\xe6\x97", 1, 6, "unexpected end of input, expected the rest of a UTF-8 character"},
		{"[1,\n \"a\x01b\"]", 2, 2, "string has a control character (0x01) at line 2 column 4; write it as \\u0001"},
		{"[\"a\nb\"]", 1, 2, "string has a control character (0x0a) at line 1 column 4; write it as \\n"},
		{"\"\t\"", 1, 1, "write it as \\t"},
		{`["ok","a\x"]`, 1, 7, "string has an invalid escape, 'x' after the backslash, at line 1 column 9"},
		{"\"\\\n\"", 1, 1, "invalid escape, byte 0x0a after the backslash, at line 1 column 2"},
		{`"\'"`, 1, 1, `invalid escape, "'" after the backslash`},
		{`"\U0041"`, 1, 1, "invalid escape, 'U'"},
		{`"a\u00g0"`, 1, 1, "invalid escape at line 1 column 3: expected four hex digits after \\u, found 'g'"},
		{`"\u12"`, 1, 1, `expected four hex digits after \u, found '"'`},
		{`["\ud800"]`, 1, 2, `string has a lone surrogate (\ud800) at line 1 column 3`},
		{`["x\uDC00"]`, 1, 2, `string has a lone surrogate (\uDC00) at line 1 column 4`},
		{`"\ud800x"`, 1, 1, `lone surrogate (\ud800)`},
		{`"\ud800\n"`, 1, 1, `lone surrogate (\ud800)`},
		{`"\ud800\u0041"`, 1, 1, `lone surrogate (\ud800)`},
		{`"\ud800\ud800"`, 1, 1, `lone surrogate (\ud800)`},
		{`"\ud800\udbff"`, 1, 1, `lone surrogate (\ud800)`},
		{`"\ud800\ue000"`, 1, 1, `lone surrogate (\ud800)`},
		{`"\udbff\udbff"`, 1, 1, `lone surrogate (\udbff)`},
		{`"\udc00\udc00"`, 1, 1, `lone surrogate (\udc00)`},
		{`"\ud83d\ude00\udfff"`, 1, 1, `lone surrogate (\udfff) at line 1 column 14`},
		{`"\ud800\u00zz"`, 1, 1, "expected four hex digits"},
		{"[\"a\xff\"]", 1, 2, "string is not UTF-8 at line 1 column 4 (byte 0xff)"},
		{"\n\"é\xc0\x80\"", 2, 1, "string is not UTF-8 at line 2 column 4 (byte 0xc0)"},
		{"\"\xed\xa0\x80\"", 1, 1, "not UTF-8"},           // a surrogate
		{"\"\xf4\x90\x80\x80\"", 1, 1, "not UTF-8"},       // past U+10FFFF
		{"\"\xe6\x97\"", 1, 1, "not UTF-8"},               // cut short
		{"\"\x80\"", 1, 1, "not UTF-8"},                   // a continuation alone
		{"\"abcdefghijk\xfe\"", 1, 1, "line 1 column 13"}, // beyond the first eight
		// Arrays.
		{"[", 1, 2, "unexpected end of input, expected a value or ']'"},
		{"[1", 1, 3, "unexpected end of input, expected ',' or ']'"},
		{"[1,", 1, 4, "unexpected end of input, expected a value"},
		{"[1,\n", 2, 1, "unexpected end of input, expected a value"},
		{"[1,]", 1, 4, "expected a value after ',', found ']'; remove the trailing comma"},
		{"[1,\n  ]", 2, 3, "trailing comma"},
		{"[,1]", 1, 2, "expected a value, found ','"},
		{"[1,,2]", 1, 4, "expected a value, found ','"},
		{"[1 2]", 1, 4, "expected ',' or ']', found '2'"},
		{"[1}", 1, 3, "expected ',' or ']', found '}'"},
		{"[}", 1, 2, "expected a value, found '}'"},
		{"[1:2]", 1, 3, "expected ',' or ']', found ':'"},
		// Objects.
		{"{", 1, 2, "unexpected end of input, expected a key or '}'"},
		{`{"a"`, 1, 5, "unexpected end of input, expected ':'"},
		{`{"a`, 1, 4, "unexpected end of input, expected the string's closing quote"},
		{`{"a":`, 1, 6, "unexpected end of input, expected a value"},
		{`{"a":1`, 1, 7, "unexpected end of input, expected ',' or '}'"},
		{`{"a":1,`, 1, 8, "unexpected end of input, expected a key"},
		{`{"a":1,}`, 1, 8, "expected a key after ',', found '}'; remove the trailing comma"},
		{`{,}`, 1, 2, "expected a key in double quotes, found ','"},
		{`{a:1}`, 1, 2, "expected a key in double quotes, found 'a'"},
		{`{"a":1, 2:3}`, 1, 9, "expected a key in double quotes, found '2'"},
		{`{null:1}`, 1, 2, "expected a key in double quotes, found 'n'"},
		{`{"a" 1}`, 1, 6, "expected ':' after the key, found '1'"},
		{`{"a",1}`, 1, 5, "expected ':' after the key, found ','"},
		{`{"a"::1}`, 1, 6, "expected a value, found ':'"},
		{`{"a":}`, 1, 6, "expected a value, found '}'"},
		{`{"a":1 "b":2}`, 1, 8, "expected ',' or '}', found '\"'"},
		{`{"a":1]`, 1, 7, "expected ',' or '}', found ']'"},
		{`{"a":1,,}`, 1, 8, "expected a key in double quotes, found ','"},
		{`{"a\x":1}`, 1, 2, "invalid escape"},
		{"{/**/}", 1, 2, "JSON has no comments"},
		// Depth: the bracket that goes too far.
		{deep + "[", 1, 128, "too deep: at most 127"},
		{deep + `{"a":1}`, 1, 128, "too deep: at most 127"},
		{deep + "\n {", 2, 2, "too deep"},
		{deep, 1, 128, "unexpected end of input"},
		// The first fault counts.
		{"[1e999, x]", 1, 2, "out of range"},
		{"[\"\xff", 1, 2, "not UTF-8"},
		{"[\"\\x\x01\xff", 1, 2, "invalid escape"},
		{"[tru, \"\xff\"", 1, 2, "expected true"},
		{`{"b":1,"a":2,"b":3} x`, 1, 21, "end of the document"},
	} {
		for _, convert := range []func(dst, src []byte, maxDepth int) ([]byte, error){AppendCanonical, AppendCompact} {
			out, err := convert(nil, []byte(c.in), MaxDepth)
			var syntax *SyntaxError
			if !errors.As(err, &syntax) {
				t.Errorf("%q: got %q, %v", c.in, out, err)
				continue
			}
			if syntax.Line != c.line || syntax.Column != c.column || !strings.Contains(syntax.Msg, c.msg) {
				t.Errorf("%q: got %v; want line %d column %d: …%s…", c.in, err, c.line, c.column, c.msg)
			}
			line, column := 1, 1
			for _, b := range []byte(c.in)[:syntax.Offset] {
				if column++; b == '\n' {
					line, column = line+1, 1
				}
			}
			if line != syntax.Line || column != syntax.Column {
				t.Errorf("%q: offset %d is not line %d column %d", c.in, syntax.Offset, syntax.Line, syntax.Column)
			}
		}
	}
}

// Four bytes are whitespace, between any two tokens; no other byte is.
func TestWhitespace(t *testing.T) {
	for c := range 256 {
		space := string([]byte{byte(c)})
		doc := strings.ReplaceAll(`~{~"a"~:~[~1~,~true~]~,~"b"~:~{~}~}~`, "~", space)
		out, err := AppendCanonical(nil, []byte(doc), MaxDepth)
		if strings.Contains(" \t\n\r", space) {
			if err != nil || string(out) != `{"a":[1,true],"b":{}}` {
				t.Errorf("0x%02x: got %s, %v", c, out, err)
			}
		} else if err == nil {
			t.Errorf("0x%02x: accepted", c)
		}
	}
}

// A document cut anywhere ends too soon, and the error is after its last byte.
func TestEveryPrefixEndsTooSoon(t *testing.T) {
	doc := []byte("{\"a\\u00e9\\ud83d\\ude00\":[true,false,null,-1.5e-7],\n\"日本\":{\"\\n\":\"x\"},\"d\":\"😀\"}")
	if _, err := AppendCanonical(nil, doc, MaxDepth); err != nil {
		t.Fatal(err)
	}
	for n := range doc {
		_, err := AppendCanonical(nil, doc[:n:n], MaxDepth)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || syntax.Offset != n || !strings.HasPrefix(syntax.Msg, "unexpected end of input, expected ") {
			t.Errorf("%q: %v", doc[:n], err)
		}
	}
}

// Any one byte replaced by any other: accepted or refused, and if refused, at
// a place within the document no later than a byte after the change.
func TestEveryByteChanged(t *testing.T) {
	doc := []byte("{\"a\":[true,-1.5e7,\"\\u00e9\"],\n\"日\":null}")
	for i := range doc {
		for c := range 256 {
			changed := bytes.Clone(doc)
			changed[i] = byte(c)
			out, err := AppendCanonical(nil, changed, MaxDepth)
			if err == nil {
				if again, err := AppendCanonical(nil, out, MaxDepth); err != nil || !bytes.Equal(again, out) {
					t.Fatalf("%q became %q, then %q, %v", changed, out, again, err)
				}
				continue
			}
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || syntax.Offset < 0 || syntax.Offset > len(doc) {
				t.Fatalf("%q: %v", changed, err)
			}
		}
	}
}
