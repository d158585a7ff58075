//go:build linux || darwin

package jsonexport

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// folder is an open directory. What is below it is opened one component at a
// time and never through a link: os.Root would follow links that stay inside.
type folder struct{ fd int }

const openFlags = unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY

// openRoot opens a directory by path, through links.
func openRoot(path string) (folder, error) {
	fd, err := openat(unix.AT_FDCWD, path, openFlags|unix.O_DIRECTORY, 0)
	return folder{fd}, err
}

func openat(dir int, name string, flags int, mode uint32) (fd int, err error) {
	err = uninterrupted(func() (err error) {
		fd, err = unix.Openat(dir, name, flags, mode)
		return err
	})
	return fd, err
}

func uninterrupted(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func (f folder) close() { _ = unix.Close(f.fd) }

// sub opens a directory in f. Something else of that name is a *notA.
func (f folder) sub(name string) (folder, error) {
	fd, err := openat(f.fd, name, openFlags|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err == unix.ENOTDIR || err == unix.ELOOP {
		if st, err := f.stat(name); err == nil && !st.mode.IsDir() {
			return folder{-1}, &notA{"a directory", st.mode}
		}
	}
	return folder{fd}, err
}

// entries lists f. path is only used where the system does not tell the types
// of entries while listing.
func (f folder) entries(path string) ([]fs.DirEntry, error) {
	fd, err := openat(f.fd, ".", openFlags|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	dir := os.NewFile(uintptr(fd), path)
	defer dir.Close()
	return dir.ReadDir(-1)
}

// stat describes the entry itself, not what a link points to.
func (f folder) stat(name string) (fileState, error) {
	var st unix.Stat_t
	err := uninterrupted(func() error { return unix.Fstatat(f.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	return stateOf(&st), err
}

// hasFile reports whether f has an entry of that name in its directory dir.
func (f folder) hasFile(dir, name string) bool {
	var st unix.Stat_t
	return uninterrupted(func() error {
		return unix.Fstatat(f.fd, dir+"/"+name, &st, unix.AT_SYMLINK_NOFOLLOW)
	}) == nil
}

// open opens a file for reading. It neither follows a link nor waits for the
// other end of a pipe; the caller judges what it got.
func (f folder) open(name string) (file, error) {
	fd, err := openat(f.fd, name, openFlags|unix.O_NOFOLLOW, 0)
	switch err {
	case unix.ELOOP, unix.ENXIO, unix.ENODEV, unix.EOPNOTSUPP: // a link, a socket, a device without a driver
		if st, err := f.stat(name); err == nil && !st.mode.IsRegular() {
			return file{-1}, &notA{"a regular file", st.mode}
		}
	}
	return file{fd}, err
}

// create creates a file that does not exist, with mode 0600.
func (f folder) create(name string) (*os.File, error) {
	fd, err := openat(f.fd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// mkdir creates a directory with mode 0700.
func (f folder) mkdir(name string) error {
	return uninterrupted(func() error { return unix.Mkdirat(f.fd, name, 0o700) })
}

// setModified says of an entry when it was modified, if t is not zero. Where the file
// system refuses, that stays the moment of the write.
func (f folder) setModified(name string, t time.Time) {
	ts, err := unix.TimeToTimespec(t)
	if err != nil || t.IsZero() {
		return
	}
	_ = uninterrupted(func() error {
		return unix.UtimesNanoAt(f.fd, name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	})
}

func (f folder) rename(from, to string) error {
	return uninterrupted(func() error { return unix.Renameat(f.fd, from, f.fd, to) })
}

func (f folder) remove(name string) error {
	return uninterrupted(func() error { return unix.Unlinkat(f.fd, name, 0) })
}

func (f folder) removeDir(name string) error {
	return uninterrupted(func() error { return unix.Unlinkat(f.fd, name, unix.AT_REMOVEDIR) })
}

// sync makes the entries of f durable.
func (f folder) sync() error { return uninterrupted(func() error { return fsync(f.fd) }) }

// file is a file open for reading.
type file struct{ fd int }

func (f file) close() { _ = unix.Close(f.fd) }

func (f file) sync() error { return uninterrupted(func() error { return fsync(f.fd) }) }

func (f file) stat() (fileState, error) {
	var st unix.Stat_t
	err := uninterrupted(func() error { return unix.Fstat(f.fd, &st) })
	return stateOf(&st), err
}

// readAt fills buf as far as the file goes.
func (f file) readAt(buf []byte, offset int64) (int, error) {
	n := 0
	for n < len(buf) {
		var k int
		err := uninterrupted(func() (err error) {
			k, err = unix.Pread(f.fd, buf[n:], offset+int64(n))
			return err
		})
		if err != nil {
			return n, err
		}
		if k == 0 {
			return n, io.EOF
		}
		n += k
	}
	return n, nil
}

func stateOf(st *unix.Stat_t) fileState {
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
	return fileState{
		mode: mode, dev: uint64(st.Dev), ino: st.Ino, size: st.Size,
		modified: time.Unix(st.Mtim.Unix()),
		changed:  time.Unix(st.Ctim.Unix()),
	}
}

func isNotDir(err error) bool { return errors.Is(err, unix.ENOTDIR) }

func isNoSpace(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

func isReadOnly(err error) bool { return errors.Is(err, unix.EROFS) }

// isWhole tells a failure of the file system from one that concerns a file.
func isWhole(err error) bool {
	return isNoSpace(err) || isReadOnly(err) || errors.Is(err, unix.EIO) || errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}
