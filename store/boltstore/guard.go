package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"strings"
	"syscall"

	berrors "go.etcd.io/bbolt/errors"

	"podstore/store"
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

// poison makes the handle unusable because of cause, for good. With abandon,
// bbolt's own state cannot be trusted either and it is never called again, not
// even to close.
func (s *Store) poison(cause error, abandon bool) {
	if mutant == "nopoison" {
		return
	}
	if s.cause.CompareAndSwap(nil, &cause) {
		s.log.Error("podstore: handle is unusable, close it and open the store again", "path", s.path, "cause", cause)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if abandon && !s.abandoned.Swap(true) {
		close(s.gone)
	}
	s.changes.wake()
	s.idle.Broadcast() // nobody waits for a leader that bbolt may keep for ever
}

// usable returns ErrUnusable or ErrClosed, or nil.
func (s *Store) usable(op, pod string) error {
	if s.closed.Load() {
		return &store.Error{Op: op, Pod: pod, Path: s.path, Kind: store.ErrClosed}
	}
	if cause := s.cause.Load(); cause != nil {
		return s.unusable(op, pod, *cause)
	}
	return nil
}

func (s *Store) unusable(op, pod string, cause error) error {
	return &store.Error{Op: op, Pod: pod, Path: s.path, Kind: store.ErrUnusable,
		Err: fmt.Errorf("close it and open the store again; it failed with: %w", cause)}
}

// kindOf is the sentinel for an error of the file system or of bbolt, or nil.
func kindOf(err error) error {
	var p *panicError
	switch {
	case errors.As(err, &p):
		return store.ErrCorrupt
	case isNoSpace(err):
		return store.ErrNoSpace
	case errors.Is(err, fs.ErrNotExist):
		return store.ErrNotFound
	case errors.Is(err, berrors.ErrTimeout):
		return store.ErrLocked
	case errors.Is(err, berrors.ErrDatabaseNotOpen):
		return store.ErrClosed
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum):
		return store.ErrCorrupt
	case errors.Is(err, berrors.ErrVersionMismatch):
		return store.ErrFormat
	}
	return nil
}

// onlyGrowth reports whether a commit failed because the file could not be made
// longer, which bbolt does before it writes the first page: nothing is in doubt then.
// A sync of the longer file that fails is another matter.
func onlyGrowth(err error) bool {
	return isNoSpace(err) && strings.HasPrefix(err.Error(), "file resize error: ")
}

// lastPart is what the system said: before it bbolt names the file as it was called
// when it was created.
func lastPart(err error) string {
	text := err.Error()
	return text[strings.LastIndex(text, ": ")+len(": "):]
}

func isNoSpace(err error) bool {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, berrors.ErrMaxSizeReached} {
		// bbolt does not wrap the error of a resize, but quotes it.
		if errors.Is(err, full) || err != nil && strings.HasSuffix(err.Error(), ": "+full.Error()) {
			return true
		}
	}
	return false
}
