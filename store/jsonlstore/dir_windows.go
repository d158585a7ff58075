package jsonlstore

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// dir is an open directory. Files are opened through it, because a file that is
// opened by its path could not be replaced meanwhile. Links are looked for
// before each use.
type dir struct {
	path string
	root *os.Root
	lock *os.File // while it is locked
}

// lockName is the file that stands for the directory's lock: directories
// themselves cannot be locked.
const lockName = ".lock"

// openDir opens a directory. The last component of path must not be a link.
func openDir(path string) (*dir, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, &notRegularError{"a directory", "a file or a link"}
	}
	return openRoot(path)
}

// openRoot opens a directory whose path may end in a link.
func openRoot(path string) (*dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &dir{path: path, root: root}, nil
}

func (d *dir) close() {
	if d.lock != nil {
		d.lock.Close()
	}
	d.root.Close()
}

// entries lists the directory.
func (d *dir) entries() ([]fs.DirEntry, error) { return os.ReadDir(d.path) }

// names lists the directory, names alone.
func (d *dir) names() ([]string, error) {
	f, err := os.Open(d.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// open opens a regular file, for appending or for reading.
func (d *dir) open(name string, appending bool) (*os.File, error) {
	info, err := d.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &notRegularError{"a regular file", info.Mode().Type().String()}
	}
	flags := os.O_RDONLY
	if appending {
		flags = os.O_RDWR
	}
	return d.root.OpenFile(name, flags, 0)
}

// create makes a new file. One that exists is fs.ErrExist.
func (d *dir) create(name string) (*os.File, error) {
	return d.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

// rename puts one file in the place of another.
func (d *dir) rename(from, to string) error { return d.root.Rename(from, to) }

func (d *dir) remove(name string) error { return d.root.Remove(name) }

// sync does nothing: the system has no such call for directories.
func (d *dir) sync() error { return nil }

func syncDir(string) error { return nil }

// hasFile reports whether name, which may lead through a directory, is a
// regular file.
func (d *dir) hasFile(name string) (bool, error) {
	info, err := d.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.Mode().IsRegular(), err
}

// isAt reports whether f is the file at path.
func isAt(path string, f *os.File) (bool, error) {
	now, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	open, err := f.Stat()
	return err == nil && os.SameFile(now, open), err
}

// fileID tells two files of one machine apart.
type fileID struct{ volume, high, low uint32 }

// identify gives an open file's identity and size in bytes.
func identify(f *os.File) (fileID, int64, error) {
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(windows.Handle(f.Fd()), &info); err != nil {
		return fileID{}, 0, &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	id := fileID{info.VolumeSerialNumber, info.FileIndexHigh, info.FileIndexLow}
	return id, int64(info.FileSizeHigh)<<32 | int64(info.FileSizeLow), nil
}

// tryLock takes the lock under which files of the directory are created and
// replaced, if it is free. It lasts until unlock or close.
func (d *dir) tryLock() (bool, error) {
	if d.lock == nil {
		f, err := d.root.OpenFile(lockName, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return false, err
		}
		d.lock = f
	}
	return tryLock(d.lock, true)
}

func (d *dir) unlock() error { return unlock(d.lock) }

// The lock is on a byte far behind the end of any file: on Windows it would
// otherwise keep others from reading.
var lockedByte = windows.Overlapped{OffsetHigh: 0x7fffffff}

// tryLock takes the lock on an open file if it is free.
func tryLock(f *os.File, exclusive bool) (bool, error) {
	flags := uint32(windows.LOCKFILE_FAIL_IMMEDIATELY)
	if exclusive {
		flags |= windows.LOCKFILE_EXCLUSIVE_LOCK
	}
	at := lockedByte
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &at)
	if err == windows.ERROR_LOCK_VIOLATION || err == windows.ERROR_IO_PENDING {
		return false, nil
	}
	return err == nil, err
}

func unlock(f *os.File) error {
	at := lockedByte
	return windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, &at)
}

func isNoSpace(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL)
}
