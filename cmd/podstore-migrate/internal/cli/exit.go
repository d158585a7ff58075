package cli

import (
	"context"
	"errors"
	"slices"
	"strings"
	"syscall"

	"podstore/store"
)

// The exit codes, as the help of the root command lists them.
const (
	exitDone        = 0
	exitFailure     = 1
	exitUsage       = 2
	exitPartial     = 3
	exitDifferent   = 4
	exitDamage      = 5
	exitMissing     = 10
	exitLocked      = 11
	exitFormat      = 12
	exitInterrupted = 130
)

// byWeight has the exit codes in ascending order of what matters where several
// apply.
var byWeight = []int{exitDone, exitUsage, exitMissing, exitLocked, exitFormat, exitPartial, exitDifferent, exitDamage, exitFailure, exitInterrupted}

// heavier is the exit code for two things that both happened.
func heavier(a, b int) int {
	if slices.Index(byWeight, a) < slices.Index(byWeight, b) {
		return b
	}
	return a
}

// codeOf is the exit code for an error that ended a command.
func codeOf(err error) int {
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return exitInterrupted
	case errors.As(err, new(*usageError)):
		return exitUsage
	case transient(err):
		return exitFailure
	case errors.Is(err, store.ErrFormat):
		return exitFormat
	case errors.Is(err, store.ErrLocked):
		return exitLocked
	case errors.Is(err, store.ErrUnusable):
		return exitFailure
	case errors.Is(err, store.ErrCorrupt):
		return exitDamage
	case errors.Is(err, store.ErrNotFound):
		return exitMissing
	}
	return exitFailure
}

// transient reports whether the system refused something to this process: what it was
// about may be well. That is a failure, whatever else the error says, and never damage.
func transient(err error) bool {
	return slices.ContainsFunc([]error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EACCES, syscall.EPERM, syscall.EROFS, syscall.ENOSPC, syscall.EDQUOT, syscall.EIO,
		syscall.EAGAIN, syscall.EINTR, syscall.ETXTBSY, syscall.ENOLCK,
	}, func(want error) bool { return errors.Is(err, want) })
}

// flatten takes what errors.Join joined apart, so that each error is judged and
// told by itself. Other errors that wrap several stay as they are.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var texts []string
	var out []error
	for _, e := range joined.Unwrap() {
		texts = append(texts, e.Error())
		out = append(out, flatten(e)...)
	}
	if err.Error() != strings.Join(texts, "\n") {
		return []error{err}
	}
	return out
}

// kindWord names an exit code in JSON.
func kindWord(code int) string {
	switch code {
	case exitUsage:
		return "usage"
	case exitDamage:
		return "damaged"
	case exitMissing:
		return "missing"
	case exitLocked:
		return "locked"
	case exitFormat:
		return "unknown-format"
	case exitInterrupted:
		return "interrupted"
	}
	return "failure"
}
