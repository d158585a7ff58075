//go:build unix

package jsonlstore

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// dir is an open directory: names are looked up in it, not along a path, and no
// link among them is followed.
type dir struct {
	fd   int
	path string
}

// openDir opens a directory. The last component of path must not be a link.
func openDir(path string) (*dir, error) {
	return openDirFlags(path, unix.O_NOFOLLOW)
}

// openDir opens a directory in this one. It must not be a link.
func (d *dir) openDir(name string) (*dir, error) {
	fd, err := d.openat(name, unix.O_RDONLY|unix.O_DIRECTORY)
	switch {
	case err == nil:
		return &dir{fd, d.path + "/" + name}, nil
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP), errors.Is(err, unix.EMLINK):
		return nil, &notRegularError{"a directory", "a file or a link"}
	}
	return nil, err
}

// openRoot opens a directory whose path may end in a link.
func openRoot(path string) (*dir, error) { return openDirFlags(path, 0) }

func openDirFlags(path string, flags int) (*dir, error) {
	fd := -1
	err := retry(func() (err error) {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|flags, 0)
		return err
	})
	switch err {
	case nil:
		return &dir{fd, path}, nil
	case unix.ENOTDIR, unix.ELOOP, unix.EMLINK:
		return nil, &notRegularError{"a directory", "a file or a link"}
	}
	return nil, &fs.PathError{Op: "open", Path: path, Err: err}
}

func (d *dir) close() { unix.Close(d.fd) }

// entries lists the directory.
func (d *dir) entries() ([]fs.DirEntry, error) {
	f, err := d.duplicate()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadDir(-1)
}

// names lists the directory, names alone.
func (d *dir) names() ([]string, error) {
	f, err := d.duplicate()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// duplicate opens the directory once more, at its beginning.
func (d *dir) duplicate() (*os.File, error) {
	fd, err := d.openat(".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), d.path), nil
}

func (d *dir) openat(name string, flags int) (fd int, err error) {
	err = retry(func() (err error) {
		fd, err = unix.Openat(d.fd, name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
		return err
	})
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return fd, nil
}

// open opens a regular file, for appending or for reading.
func (d *dir) open(name string, appending bool) (*os.File, error) {
	flags := unix.O_RDONLY
	if appending {
		flags = unix.O_RDWR | unix.O_APPEND
	}
	fd, err := d.openat(name, flags)
	if err != nil {
		switch {
		case errors.Is(err, unix.ELOOP), errors.Is(err, unix.EMLINK):
			return nil, &notRegularError{"a regular file", "a symbolic link"}
		case errors.Is(err, unix.EISDIR):
			return nil, &notRegularError{"a regular file", "a directory"}
		case errors.Is(err, unix.ENXIO):
			return nil, &notRegularError{"a regular file", "a special file"}
		}
		return nil, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && uint32(st.Mode)&unix.S_IFMT != unix.S_IFREG {
		err = &notRegularError{"a regular file", "a directory or special file"}
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// create makes a new file, mode 0600. One that exists is fs.ErrExist.
func (d *dir) create(name string) (*os.File, error) {
	fd, err := d.openat(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// rename puts one file in the place of another.
func (d *dir) rename(from, to string) error {
	return wrap("rename", from, retry(func() error { return unix.Renameat(d.fd, from, d.fd, to) }))
}

func (d *dir) remove(name string) error {
	return wrap("remove", name, retry(func() error { return unix.Unlinkat(d.fd, name, 0) }))
}

// removeDir removes an empty directory.
func (d *dir) removeDir(name string) error {
	return wrap("remove", name, retry(func() error { return unix.Unlinkat(d.fd, name, unix.AT_REMOVEDIR) }))
}

func (d *dir) sync() error {
	return wrap("sync directory", d.path, retry(func() error { return unix.Fsync(d.fd) }))
}

// syncDir syncs the directory at path.
func syncDir(path string) error {
	d, err := openRoot(path)
	if err != nil {
		return err
	}
	defer d.close()
	return d.sync()
}

// hasFile reports whether name, which may lead through a directory, is a
// regular file.
func (d *dir) hasFile(name string) (bool, error) { return d.has(name, unix.S_IFREG) }

// hasDir reports whether name is a directory.
func (d *dir) hasDir(name string) (bool, error) { return d.has(name, unix.S_IFDIR) }

func (d *dir) has(name string, kind uint32) (bool, error) {
	st, err := d.stat(name)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return false, nil
	}
	return err == nil && uint32(st.Mode)&unix.S_IFMT == kind, err
}

// stat tells of a name, not of what a link leads to.
func (d *dir) stat(name string) (st unix.Stat_t, err error) {
	err = retry(func() error { return unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	return st, wrap("stat", name, err)
}

// modified is when a file or directory was last changed; "." is this one.
func (d *dir) modified(name string) (time.Time, error) {
	st, err := d.stat(name)
	return time.Unix(st.Mtim.Unix()), err
}

// isAt reports whether what is open as fd is what stands at path.
func isAt(path string, fd int) (bool, error) {
	var st, own unix.Stat_t
	err := retry(func() error { return unix.Lstat(path, &st) })
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return false, nil
	}
	if err != nil {
		return false, wrap("stat", path, err)
	}
	err = retry(func() error { return unix.Fstat(fd, &own) })
	return err == nil && own.Dev == st.Dev && own.Ino == st.Ino, wrap("stat", path, err)
}

// fileID tells two files of one machine apart.
type fileID struct{ dev, ino uint64 }

// identify gives an open file's identity and size in bytes.
func identify(f *os.File) (fileID, int64, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(int(f.Fd()), &st) }); err != nil {
		return fileID{}, 0, wrap("stat", f.Name(), err)
	}
	return fileID{uint64(st.Dev), uint64(st.Ino)}, st.Size, nil
}

// tryLock takes the lock under which files of the directory are created and
// replaced, if it is free. It lasts until unlock or close.
func (d *dir) tryLock() (bool, error) { return flock(d.fd, unix.LOCK_EX) }

func (d *dir) unlock() error {
	_, err := flock(d.fd, unix.LOCK_UN)
	return err
}

// tryLock takes the lock on an open file if it is free.
func tryLock(f *os.File, exclusive bool) (bool, error) {
	if exclusive {
		return flock(int(f.Fd()), unix.LOCK_EX)
	}
	return flock(int(f.Fd()), unix.LOCK_SH)
}

func unlock(f *os.File) error {
	_, err := flock(int(f.Fd()), unix.LOCK_UN)
	return err
}

func flock(fd, how int) (bool, error) {
	err := retry(func() error { return unix.Flock(fd, how|unix.LOCK_NB) })
	if err == unix.EWOULDBLOCK {
		return false, nil
	}
	return err == nil, wrap("lock", "", err)
}

func isNotEmpty(err error) bool {
	return errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST)
}

func isNoSpace(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

func wrap(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// retry repeats a call that a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
