//go:build linux || darwin

package jsonexport

import (
	"errors"
	"fmt"
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

// hasFile reports whether f has, or may have, an entry of that name in its directory
// dir: where that may not be searched, nobody knows.
func (f folder) hasFile(dir, name string) bool {
	var st unix.Stat_t
	err := uninterrupted(func() error {
		return unix.Fstatat(f.fd, dir+"/"+name, &st, unix.AT_SYMLINK_NOFOLLOW)
	})
	return !errors.Is(err, fs.ErrNotExist) && !isNotDir(err)
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

// makeDir creates and opens a directory with mode 0700, whatever the umask, and where
// root creates it, with the owner of f.
func (f folder) makeDir(name string) (folder, error) {
	if err := f.mkdir(name); err != nil {
		return folder{-1}, err
	}
	return f.adopt(name)
}

// adopt is makeDir for a directory that was created just now.
func (f folder) adopt(name string) (folder, error) {
	dir, err := f.sub(name)
	if errors.Is(err, fs.ErrPermission) && unix.Fchmodat(f.fd, name, 0o700, 0) == nil {
		dir, err = f.sub(name)
	}
	if err == nil {
		owner, ok := f.ownerOfNew()
		if err = setOwner(dir.fd, 0o700, owner, ok); err != nil {
			dir.close()
		}
	}
	if err != nil {
		_ = f.removeDir(name)
		return folder{-1}, err
	}
	return dir, nil
}

// adoptRoot is adopt for a path.
func adoptRoot(path string) error {
	dir, err := openRoot(path)
	if errors.Is(err, fs.ErrPermission) && os.Chmod(path, 0o700) == nil {
		dir, err = openRoot(path)
	}
	if err != nil {
		return err
	}
	defer dir.close()
	above, err := dir.sub("..")
	if err != nil {
		return setOwner(dir.fd, 0o700, fileState{}, false)
	}
	defer above.close()
	owner, ok := above.ownerOfNew()
	return setOwner(dir.fd, 0o700, owner, ok)
}

// ownerOfNew is the owner that what root creates in f is to have.
func (f folder) ownerOfNew() (owner fileState, ok bool) {
	if os.Geteuid() != 0 {
		return owner, false
	}
	owner, err := file(f).stat()
	return owner, err == nil && (owner.uid != 0 || owner.gid != 0)
}

// setOwner gives an open file or directory mode and owner, where it has not: the mode
// because the umask may have taken of it. Whose files they are is not given away
// silently: where only the group cannot be set, its rights go.
func setOwner(fd int, perm uint32, owner fileState, given bool) error {
	st, err := (file{fd}).stat()
	if err != nil {
		return err
	}
	if given && (st.uid != owner.uid || st.gid != owner.gid) {
		err := uninterrupted(func() error { return unix.Fchown(fd, int(owner.uid), int(owner.gid)) })
		switch {
		case err == nil:
		case st.uid == owner.uid:
			perm &^= 0o070
		default:
			return fmt.Errorf("it cannot be given to its owner, user %d: %w", owner.uid, err)
		}
	}
	if st.perm == perm {
		return nil
	}
	return uninterrupted(func() error { return unix.Fchmod(fd, perm) })
}

// mkdir creates a directory with mode 0700, less the umask.
func (f folder) mkdir(name string) error {
	return uninterrupted(func() error { return unix.Mkdirat(f.fd, name, 0o700) })
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
		mode: mode, perm: uint32(st.Mode) & 0o777, uid: st.Uid, gid: st.Gid, dev: uint64(st.Dev), ino: st.Ino, size: st.Size,
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
