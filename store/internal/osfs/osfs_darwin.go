package osfs

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// fsync also flushes the drive's cache, which fsync(2) does not do on macOS.
func fsync(fd int) error {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_FULLFSYNC, 0)
	return err
}

func fdatasync(fd int) error { return fsync(fd) }

func renameNew(dir int, from, to string) error {
	err := uninterrupted(func() error { return unix.RenameatxNp(dir, from, dir, to, unix.RENAME_EXCL) })
	if err == unix.EINVAL || err == unix.ENOTSUP {
		return linkNew(dir, from, to) // the file system lacks that flag
	}
	return err
}

// CanSyncAll reports false: macOS has no call that syncs a whole file system and
// reports failures.
func (d Dir) CanSyncAll() bool { return false }

// SyncAll makes only the entries of d durable.
func (d Dir) SyncAll() error { return d.Sync() }

// FileSystem knows no file systems on macOS.
func FileSystem(*os.File) (shared, unknown string) { return "", "" }

// Holder names the process that has the lock on a file, as far as the kernel tells.
func Holder(*os.File) string { return "another process" }

// SizeAt returns the size of the file at path and reports whether it is the file of
// identity.
func SizeAt(path string, identity fs.FileInfo) (size int64, same bool, err error) {
	return lsizeAt(path, identity)
}

func createUnnamed(string, string) *os.File { return nil }

func descriptorPath(*os.File) string { return "" }

func isDescriptor(string) bool { return false }
