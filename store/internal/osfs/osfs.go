// Package osfs has everything that this module asks of the operating system about
// files: opening without following links and without waiting for the other end of a
// pipe, making names durable, replacing one whole file by another, and locking.
//
// It repeats a call that a signal interrupts. Except for [NotA], errors are the
// system's own numbers without a path: the caller knows the Pod or segment and names
// it.
package osfs

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"podstore/store"
)

// uninterrupted repeats a call until no signal interrupts it.
func uninterrupted(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

// NotA reports that an entry has another type than the caller needs. Nobody followed it
// or waited for it. It matches [store.ErrInvalid].
type NotA struct {
	Want  string      // "a regular file" or "a directory"
	Found fs.FileMode // type bits
}

func (e *NotA) Error() string {
	is := "a device"
	switch {
	case e.Found.IsRegular():
		is = "a file"
	case e.Found.IsDir():
		is = "a directory"
	case e.Found&fs.ModeSymlink != 0:
		return "is a symbolic link, which is not followed; put " + e.Want + " in its place"
	case e.Found&fs.ModeNamedPipe != 0:
		is = "a named pipe"
	case e.Found&fs.ModeSocket != 0:
		is = "a socket"
	}
	return "is " + is + "; expected " + e.Want
}

func (e *NotA) Is(target error) bool { return target == store.ErrInvalid }

// Kind returns the sentinel for an error of this package. It returns nil if the caller
// knows better: what is missing may be a Pod, a session or a database.
func Kind(err error) error {
	switch {
	case errors.Is(err, store.ErrInvalid):
		return store.ErrInvalid
	case IsNoSpace(err):
		return store.ErrNoSpace
	case errors.Is(err, unix.EROFS):
		return store.ErrReadOnly
	}
	return nil
}

// IsNoSpace reports whether a disk or a quota is full.
func IsNoSpace(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// IsNotDir reports whether something on the way to a file is not a directory.
func IsNotDir(err error) bool { return errors.Is(err, unix.ENOTDIR) }

// IsNotEmpty reports whether a directory could not be removed or replaced because it is
// not empty.
func IsNotEmpty(err error) bool {
	return errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST)
}

// IsWhole reports whether a failure concerns the whole file system or process, so that
// other files will fail in the same way.
func IsWhole(err error) bool {
	return IsNoSpace(err) || errors.Is(err, unix.EROFS) || errors.Is(err, unix.EIO) ||
		errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}

// ID identifies a file on one machine. Unless the file is open, another file may get
// its ID after it is removed.
type ID struct{ Dev, Ino uint64 }

// State tells one state of a file from another.
type State struct {
	ID
	Owner
	Mode              fs.FileMode // type bits
	Size              int64
	Modified, Changed time.Time
}

// Same reports whether nobody wrote the file between the two states.
func (s State) Same(o State) bool {
	return s.ID == o.ID && s.Size == o.Size && s.Modified.Equal(o.Modified) && s.Changed.Equal(o.Changed)
}

func stateOf(st *unix.Stat_t) State {
	mode := fs.FileMode(0)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		mode = fs.ModeDir
	case unix.S_IFLNK:
		mode = fs.ModeSymlink
	case unix.S_IFIFO:
		mode = fs.ModeNamedPipe
	case unix.S_IFSOCK:
		mode = fs.ModeSocket
	default:
		mode = fs.ModeDevice
	}
	return State{
		ID:    ID{uint64(st.Dev), st.Ino},
		Owner: Owner{uint32(st.Mode) & 0o777, st.Uid, st.Gid},
		Mode:  mode, Size: st.Size,
		Modified: time.Unix(st.Mtim.Unix()),
		Changed:  time.Unix(st.Ctim.Unix()),
	}
}

// Lstat describes what stands at a path, not what a link there points to.
func Lstat(path string) (State, error) {
	var st unix.Stat_t
	err := uninterrupted(func() error { return unix.Lstat(path, &st) })
	return stateOf(&st), err
}

// IsAt reports whether path names the file.
func IsAt(path string, file ID) (bool, error) {
	now, err := Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || IsNotDir(err) {
		return false, nil
	}
	return err == nil && now.ID == file, err
}

// lsizeAt is SizeAt with calls that all systems have.
func lsizeAt(path string, identity fs.FileInfo) (size int64, same bool, err error) {
	now, err := os.Lstat(path)
	if err != nil {
		return 0, false, err
	}
	return now.Size(), os.SameFile(now, identity), nil
}
