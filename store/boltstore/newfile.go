package boltstore

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
	"podstore/store/internal/codec"
	"podstore/store/internal/osfs"
)

// newFile calls write to make a file beside dst. When the file is complete and synced,
// newFile gives it the name dst, durably. It never replaces what stands at dst. After
// an error nothing is left.
func newFile(dst string, write func(tmp string) error) error {
	exists := &store.Error{Path: dst, Kind: store.ErrExists, Err: errors.New("give a path where nothing is")}
	if _, err := os.Lstat(dst); err == nil {
		return exists
	}
	tmp := filepath.Join(filepath.Dir(dst), "."+filepath.Base(dst)+".new-"+rand.Text()[:8])
	defer os.Remove(tmp) // fails after the rename
	if err := write(tmp); err != nil {
		if !errors.As(err, new(*store.Error)) {
			err = &store.Error{Path: tmp, Kind: kindOf(err), Err: err}
		}
		return renamed(err, tmp, dst)
	}
	if err := osfs.RenameNew(tmp, dst); errors.Is(err, os.ErrExist) {
		return exists
	} else if err != nil {
		return err
	}
	return syncDir(filepath.Dir(dst))
}

// renamed replaces the path of a temporary file in an error by the path that the caller
// gave.
func renamed(err error, tmp, path string) error {
	isTmp := func(p string) bool {
		return p == tmp || strings.HasPrefix(filepath.Base(tmp), ".") && strings.Contains(filepath.Base(p), filepath.Base(tmp))
	}
	if e, ok := errors.AsType[*store.Error](err); ok && isTmp(e.Path) {
		e.Path = path
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok && isTmp(e.Path) {
		e.Path = path
	}
	return err
}

// initialize creates an empty database file.
func initialize(path string) error {
	db, err := bolt.Open(path, 0o600, &bolt.Options{
		PageSize: pageSize,
		Timeout:  time.Second,
		NoSync:   mutant == "nosync",
		OpenFile: func(path string, _ int, _ os.FileMode) (*os.File, error) { return osfs.CreateFile(path) },
	})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket([]byte(bookkeeping))
		if err != nil {
			return err
		}
		e := codec.NewEncoder()
		if err := b.Put([]byte(keyFormat), sealBook(keyFormat, e.Uint(formatVersion))); err != nil {
			return err
		}
		return b.Put([]byte(keyNames), sealBook(keyNames, e.Uints(0, 0)))
	})
	return errors.Join(err, db.Close())
}
