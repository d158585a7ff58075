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

// byWeight orders the exit codes: if several apply, the last of them is used.
var byWeight = []int{exitDone, exitUsage, exitMissing, exitLocked, exitFormat, exitPartial, exitDifferent, exitDamage, exitFailure, exitInterrupted}

// heavier is the exit code if both a and b apply.
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

// transient reports whether the system refused something to this process. That is a failure
// and never damage, whatever else the error says: the data may be undamaged.
func transient(err error) bool {
	return slices.ContainsFunc([]error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EACCES, syscall.EPERM, syscall.EROFS, syscall.ENOSPC, syscall.EDQUOT, syscall.EIO,
		syscall.EAGAIN, syscall.EINTR, syscall.ETXTBSY, syscall.ENOLCK,
	}, func(want error) bool { return errors.Is(err, want) })
}

// flatten splits what errors.Join joined, so that each error has its own exit code and
// line. Other errors that wrap several stay as they are.
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
