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

// newFile is a database file that the command has created.
type newFile struct {
	path string
	info fs.FileInfo // nil if it could not be created
	dirs []string    // directories above it that were created too, the deepest first
}

// openFile opens a database file to write to. It creates a missing one, and remembers it for
// removeUnused.
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
	db, err := boltstore.Open(path, &boltstore.Options{AllowNetworkFS: c.allowNetwork, Logger: c.logger()}) // not c.open: the file is new, so no lock makes it wait
	if err != nil {
		n.info, _ = os.Lstat(path) // it may have been created before the error
		return opened{}, err
	}
	n.info, _ = os.Lstat(path) // the file that is open and locked
	return opened{db, db.Close}, nil
}

// removeUnused removes the file that the command has created, unless it has a Pod or
// another program has it open. The command must have closed it.
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

// removeFile removes the file while it holds the lock, so that no other program can be
// using it. A program that waits for the lock notices that the file is gone.
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
