package store

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxNameLen is the length limit of a Pod name in bytes: the longest name that
// common file systems take, so that every Pod can be exported.
const MaxNameLen = 255

// ValidateName checks a Pod's name. A name is valid UTF-8 of 1 to [MaxNameLen] bytes, not
// "." or "..", and has neither "/" nor NUL. So it can never name anything outside a
// directory of Pods. The error matches [ErrInvalidName] and quotes the name.
func ValidateName(name string) error {
	var why string
	switch {
	case name == "":
		why = "it is empty"
	case name == "." || name == "..":
		why = "it means a directory"
	case strings.Contains(name, "/"):
		why = "it contains a slash"
	case strings.Contains(name, "\x00"):
		why = "it contains a NUL byte"
	case !utf8.ValidString(name):
		why = "it is not UTF-8"
	case len(name) > MaxNameLen:
		why = fmt.Sprintf("it has %d bytes, the limit is %d", len(name), MaxNameLen)
		name = strings.ToValidUTF8(name[:32], "") + "…"
	default:
		return nil
	}
	return &Error{Kind: ErrInvalidName, Err: fmt.Errorf("%q: %s", name, why)}
}

// validateOp is ValidateName with the operation's name on the error.
func validateOp(op, name string) error {
	err := ValidateName(name)
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		e.Op = op
	}
	return err
}
