package osfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Dir is an open directory. The system looks up names in it, not along a path. So it
// opens what is below one component at a time and never through a link. os.Root would
// follow links that stay inside.
//
// A name is one component. The caller closes a Dir once. Several goroutines may use it;
// a lock on it does not tell them apart.
type Dir struct{ fd int }

// OpenRoot opens the directory at a path. The path may lead through links.
func OpenRoot(path string) (Dir, error) {
	fd, err := openat(unix.AT_FDCWD, path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	return Dir{fd}, err
}

// OpenDir opens the directory at a path whose last component is not a link. If
// something else stands there, the error is a [NotA].
func OpenDir(path string) (Dir, error) { return Dir{unix.AT_FDCWD}.Sub(path) }

func openat(dir int, name string, flags int, mode uint32) (fd int, err error) {
	err = uninterrupted(func() (err error) {
		fd, err = unix.Openat(dir, name, flags|unix.O_CLOEXEC|unix.O_NOCTTY, mode)
		return err
	})
	return fd, err
}

// Close closes the directory and frees its lock.
func (d Dir) Close() { _ = unix.Close(d.fd) }

// Sub opens a directory in d. If something else has that name, the error is a [NotA].
func (d Dir) Sub(name string) (Dir, error) {
	fd, err := openat(d.fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err == unix.ENOTDIR || err == unix.ELOOP {
		if st, err := d.Stat(name); err == nil && !st.Mode.IsDir() {
			return Dir{-1}, &NotA{"a directory", st.Mode}
		}
	}
	return Dir{fd}, err
}

// List opens the directory again, to list it from its beginning. It uses path only if
// the system does not report the types of entries while listing.
func (d Dir) List(path string) (*os.File, error) {
	fd, err := openat(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Entries lists the directory in no order. path is as for [Dir.List].
func (d Dir) Entries(path string) ([]fs.DirEntry, error) {
	f, err := d.List(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadDir(-1)
}

// Names lists the names in the directory, in no order.
func (d Dir) Names() ([]string, error) {
	f, err := d.List(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// Stat describes the entry itself, not what a link points to. "." means d.
func (d Dir) Stat(name string) (State, error) {
	var st unix.Stat_t
	err := uninterrupted(func() error { return unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	return stateOf(&st), err
}

// Has reports, with one call, whether the directory sub of d has an entry name. It
// follows a link in the place of sub.
func (d Dir) Has(sub, name string) bool {
	_, err := d.Stat(sub + "/" + name)
	return !errors.Is(err, fs.ErrNotExist) && !IsNotDir(err)
}

// Open opens a file for reading. It neither follows a link nor waits for the other end
// of a pipe. If a file cannot be opened that way, the error is a [NotA]. Open does not
// check the type of what it opened: the caller does.
func (d Dir) Open(name string) (File, error) {
	fd, err := d.open(name, unix.O_RDONLY)
	return File{fd}, err
}

// OpenFile opens an existing regular file, with the flags of [os.OpenFile]. For
// anything else the error is a [NotA].
func (d Dir) OpenFile(name string, flags int) (*os.File, error) {
	fd, err := d.open(name, flags)
	if err != nil {
		return nil, err
	}
	st, err := File{fd}.Stat()
	if err == nil && !st.Mode.IsRegular() {
		err = &NotA{"a regular file", st.Mode}
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

func (d Dir) open(name string, flags int) (int, error) {
	fd, err := openat(d.fd, name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	switch err {
	case unix.ELOOP, unix.ENXIO, unix.ENODEV, unix.EOPNOTSUPP, unix.EISDIR: // a link, a pipe or socket, a device without a driver
		if st, err := d.Stat(name); err == nil && !st.Mode.IsRegular() {
			return -1, &NotA{"a regular file", st.Mode}
		}
	}
	return fd, err
}

// Create creates a file that does not exist, for reading and writing, with the owner
// and mode of [Dir.OwnerOfNew].
func (d Dir) Create(name string) (*os.File, error) {
	owner, err := d.OwnerOfNew()
	if err != nil {
		return nil, err
	}
	return d.createOwned(name, owner)
}

func (d Dir) createOwned(name string, owner Owner) (*os.File, error) {
	fd, err := d.create(name, unix.O_RDWR)
	if err != nil {
		return nil, err
	}
	if err := owner.set(fd); err != nil {
		_ = d.Remove(name)
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// CreateFile is [Dir.Create] for a path.
func CreateFile(path string) (*os.File, error) {
	owner, err := Dir{unix.AT_FDCWD}.ownerOfNew(above(path))
	if err != nil {
		return nil, err
	}
	return Dir{unix.AT_FDCWD}.createOwned(path, owner)
}

func (d Dir) create(name string, flags int) (fd int, err error) {
	return openat(d.fd, name, flags|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, 0o600)
}

// WriteFile creates a file that does not exist, with this owner and these bytes, and
// syncs it if asked to. A time that is not zero becomes the file's time of
// modification; if the file system refuses that, the time is that of the write. After
// an error a part of the file may be left.
func (d Dir) WriteFile(name string, owner Owner, data []byte, modified time.Time, sync bool) error {
	fd, err := d.create(name, unix.O_WRONLY)
	if err != nil {
		return err
	}
	err = owner.set(fd)
	for len(data) > 0 && err == nil {
		var n int
		err = uninterrupted(func() (err error) {
			n, err = unix.Write(fd, data)
			return err
		})
		data = data[max(n, 0):]
	}
	if !modified.IsZero() {
		_ = d.setModified(name, modified)
	}
	if err == nil && sync {
		err = File{fd}.Sync()
	}
	return errors.Join(err, unix.Close(fd))
}

// Publish puts what write writes at name. The file has the name temp until it is whole
// and synced. So a reader, also one after a crash, finds what was there before or the
// whole new file. Publish replaces what was there; unless replace is set, it fails with
// [fs.ErrExist] instead. After an error nothing is left. A crash may leave temp, which
// the next Publish replaces.
//
// The new name is durable after [Dir.Sync]. Publish returns the file open, with any
// lock that write took on it.
func (d Dir) Publish(temp, name string, replace bool, write func(*os.File) error) (*os.File, error) {
	if err := d.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := d.Create(temp)
	if err != nil {
		return nil, err
	}
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if err == nil && replace {
		err = d.Rename(temp, name)
	} else if err == nil {
		err = d.RenameNew(temp, name)
	}
	if err != nil {
		_ = d.Remove(temp)
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// Mkdir creates a directory with mode 0700.
func (d Dir) Mkdir(name string) error {
	return uninterrupted(func() error { return unix.Mkdirat(d.fd, name, 0o700) })
}

// Rename renames an entry. It replaces what has the new name.
func (d Dir) Rename(from, to string) error {
	return uninterrupted(func() error { return unix.Renameat(d.fd, from, d.fd, to) })
}

// RenameNew renames an entry. If something has the new name, it fails with
// [fs.ErrExist].
func (d Dir) RenameNew(from, to string) error { return renameNew(d.fd, from, to) }

// RenameNew renames a file. If something stands at the new path, it fails with
// [fs.ErrExist].
func RenameNew(from, to string) error { return renameNew(unix.AT_FDCWD, from, to) }

// linkNew is renameNew for a file system without a call for it. It can only rename what
// can have two names, which a directory cannot.
func linkNew(dir int, from, to string) error {
	err := uninterrupted(func() error { return unix.Linkat(dir, from, dir, to, 0) })
	if err != nil {
		return err
	}
	return Dir{dir}.Remove(from)
}

// Remove removes an entry that is not a directory.
func (d Dir) Remove(name string) error {
	return uninterrupted(func() error { return unix.Unlinkat(d.fd, name, 0) })
}

// RemoveDir removes an empty directory.
func (d Dir) RemoveDir(name string) error {
	return uninterrupted(func() error { return unix.Unlinkat(d.fd, name, unix.AT_REMOVEDIR) })
}

func (d Dir) setModified(name string, at time.Time) error {
	ts, err := unix.TimeToTimespec(at)
	if err != nil {
		return err
	}
	return uninterrupted(func() error {
		return unix.UtimesNanoAt(d.fd, name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// Sync makes the entries of d durable.
func (d Dir) Sync() error { return uninterrupted(func() error { return fsync(d.fd) }) }

// SyncDir makes the entries of the directory at path durable.
func SyncDir(path string) error {
	d, err := OpenRoot(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// above returns the directory in which the system looks for a path's last component.
// filepath.Dir would shorten "link/../d" to "d", which lies elsewhere.
func above(path string) string {
	trimmed := strings.TrimRight(path, "/")
	if trimmed == "" { // the root
		return path
	}
	if dir, _ := filepath.Split(trimmed); dir != "" {
		return dir
	}
	return "."
}

// SyncNames is [SyncDir] for a directory that others made. It ignores one that it
// cannot open for reading, or cannot sync.
func SyncNames(path string) error {
	err := SyncDir(path)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EROFS) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// MkdirAll creates a directory and its missing parents, each with mode 0700 and, if
// root creates it, with the owner of its parent. With durable set, each directory is on
// disk before anything is created in it. That includes those that exist: their creator
// may have died before its sync. MkdirAll changes nothing else about what exists,
// whatever it is.
func MkdirAll(path string, durable bool) error {
	parent := above(path)
	_, err := os.Stat(path)
	switch {
	case err == nil && durable:
		return SyncNames(parent)
	case err == nil || !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if parent != path {
		if err := MkdirAll(parent, durable); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, 0o700); err == nil {
		if err := adopt(path); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if !durable {
		return nil
	}
	return SyncDir(parent)
}
