package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	berrors "go.etcd.io/bbolt/errors"

	"podstore/store"
	"podstore/store/boltstore/internal/boltfile"
)

// adviceSalvage is what to do about damage that no single Pod owns.
const (
	adviceSalvage = "restore a backup, or salvage copies every Pod that is whole into a new file"
	advicePod     = "write or import this Pod again, or delete it; the others are not affected"
)

var (
	// errMissing is returned by load for a name that has no bucket.
	errMissing = errors.New("no bucket of this name")
	errDigest  = errors.New("the digest of its sub-keys does not match: a value was lost, or is an old one")
)

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

func isNoSpace(err error) bool {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, berrors.ErrMaxSizeReached} {
		// bbolt does not wrap the error of a resize, but quotes it.
		if errors.Is(err, full) || err != nil && strings.HasSuffix(err.Error(), ": "+full.Error()) {
			return true
		}
	}
	return false
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

// damaged is the error for a Pod that could not be read.
func damaged(op, name string, err error) error {
	return &store.Error{Op: op, Pod: name, Kind: store.ErrCorrupt,
		Err: fmt.Errorf("%w; the others are not affected; write or import it again, or delete it", err)}
}

// asDamage is the error for a Pod of which something could not be read, or the
// error itself where it says what it is.
func asDamage(name string, err error) error {
	if errors.As(err, new(*store.Error)) {
		return err
	}
	return damaged("", name, err)
}

// newer names the Pod that a newer version wrote.
func newer(name string, err error) error {
	var e *store.Error
	if errors.As(err, &e) {
		e.Pod = name
	}
	return err
}

// readErr turns what load, metadata or view returned into the caller's error.
func (s *Store) readErr(op, name string, err error) error {
	var e *store.Error
	switch {
	case errors.Is(err, errMissing):
		if s.recordErr != nil {
			return s.maybeLost(op, name)
		}
		return &store.Error{Op: op, Pod: name, Kind: store.ErrNotFound}
	case errors.Is(err, store.ErrFormat):
		return newer(name, withOp(op, err))
	case errors.As(err, &e):
		return err
	case kindOf(err) == store.ErrClosed:
		return &store.Error{Op: op, Pod: name, Path: s.path, Kind: store.ErrClosed}
	}
	return damaged(op, name, err)
}

// maybeLost is the error for a Pod that is not there, in a file from which Pods
// have vanished.
func (s *Store) maybeLost(op, name string) error {
	return &store.Error{Op: op, Pod: name, Path: s.path, Kind: store.ErrCorrupt,
		Err: fmt.Errorf("not found, and the file has lost Pods: %w", s.recordErr)}
}

// fileError is the error for a file that boltfile cannot open.
func fileError(err error) error {
	if errors.Is(err, boltfile.ErrNotBolt) {
		return &store.Error{Kind: store.ErrFormat, Err: errors.New("this is not a podstore database, or its beginning is lost")}
	}
	return &store.Error{Kind: store.ErrCorrupt, Err: fmt.Errorf("%w; %s", err, adviceSalvage)}
}

// withOp puts the operation on an error that lacks it.
func withOp(op string, err error) error {
	var e *store.Error
	if errors.As(err, &e) && e.Op == "" {
		e.Op = op
	}
	return err
}

// opError puts operation and path on an error of a function that concerns a
// whole file.
func opError(op, path string, err error) error {
	var e *store.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &e):
		return &store.Error{Op: op, Path: path, Kind: kindOf(err), Err: err}
	}
	if e.Op == "" {
		e.Op = op
	}
	if e.Path == "" && e.Pod == "" {
		e.Path = path
	}
	return err
}
