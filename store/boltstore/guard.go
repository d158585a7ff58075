package boltstore

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// panicError is a panic or a memory fault inside bbolt: its answer to damage.
type panicError struct{ value any }

func (e *panicError) Error() string { return fmt.Sprintf("bbolt: %v", e.value) }

// guard runs f and returns a panic, or a fault in the file's mapping, as a *panicError.
// f must not run the caller's code, whose panics are not damage.
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
