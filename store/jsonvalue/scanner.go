package jsonvalue

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
)

// MaxDepth bounds the nesting of containers (objects and arrays) in a document, the
// outermost included.
const MaxDepth = 127

// Kind is the kind of a value, which its first byte decides.
type Kind byte

// The kinds of value. Invalid is a byte that starts no value, or the end of
// the input.
const (
	Invalid Kind = iota
	Object
	Array
	String
	Number
	Bool
	Null
)

// String names the kind as error messages do: "an object", "null".
func (k Kind) String() string {
	switch k {
	case Object:
		return "an object"
	case Array:
		return "an array"
	case String:
		return "a string"
	case Number:
		return "a number"
	case Bool:
		return "a boolean"
	case Null:
		return "null"
	}
	return "no value"
}

// Scanner reads a document held in memory, token by token, for decoders
// written by hand:
//
//	s := jsonvalue.NewScanner(src)
//	s.EnterObject()
//	for s.NextKey() {
//		switch string(s.Key()) {
//		case "name":
//			name = s.ReadString()
//		default:
//			s.Fail(s.KeyOffset(), "unknown field %q", s.Key())
//		}
//	}
//	return s.End()
//
// The first error sticks: from then on every method does nothing and returns a
// zero value, NextKey and NextElem return false, and Err and End return it. So
// a decoder needs one check, at its end. A decoder must read the value of each
// key and each element before it asks for the next. A Scanner never changes
// the document; a document that changes meanwhile gives undefined results.
type Scanner struct {
	src   []byte
	pos   int
	depth int // containers open at pos
	limit int // containers that may be open
	first bool
	err   *SyntaxError

	key       []byte
	keyOffset int
	keyBuf    []byte // holds an unescaped key
}

// NewScanner returns a Scanner at the start of src, which may nest [MaxDepth]
// containers.
func NewScanner(src []byte) *Scanner {
	return &Scanner{src: src, limit: MaxDepth}
}

// NewScannerAround is NewScanner for a text with documents inside outer containers. Each
// document may nest [MaxDepth].
func NewScannerAround(src []byte, outer int) *Scanner {
	return &Scanner{src: src, limit: MaxDepth + outer}
}

// Err returns the first error, a [*SyntaxError], or nil.
func (s *Scanner) Err() error {
	if s.err == nil {
		return nil
	}
	return s.err
}

// End fails unless nothing but whitespace is left, and returns the first error
// of the whole scan, a [*SyntaxError], or nil.
func (s *Scanner) End() error {
	if s.err == nil && s.skipSpace() {
		s.fail(s.pos, "expected the end of the document, found %s", describe(s.src[s.pos]))
	}
	return s.Err()
}

// Errorf returns an error at the byte offset (at the end of the document if
// that lies outside it). It does not make the scanner fail.
func (s *Scanner) Errorf(offset int, format string, args ...any) *SyntaxError {
	if offset < 0 || offset > len(s.src) {
		offset = len(s.src)
	}
	line, column := position(s.src, offset)
	return &SyntaxError{Offset: offset, Line: line, Column: column, Msg: fmt.Sprintf(format, args...)}
}

// Fail makes the scanner fail with an error at the byte offset, unless it has
// failed already.
func (s *Scanner) Fail(offset int, format string, args ...any) {
	if s.err == nil {
		s.err = s.Errorf(offset, format, args...)
	}
}

// fail is Fail and returns false, for `return s.fail(…)`.
func (s *Scanner) fail(offset int, format string, args ...any) bool {
	s.Fail(offset, format, args...)
	return false
}

// failHere fails at the next token, which is not the expected one.
func (s *Scanner) failHere(expected string) bool {
	if s.pos == len(s.src) {
		return s.failEOF(expected)
	}
	return s.fail(s.pos, "expected %s, found %s", expected, describe(s.src[s.pos]))
}

// failEOF fails after the last byte.
func (s *Scanner) failEOF(expected string) bool {
	return s.fail(len(s.src), "unexpected end of input, expected %s", expected)
}

// skipSpace moves to the next token and reports whether there is one.
func (s *Scanner) skipSpace() bool {
	return s.pos < len(s.src) && s.src[s.pos] > ' ' || s.skipSpaces()
}

// skipSpaces is skipSpace if there may be whitespace. It is a function of its own so
// that skipSpace is small enough to be inlined.
//
//go:noinline
func (s *Scanner) skipSpaces() bool {
	const indentation = 0x2020202020202020
	src, i := s.src, s.pos
	for i < len(src) {
		switch src[i] {
		case '\n', '\t', '\r':
			i++
		case ' ':
			i++
			for len(src)-i >= 8 {
				others := binary.LittleEndian.Uint64(src[i:]) ^ indentation
				if others != 0 {
					i += bits.TrailingZeros64(others) / 8
					break
				}
				i += 8
			}
		default:
			s.pos = i
			return true
		}
	}
	s.pos = i
	return false
}

// Offset returns the byte offset of the next token, or the length of the
// document if there is none.
func (s *Scanner) Offset() int {
	if s.err == nil {
		s.skipSpace()
	}
	return s.pos
}

// Peek returns the kind of the next value without reading it.
func (s *Scanner) Peek() Kind {
	if s.err != nil || !s.skipSpace() {
		return Invalid
	}
	switch s.src[s.pos] {
	case '{':
		return Object
	case '[':
		return Array
	case '"':
		return String
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return Number
	case 't', 'f':
		return Bool
	case 'n':
		return Null
	}
	return Invalid
}

// expect reports whether the next value is of the kind, and fails otherwise.
func (s *Scanner) expect(want Kind) bool {
	switch got := s.Peek(); {
	case s.err != nil:
		return false
	case got == want:
		return true
	case got == Invalid:
		return s.failValue(want.String())
	default:
		return s.fail(s.pos, "expected %s, found %s", want, got)
	}
}

// failValue fails at a byte that starts no value.
func (s *Scanner) failValue(expected string) bool {
	rest := s.src[s.pos:]
	switch {
	case len(rest) == 0:
	case s.pos == 0 && bytes.HasPrefix(rest, []byte("\ufeff")):
		return s.fail(0, "expected %s, found a byte order mark; save the file as UTF-8 without it", expected)
	case rest[0] == '/':
		return s.fail(s.pos, "expected %s, found '/'; JSON has no comments", expected)
	case bytes.HasPrefix(rest, []byte("NaN")), bytes.HasPrefix(rest, []byte("Infinity")):
		return s.fail(s.pos, "expected %s, found '%c'; JSON has no NaN and no Infinity", expected, rest[0])
	}
	return s.failHere(expected)
}

// open moves into the container that starts at pos.
func (s *Scanner) open() bool {
	if s.depth >= s.limit {
		return s.fail(s.pos, "too deep: at most %d objects and arrays may be nested", s.limit)
	}
	s.depth++
	s.pos++
	s.first = true
	return true
}

// next moves past the comma before a member or element, or past the closing
// bracket and then returns false.
func (s *Scanner) next(closing byte, what string) bool {
	first := s.first
	s.first = false
	if !s.skipSpace() {
		if first {
			return s.failEOF(what + " or '" + string(rune(closing)) + "'")
		}
		return s.failEOF("',' or '" + string(rune(closing)) + "'")
	}
	c := s.src[s.pos]
	if c == closing {
		s.pos++
		s.depth--
		return false
	}
	if first {
		return true
	}
	if c != ',' {
		return s.failHere("',' or '" + string(rune(closing)) + "'")
	}
	s.pos++
	if !s.skipSpace() {
		return s.failEOF(what)
	}
	if s.src[s.pos] == closing {
		return s.fail(s.pos, "expected %s after ',', found '%c'; remove the trailing comma", what, closing)
	}
	return true
}

// colon moves past the colon after a key.
func (s *Scanner) colon() bool {
	if !s.skipSpace() || s.src[s.pos] != ':' {
		return s.failHere("':' after the key")
	}
	s.pos++
	return true
}

// EnterObject reads the opening brace of an object. Call NextKey until it
// returns false.
func (s *Scanner) EnterObject() {
	if s.expect(Object) {
		s.open()
	}
}

// NextKey reads the next key of the object and its colon. It returns false
// after the closing brace, which it reads, and on an error.
func (s *Scanner) NextKey() bool {
	if s.err != nil || !s.next('}', "a key") {
		return false
	}
	s.keyOffset = s.pos
	token, escaped, ok := s.keyToken()
	if !ok || !s.colon() {
		return false
	}
	s.key = token[1 : len(token)-1]
	if escaped {
		s.keyBuf = appendUnescaped(s.keyBuf[:0], s.key)
		s.key = s.keyBuf
	}
	return true
}

// keyToken reads a key at pos.
func (s *Scanner) keyToken() (token []byte, escaped, ok bool) {
	if s.src[s.pos] != '"' {
		return nil, false, s.failValue("a key in double quotes")
	}
	return s.stringToken()
}

// Key returns the key that NextKey read, unescaped. It must not be changed and
// is valid until the next call of NextKey.
func (s *Scanner) Key() []byte { return s.key }

// KeyOffset returns the byte offset of the opening quote of the key that
// NextKey read.
func (s *Scanner) KeyOffset() int { return s.keyOffset }

// EnterArray reads the opening bracket of an array. Call NextElem until it
// returns false.
func (s *Scanner) EnterArray() {
	if s.expect(Array) {
		s.open()
	}
}

// NextElem moves to the next element of the array. It returns false after the
// closing bracket, which it reads, and on an error.
func (s *Scanner) NextElem() bool {
	return s.err == nil && s.next(']', "a value")
}

// ReadString reads a string and returns it unescaped, in memory of its own.
func (s *Scanner) ReadString() string {
	if !s.expect(String) {
		return ""
	}
	token, escaped, ok := s.stringToken()
	if !ok {
		return ""
	}
	token = token[1 : len(token)-1]
	if escaped {
		token = appendUnescaped(nil, token)
	}
	return string(token)
}

// ReadBool reads true or false.
func (s *Scanner) ReadBool() bool {
	if !s.expect(Bool) {
		return false
	}
	if s.src[s.pos] == 't' {
		return s.literal("true")
	}
	s.literal("false")
	return false
}

// ReadNull reads a null if there is one, and reports whether there was.
func (s *Scanner) ReadNull() bool {
	return s.Peek() == Null && s.literal("null")
}

// AppendValue reads one value of any kind and appends its canonical form to
// dst, which must not overlap the document. On an error it returns dst as it
// was.
func (s *Scanner) AppendValue(dst []byte) []byte {
	return s.appendOne(dst, false)
}

// literal reads true, false or null.
func (s *Scanner) literal(word string) bool {
	rest := s.src[s.pos:]
	if len(rest) >= len(word) && string(rest[:len(word)]) == word {
		s.pos += len(word)
		return true
	}
	if string(rest) == word[:min(len(rest), len(word))] {
		return s.failEOF(word)
	}
	return s.fail(s.pos, "expected %s", word)
}
