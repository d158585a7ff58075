package main

import (
	"context"
	"errors"
	"slices"

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

// flatten takes joined errors apart, so that each is judged and told by itself.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	if _, ok := err.(*store.Error); ok {
		return []error{err}
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, flatten(e)...)
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
