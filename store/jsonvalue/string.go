package jsonvalue

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// plainEnd returns the end of the run of plain bytes from i on: ASCII without controls,
// `"` and `\`. Plain bytes stand for themselves in a string.
func plainEnd(src []byte, i int) int {
	// Eight bytes at a time: a byte's top bit in odd is set if the byte is not
	// plain. A borrow can set it wrongly, but only above one set rightly.
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; len(src)-i >= 8; i += 8 {
		x := binary.LittleEndian.Uint64(src[i:])
		odd := (x | (x - ' '*ones) | ((x ^ '"'*ones) - ones) | ((x ^ '\\'*ones) - ones)) & tops
		if odd != 0 {
			return i + bits.TrailingZeros64(odd)/8
		}
	}
	for i < len(src) && ' ' <= src[i] && src[i] < utf8.RuneSelf && src[i] != '"' && src[i] != '\\' {
		i++
	}
	return i
}

// stringToken reads the string literal that starts at pos and returns it with
// its quotes. escaped is true if it has a backslash. The position of every error is the
// opening quote; the message names the byte at fault.
func (s *Scanner) stringToken() (token []byte, escaped, ok bool) {
	src, start := s.src, s.pos
	for i := start + 1; ; {
		i = plainEnd(src, i)
		if i >= len(src) {
			return nil, false, s.failEOF("the string's closing quote")
		}
		switch c := src[i]; {
		case c == '"':
			s.pos = i + 1
			return src[start:s.pos], escaped, true
		case c == '\\':
			escaped = true
			n := s.checkEscape(start, i)
			if n == 0 {
				return nil, false, false
			}
			i += n
		case c < ' ':
			line, column := position(src, i)
			return nil, false, s.fail(start, "string has a control character (0x%02x) at line %d column %d; write it as %s",
				c, line, column, appendEscaped(nil, rune(c)))
		default:
			for i < len(src) && src[i] >= utf8.RuneSelf {
				_, n := utf8.DecodeRune(src[i:])
				if n == 1 {
					return nil, false, s.failUTF8(start, i)
				}
				i += n
			}
		}
	}
}

// failUTF8 fails at byte i, which starts no UTF-8 character.
func (s *Scanner) failUTF8(start, i int) bool {
	if !utf8.FullRune(s.src[i:]) {
		return s.failEOF("the rest of a UTF-8 character")
	}
	line, column := position(s.src, i)
	return s.fail(start, "string is not UTF-8 at line %d column %d (byte 0x%02x)", line, column, s.src[i])
}

// checkEscape returns the length of the escape at i, both halves of a surrogate
// pair together, or 0 after an error. start is the string's opening quote.
func (s *Scanner) checkEscape(start, i int) int {
	src := s.src
	if i+1 == len(src) {
		s.failEOF("the rest of an escape")
		return 0
	}
	switch src[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
	default:
		line, column := position(src, i)
		s.fail(start, "string has an invalid escape, %s after the backslash, at line %d column %d", describe(src[i+1]), line, column)
		return 0
	}
	r, ok := s.checkHex(start, i)
	if !ok {
		return 0
	}
	if !utf16.IsSurrogate(r) {
		return 6
	}
	rest := src[i+6:]
	if r < 0xdc00 {
		if len(rest) == 0 || len(rest) == 1 && rest[0] == '\\' {
			s.failEOF("the second half of a surrogate pair")
			return 0
		}
		if len(rest) > 1 && rest[0] == '\\' && rest[1] == 'u' {
			low, ok := s.checkHex(start, i+6)
			if !ok {
				return 0
			}
			if 0xdc00 <= low && low <= 0xdfff {
				return 12
			}
		}
	}
	line, column := position(src, i)
	s.fail(start, "string has a lone surrogate (%s) at line %d column %d", src[i:i+6], line, column)
	return 0
}

// checkHex returns the UTF-16 unit of the \u escape at i.
func (s *Scanner) checkHex(start, i int) (rune, bool) {
	var r rune
	for j := i + 2; j < i+6; j++ {
		if j == len(s.src) {
			return 0, s.failEOF("four hex digits")
		}
		d := hexDigit(s.src[j])
		if d < 0 {
			line, column := position(s.src, i)
			return 0, s.fail(start, "string has an invalid escape at line %d column %d: expected four hex digits after \\u, found %s",
				line, column, describe(s.src[j]))
		}
		r = r<<4 | d
	}
	return r, true
}

func hexDigit(c byte) rune {
	switch {
	case '0' <= c && c <= '9':
		return rune(c - '0')
	case 'a' <= c && c <= 'f':
		return rune(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return rune(c-'A') + 10
	}
	return -1
}

// unescape returns the character that the valid escape at the start of b
// stands for, and the length of the escape.
func unescape(b []byte) (rune, int) {
	switch c := b[1]; c {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		r := hex4(b[2:])
		if utf16.IsSurrogate(r) {
			return utf16.DecodeRune(r, hex4(b[8:])), 12
		}
		return r, 6
	default:
		return rune(c), 2
	}
}

func hex4(b []byte) rune {
	return hexDigit(b[0])<<12 | hexDigit(b[1])<<8 | hexDigit(b[2])<<4 | hexDigit(b[3])
}

// appendUnescaped appends the text of a valid string literal without quotes.
func appendUnescaped(dst, body []byte) []byte {
	for {
		n := bytes.IndexByte(body, '\\')
		if n < 0 {
			return append(dst, body...)
		}
		dst = append(dst, body[:n]...)
		r, size := unescape(body[n:])
		dst = utf8.AppendRune(dst, r)
		body = body[n+size:]
	}
}

// appendReescaped appends a valid string literal with escapes in canonical form.
func appendReescaped(dst, token []byte) []byte {
	for {
		n := bytes.IndexByte(token, '\\')
		if n < 0 {
			return append(dst, token...)
		}
		dst = append(dst, token[:n]...)
		r, size := unescape(token[n:])
		dst = appendEscaped(dst, r)
		token = token[n+size:]
	}
}

// appendEscaped appends one character as it stands in a canonical string.
func appendEscaped(dst []byte, r rune) []byte {
	switch {
	case r == '"' || r == '\\':
		return append(dst, '\\', byte(r))
	case r >= ' ':
		return utf8.AppendRune(dst, r)
	case r == '\b':
		return append(dst, `\b`...)
	case r == '\t':
		return append(dst, `\t`...)
	case r == '\n':
		return append(dst, `\n`...)
	case r == '\f':
		return append(dst, `\f`...)
	case r == '\r':
		return append(dst, `\r`...)
	}
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
}

// AppendString appends s as a canonical string literal. s must be valid UTF-8:
// its bytes are not checked.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	done := 0
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' {
			dst = append(dst, s[done:i]...)
			dst = appendEscaped(dst, rune(c))
			done = i + 1
		}
	}
	dst = append(dst, s[done:]...)
	return append(dst, '"')
}
