package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"podstore/store/boltstore"
)

// newFile is a database file that was not there when the command began, and that
// it has created.
type newFile struct {
	path string
	info fs.FileInfo // nil where it could not be created
	dirs []string    // that were missing above it, the deepest first
}

// openFile opens a database file to write to. Where it is missing it is created,
// and remembered for removeUnused.
func (c *console) openFile(ctx context.Context, path string) (opened, error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		db, err := c.open(ctx, path, &boltstore.Options{AllowNetworkFS: c.allowNetwork, Logger: c.logger()})
		if err != nil {
			return opened{}, err
		}
		return opened{db, db.Close}, nil
	}
	n := &newFile{path: path}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		n.dirs = append(n.dirs, dir)
	}
	c.created = n
	db, err := boltstore.Open(path, &boltstore.Options{AllowNetworkFS: c.allowNetwork, Logger: c.logger()}) // to be waited for: there is hardly a lock
	if err != nil {
		n.info, _ = os.Lstat(path) // it may have been created before that
		return opened{}, err
	}
	n.info, _ = os.Lstat(path) // it is the one that is open, and locked
	return opened{db, db.Close}, nil
}

// removeUnused removes what the command has created, unless a Pod is in it or
// another program has it. The command must have closed it.
func (c *console) removeUnused() {
	n := c.created
	if n == nil {
		return
	}
	if n.info != nil && !n.removeFile() {
		return
	}
	for _, dir := range n.dirs {
		if os.Remove(dir) != nil { // something is in it
			return
		}
	}
}

// removeFile removes the file while it has the lock on it, so that nobody else can
// be using it: who waits for the lock finds out that the file is gone. Windows
// does not remove what is open, and there the empty database stays.
func (n *newFile) removeFile() bool {
	s, err := boltstore.Open(n.path, &boltstore.Options{MustExist: true, LockTimeout: time.Millisecond, AllowNetworkFS: true})
	if err != nil {
		return false
	}
	defer s.Close()
	now, err := os.Lstat(n.path)
	if err != nil || !os.SameFile(n.info, now) {
		return false
	}
	names, err := s.List(context.Background())
	return err == nil && len(names) == 0 && os.Remove(n.path) == nil
}
