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

// Findings of the whole file carry adviceSalvage, those of one Pod advicePod.
const (
	adviceSalvage = "restore a backup, or salvage copies every Pod that is whole into a new file"
	advicePod     = "write or import this Pod again, or delete it; the others are not affected"
)

var (
	// errMissing: the database has no bucket of this name.
	errMissing = errors.New("no bucket of this name")
	errDigest  = errors.New("the digest of its sub-keys does not match: a value was lost, or is an old one")
)

// kindOf returns the store's sentinel for an error of the file system or of bbolt, or
// nil.
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

// onlyGrowth reports whether a commit failed because the file could not grow. bbolt
// grows the file before it writes the first page, so the file is unchanged. This does
// not hold if the sync of the longer file fails.
func onlyGrowth(err error) bool {
	return isNoSpace(err) && strings.HasPrefix(err.Error(), "file resize error: ")
}

// lastPart returns what the system said. The text before it names the file as it was
// called when bbolt created it.
func lastPart(err error) string {
	text := err.Error()
	return text[strings.LastIndex(text, ": ")+len(": "):]
}

// pageDamage is damage to the pages of a Pod. They may name pages of others, which bbolt
// would free with them, so the Pod can be neither replaced nor deleted in place.
type pageDamage struct{ error }

func (e *pageDamage) Unwrap() error { return e.error }

func damaged(op, name string, err error) error {
	advice := "write or import it again, or delete it"
	if errors.As(err, new(*pageDamage)) {
		advice = adviceSalvage
	}
	return &store.Error{Op: op, Pod: name, Kind: store.ErrCorrupt,
		Err: fmt.Errorf("%w; the others are not affected; %s", err, advice)}
}

// asDamage makes err the error of a damaged Pod, unless it already is a *store.Error.
func asDamage(name string, err error) error {
	if errors.As(err, new(*store.Error)) {
		return err
	}
	return damaged("", name, err)
}

// newer adds the Pod to the error for one that a newer version wrote.
func newer(name string, err error) error {
	var e *store.Error
	if errors.As(err, &e) {
		e.Pod = name
	}
	return err
}

// readErr turns an error of load, metadata or view into the caller's error.
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

// maybeLost is the error for a missing Pod if the file has lost Pods: it may be one of
// them.
func (s *Store) maybeLost(op, name string) error {
	return &store.Error{Op: op, Pod: name, Path: s.path, Kind: store.ErrCorrupt,
		Err: fmt.Errorf("not found, and the file has lost Pods: %w", s.recordErr)}
}

// fileError is the error for a file that boltfile cannot open.
func fileError(err error) error {
	if errors.Is(err, boltfile.ErrNotBolt) {
		return &store.Error{Kind: store.ErrFormat, Err: errors.New("this is not a podstore database, or its beginning is lost; give another file, or restore a backup")}
	}
	return &store.Error{Kind: store.ErrCorrupt, Err: fmt.Errorf("%w; %s", err, adviceSalvage)}
}

// withOp adds the operation to an error that names none.
func withOp(op string, err error) error {
	var e *store.Error
	if errors.As(err, &e) && e.Op == "" {
		e.Op = op
	}
	return err
}

// opError adds operation and path to the error of a function that works on a whole
// file.
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
