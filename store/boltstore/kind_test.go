package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	berrors "go.etcd.io/bbolt/errors"

	"podstore/store"
)

// What bbolt and the system say becomes what package store says.
func TestKinds(t *testing.T) {
	for err, want := range map[error]error{
		berrors.ErrTimeout:         store.ErrLocked,
		berrors.ErrDatabaseNotOpen: store.ErrClosed,
		berrors.ErrInvalid:         store.ErrCorrupt,
		berrors.ErrChecksum:        store.ErrCorrupt,
		berrors.ErrVersionMismatch: store.ErrFormat,
		syscall.ENOSPC:             store.ErrNoSpace,
		fs.ErrNotExist:             store.ErrNotFound,
		errors.New("other"):        nil,
	} {
		if got := kindOf(fmt.Errorf("wrapped: %w", err)); got != want {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
}
