package jsonvalue

import (
	"bytes"
	"fmt"
)

// SyntaxError is the first fault in a document. Its position is the first byte of the
// offending token, or after the last byte if the input ends too soon.
type SyntaxError struct {
	Offset int    // in bytes, from 0
	Line   int    // from 1
	Column int    // in bytes, from 1
	Msg    string // what was found and what was expected
}

// Error returns "line L column C: " and the message.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d column %d: %s", e.Line, e.Column, e.Msg)
}

// position returns the line and column of the byte at offset. Only errors need
// it, so scanning does not count lines.
func position(src []byte, offset int) (line, column int) {
	before := src[:offset]
	return 1 + bytes.Count(before, []byte{'\n'}), offset - bytes.LastIndexByte(before, '\n')
}

// describe names one byte in a message.
func describe(c byte) string {
	if c == '\'' {
		return `"'"`
	}
	if c > ' ' && c < 0x7f {
		return "'" + string(rune(c)) + "'"
	}
	return fmt.Sprintf("byte 0x%02x", c)
}
