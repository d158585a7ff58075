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

// create makes an empty database at path: a temporary file beside it, synced and
// renamed, so that a crash leaves no half a file under the name. The file is open and
// locked before it has its name, so nobody else can have used it when something fails
// later. A file that appears at path meanwhile stays, and none is created. The name is
// not durable yet.
func (s *Store) create(o *Options) (created bool, err error) {
	path := s.path
	dir := filepath.Dir(path)
	if err := makeDir(dir); err != nil {
		return false, err
	}
	if d, err := os.Open(dir); err == nil { // one that is not to be read is judged with the file
		err = s.checkFileSystem(d, o)
		if err = errors.Join(err, d.Close()); err != nil {
			return false, err
		}
	}
	tmp := filepath.Join(dir, "."+filepath.Base(path)+".new-"+rand.Text()[:8])
	defer os.Remove(tmp) // gone already when all went well
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

// removeCreated removes the file that create made. It is still locked.
func (s *Store) removeCreated() {
	if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.identity) {
		_ = os.Remove(s.path)
	}
}
