//go:build unix

package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"podstore/store"
)

// openNoFollow opens a file that exists, without following a link in its last
// component and without waiting for the other end of a FIFO.
func openNoFollow(path string, readOnly bool) (*os.File, error) {
	flag := os.O_RDWR
	if readOnly {
		flag = os.O_RDONLY
	}
	if isDescriptor(path) {
		return os.OpenFile(path, flag, 0) // a file of this process, which has it open
	}
	f, err := os.OpenFile(path, flag|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, &store.Error{Kind: store.ErrInvalid, Err: errors.New("this is a symbolic link; give the path of the file itself")}
	}
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.ENXIO) {
		return nil, &store.Error{Kind: store.ErrInvalid, Err: fmt.Errorf("this is not a regular file: %w", err)}
	}
	return f, err
}

// lookAt describes the file at a path.
func lookAt(path string) (fs.FileInfo, error) {
	if isDescriptor(path) {
		return os.Stat(path)
	}
	return os.Lstat(path)
}

// NetworkFSError: the file is on a file system that several machines may share, where
// locks cannot be relied on. It matches store.ErrInvalid. Options.AllowNetworkFS permits
// it.
type NetworkFSError struct{ Name string }

func (e *NetworkFSError) Error() string {
	return fmt.Sprintf("it is on a network file system (%s), where locks cannot be relied on; move it to a local disk", e.Name)
}

// Is makes it match [store.ErrInvalid].
func (e *NetworkFSError) Is(target error) bool { return target == store.ErrInvalid }

// judgePlace refuses a file system that is not for writing a database. f is the file, or
// the directory that it is to be in.
func (s *Store) judgePlace(f *os.File, o *Options) error {
	shared, unknown := fileSystem(f)
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

// warn logs, where there is a log.
func (s *Store) warn(message string, args ...any) {
	if s.log != nil {
		s.log.Warn(message, args...)
	}
}

// judgeFile refuses a file in which others may meddle.
func (s *Store) judgeFile(f *os.File, info fs.FileInfo, o *Options) error {
	refuse := func(format string, args ...any) error {
		return &store.Error{Kind: store.ErrInvalid, Err: fmt.Errorf(format, args...)}
	}
	if !info.Mode().IsRegular() {
		return refuse("this is not a regular file (%v)", info.Mode().Type())
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
	if perm&0o020 != 0 { // as the volumes of Kubernetes have it with fsGroup
		s.warn("podstore: the group of the file may write it", "path", s.path, "mode", fmt.Sprintf("%04o", perm))
	}
	return s.judgePlace(f, o)
}

// lockPoll is the longest pause between two tries for a lock.
const lockPoll = 50 * time.Millisecond

// lock takes the lock that bbolt takes. Taken here, before bbolt, it covers the
// checks of the file too; bbolt then finds that this descriptor has it already.
func lock(f *os.File, exclusive bool, deadline time.Time) error {
	how := unix.LOCK_SH
	if exclusive {
		how = unix.LOCK_EX
	}
	for pause := time.Millisecond; ; pause = min(2*pause, lockPoll) {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case err == unix.EINTR:
		case err != unix.EWOULDBLOCK:
			return fmt.Errorf("flock: %w", err)
		case time.Now().After(deadline):
			return &store.Error{Kind: store.ErrLocked, Err: errors.New(holder(f) + " has it open; stop it, or ask it for a snapshot")}
		default:
			time.Sleep(pause)
		}
	}
}

func unlock(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = conn.Control(func(fd uintptr) { result = unix.Flock(int(fd), unix.LOCK_UN) })
	return errors.Join(err, result)
}

// private gives a file or directory that was just created in dir the mode it is to have,
// whatever the umask, and where root created it, the owner of dir.
func private(path, dir string, mode fs.FileMode) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.Mode().Perm() != mode {
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
	}
	above, err := os.Stat(dir)
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	is, ok := info.Sys().(*syscall.Stat_t)
	want, ok2 := above.Sys().(*syscall.Stat_t)
	if !ok || !ok2 || is.Uid == want.Uid && is.Gid == want.Gid {
		return nil
	}
	return os.Lchown(path, int(want.Uid), int(want.Gid))
}

// syncDir makes what was created or renamed in a directory durable.
func syncDir(dir string) error {
	if mutant == "nosync" || mutant == "nodirsync" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
