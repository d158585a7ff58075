package boltstore

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"podstore/store/internal/osfs"
)

// create makes an empty database at path. It writes a temporary file beside it, syncs
// it, and renames it, so that a crash never leaves half a file at path. It opens and
// locks the file before the rename, so that nobody else can use the file before a later
// step fails. If a file appears at path meanwhile, create keeps that one and reports
// false. The new name is not durable yet.
func (s *Store) create(o *Options) (created bool, err error) {
	path := s.path
	dir := filepath.Dir(path)
	if err := makeDir(dir); err != nil {
		return false, err
	}
	if d, err := os.Open(dir); err == nil { // if not, openFile checks it together with the file
		err = s.checkFileSystem(d, o)
		if err = errors.Join(err, d.Close()); err != nil {
			return false, err
		}
	}
	tmp := filepath.Join(dir, "."+filepath.Base(path)+".new-"+rand.Text()[:8])
	defer os.Remove(tmp) // fails after the rename
	if err := initialize(tmp); err != nil {
		return false, err
	}
	f, err := openRegular(tmp, false)
	if err != nil {
		return false, err
	}
	info, err := f.Stat()
	if err == nil {
		err = lock(f, true, time.Now())
	}
	if err == nil {
		err = osfs.RenameNew(tmp, path)
	}
	if err != nil {
		if errors.Is(err, fs.ErrExist) {
			err = nil
		}
		return false, errors.Join(err, f.Close())
	}
	s.file, s.identity = f, info
	return true, nil
}

// removeCreated removes the file that create made, while its lock is still held.
func (s *Store) removeCreated() {
	if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.identity) {
		_ = os.Remove(s.path)
	}
}
