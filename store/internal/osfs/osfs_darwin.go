package osfs

import "golang.org/x/sys/unix"

// fsync flushes the drive's cache too, which fsync(2) does not do here.
func fsync(fd int) error {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_FULLFSYNC, 0)
	return err
}

func fdatasync(fd int) error { return fsync(fd) }

func renameNew(dir int, from, to string) error {
	err := uninterrupted(func() error { return unix.RenameatxNp(dir, from, dir, to, unix.RENAME_EXCL) })
	if err == unix.EINVAL || err == unix.ENOTSUP {
		return linkNew(dir, from, to) // a file system without that flag
	}
	return err
}

// CanSyncAll reports false: there is no call that syncs a whole file system and
// says whether it could.
func (d Dir) CanSyncAll() bool { return false }

// SyncAll makes the entries of d durable, and nothing else.
func (d Dir) SyncAll() error { return d.Sync() }
