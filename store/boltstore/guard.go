package boltstore

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// panicError is a panic or a memory fault inside bbolt, which is how it answers
// damage.
type panicError struct{ value any }

func (e *panicError) Error() string { return fmt.Sprintf("bbolt: %v", e.value) }

// guard runs f and turns a panic, or a fault on the file's mapping, into a
// *panicError. No caller's code may run in f.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{v}
		}
	}()
	return f()
}

func panicked(err error) bool {
	if err == nil {
		return false
	}
	var p *panicError
	return errors.As(err, &p)
}
