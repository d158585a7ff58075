//go:build !linux && !darwin

package jsonexport

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// folder is an open directory. Here a link is noticed by looking before opening
// and comparing after, and os.Root keeps what slips through inside the root.
// Directories cannot be synced: after a loss of power a rename may be undone.
type folder struct{ root *os.Root }

// openRoot opens a directory by path, through links.
func openRoot(path string) (folder, error) {
	root, err := os.OpenRoot(path)
	return folder{root}, err
}

// usable rejects names that this system reads as something else.
func usable(name string) error {
	if !filepath.IsLocal(name) || strings.ContainsAny(name, `\/:`) || strings.TrimRight(name, ". ") != name {
		return errors.New("this system cannot have a file of that name")
	}
	return nil
}

func (f folder) close() { f.root.Close() }

// sub opens a directory in f. Something else of that name is a *notA.
func (f folder) sub(name string) (folder, error) {
	if err := usable(name); err != nil {
		return folder{}, err
	}
	before, err := f.root.Lstat(name)
	if err != nil {
		return folder{}, err
	}
	if !before.IsDir() {
		return folder{}, &notA{"a directory", before.Mode().Type()}
	}
	root, err := f.root.OpenRoot(name)
	if err != nil {
		return folder{}, err
	}
	if after, err := root.Stat("."); err != nil || !os.SameFile(before, after) {
		root.Close()
		return folder{}, &notA{"a directory", fs.ModeSymlink}
	}
	return folder{root}, nil
}

func (f folder) entries(string) ([]fs.DirEntry, error) {
	dir, err := f.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.ReadDir(-1)
}

// stat describes the entry itself, not what a link points to.
func (f folder) stat(name string) (fileState, error) {
	if err := usable(name); err != nil {
		return fileState{}, err
	}
	info, err := f.root.Lstat(name)
	if err != nil {
		return fileState{}, err
	}
	return stateOf(info), nil
}

// hasFile reports whether f has an entry of that name in its directory dir.
func (f folder) hasFile(dir, name string) bool {
	if usable(dir) != nil {
		return false
	}
	_, err := f.root.Lstat(dir + "/" + name)
	return err == nil
}

// open opens a regular file for reading.
func (f folder) open(name string) (file, error) {
	before, err := f.root.Lstat(name)
	if err != nil {
		return file{}, err
	}
	if !before.Mode().IsRegular() {
		return file{}, &notA{"a regular file", before.Mode().Type()}
	}
	opened, err := f.root.Open(name)
	if err != nil {
		return file{}, err
	}
	if after, err := opened.Stat(); err != nil || !os.SameFile(before, after) {
		opened.Close()
		return file{}, errors.New("replaced while it was opened; try again")
	}
	return file{opened}, nil
}

// create creates a file that does not exist.
func (f folder) create(name string) (*os.File, error) {
	return f.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

// mkdir creates a directory.
func (f folder) mkdir(name string) error {
	if err := usable(name); err != nil {
		return err
	}
	return f.root.Mkdir(name, 0o700)
}

func (f folder) rename(from, to string) error { return f.root.Rename(from, to) }

func (f folder) remove(name string) error {
	info, err := f.root.Lstat(name)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return &notA{"a file", fs.ModeDir}
	}
	return f.root.Remove(name)
}

func (f folder) removeDir(name string) error {
	if err := usable(name); err != nil {
		return err
	}
	return f.root.Remove(name)
}

// sync does nothing: a directory cannot be synced here.
func (f folder) sync() error { return nil }

func (f folder) canSyncAll() bool { return false }

func (f folder) syncAll() error { return nil }

// file is a file open for reading.
type file struct{ *os.File }

func (f file) close() { f.File.Close() }

// sync does nothing: a file open for reading cannot be synced here.
func (f file) sync() error { return nil }

func (f file) stat() (fileState, error) {
	info, err := f.File.Stat()
	if err != nil {
		return fileState{}, err
	}
	return stateOf(info), nil
}

// readAt fills buf as far as the file goes.
func (f file) readAt(buf []byte, offset int64) (int, error) { return f.File.ReadAt(buf, offset) }

func stateOf(info fs.FileInfo) fileState {
	return fileState{mode: info.Mode().Type(), size: info.Size(), modified: info.ModTime(), changed: info.ModTime()}
}

func isNotDir(err error) bool { return errors.Is(err, syscall.ENOTDIR) }

func isNoSpace(err error) bool {
	const windowsDiskFull = syscall.Errno(112)
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, windowsDiskFull)
}

func isReadOnly(err error) bool { return errors.Is(err, syscall.EROFS) }

// isWhole tells a failure of the file system from one that concerns a file.
func isWhole(err error) bool { return isNoSpace(err) || isReadOnly(err) }
