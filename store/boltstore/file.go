package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"podstore/store"
	"podstore/store/internal/osfs"
)

// openRegular opens an existing regular file. It does not follow a link in the last
// component, and does not wait for the other end of a FIFO.
func openRegular(path string, readOnly bool) (*os.File, error) {
	flag := os.O_RDWR
	if readOnly {
		flag = os.O_RDONLY
	}
	f, err := osfs.Reopen(path, flag)
	if not, ok := errors.AsType[*osfs.NotA](err); ok {
		err = fmt.Errorf("this %w", not)
		if not.Found&fs.ModeSymlink != 0 {
			err = errors.New("this is a symbolic link; give the path of the file itself")
		}
		return nil, &store.Error{Kind: store.ErrInvalid, Err: err}
	}
	return f, err
}

// openFile opens and locks the file at path. The former owner of the lock may have
// replaced the file, so openFile checks that the locked file still stands at path.
func (s *Store) openFile(o *Options) error {
	deadline := time.Now().Add(o.LockTimeout)
	for {
		f, err := openRegular(s.path, o.ReadOnly)
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err == nil {
			err = s.checkAccess(f, info, o)
		}
		if err == nil {
			err = lock(f, !o.ReadOnly, deadline)
		}
		if err != nil {
			return errors.Join(err, f.Close())
		}
		now, err := osfs.LookAt(s.path)
		if err == nil && os.SameFile(info, now) {
			s.file, s.identity = f, info
			return nil
		}
		if err := f.Close(); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return &store.Error{Kind: store.ErrLocked, Err: errors.New("the file is being replaced again and again")}
		}
	}
}

// withFile opens and locks a file for reading, without bbolt, and calls f.
func withFile(path string, opts *Options, f func(file *os.File, size int64) error) error {
	var o Options
	if opts != nil {
		o = *opts
	}
	o.ReadOnly = true
	s := &Store{path: path}
	if err := s.openFile(&o); err != nil {
		return err
	}
	info, err := s.file.Stat()
	if err == nil {
		err = f(s.file, info.Size())
	}
	return errors.Join(err, s.file.Close())
}

// NetworkFSError reports that the file is on a file system that several machines may
// share, where locks are not reliable. It matches store.ErrInvalid.
// Options.AllowNetworkFS permits such a file system.
type NetworkFSError struct{ Name string }

func (e *NetworkFSError) Error() string {
	return fmt.Sprintf("it is on a network file system (%s), where locks cannot be relied on; move it to a local disk", e.Name)
}

func (e *NetworkFSError) Is(target error) bool { return target == store.ErrInvalid }

// checkAccess refuses an empty file, and one that others may write or replace.
func (s *Store) checkAccess(f *os.File, info fs.FileInfo, o *Options) error {
	refuse := func(format string, args ...any) error {
		return &store.Error{Kind: store.ErrInvalid, Err: fmt.Errorf(format, args...)}
	}
	perm := info.Mode().Perm()
	if perm&0o002 != 0 {
		return refuse("others may write it (mode %04o); run chmod o-w on it", perm)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		if me := os.Geteuid(); me != 0 && st.Uid != 0 && int(st.Uid) != me {
			return refuse("it belongs to user %d, and this is user %d", st.Uid, me)
		}
	}
	if info.Size() == 0 {
		return &store.Error{Kind: store.ErrFormat, Err: errors.New("the file is empty (0 bytes), and so no database; give a path where nothing is to create one")}
	}
	if perm&0o020 != 0 { // volumes of Kubernetes with fsGroup are like this
		s.warn("podstore: the group of the file may write it", "path", s.path, "mode", fmt.Sprintf("%04o", perm))
	}
	return s.checkFileSystem(f, o)
}

// checkFileSystem refuses to write a database on a file system that several machines
// may share. f is the file or the directory for it.
func (s *Store) checkFileSystem(f *os.File, o *Options) error {
	shared, unknown := osfs.FileSystem(f)
	if shared != "" {
		if !o.ReadOnly && !o.AllowNetworkFS {
			return &NetworkFSError{shared}
		}
		s.warn("podstore: the file is on a network file system; no other machine may write it meanwhile", "path", s.path, "file system", shared)
		return nil
	}
	if unknown != "" {
		s.warn("podstore: the file is on a file system that is not known; if other machines share it, locks cannot be relied on", "path", s.path, "file system", unknown)
	}
	return nil
}

// warn logs, if there is a logger: withFile has none.
func (s *Store) warn(message string, args ...any) {
	if s.log != nil {
		s.log.Warn(message, args...)
	}
}

// lock takes the lock that bbolt also takes. Taken here, it covers the checks before
// bbolt opens the file. bbolt uses the same descriptor, so it then finds the lock held
// already.
func lock(f *os.File, exclusive bool, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	err := osfs.Lock(ctx, f, exclusive)
	if errors.Is(err, context.DeadlineExceeded) {
		return &store.Error{Kind: store.ErrLocked, Err: errors.New(osfs.Holder(f) + " has it open; end it, or ask it for a snapshot")}
	}
	return err
}

// syncDir makes new names in a directory durable.
func syncDir(dir string) error {
	if mutant == "nosync" || mutant == "nodirsync" {
		return nil
	}
	return osfs.SyncDir(dir)
}

// makeDir creates a directory and its missing parents, durably. It also syncs one that
// is there: a process may have created it and died before the sync.
func makeDir(dir string) error {
	return osfs.MkdirAll(dir, mutant != "nosync" && mutant != "nodirsync")
}
