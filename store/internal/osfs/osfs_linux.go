package osfs

import "golang.org/x/sys/unix"

func fsync(fd int) error { return unix.Fsync(fd) }

func fdatasync(fd int) error { return unix.Fdatasync(fd) }

func renameNew(dir int, from, to string) error {
	err := uninterrupted(func() error { return unix.Renameat2(dir, from, dir, to, unix.RENAME_NOREPLACE) })
	if err == unix.EINVAL || err == unix.ENOSYS {
		return linkNew(dir, from, to) // the file system lacks that flag
	}
	return err
}

// CanSyncAll reports whether SyncAll makes everything durable and reports failures.
// That holds on local file systems since Linux 5.8; before, syncfs returned 0 whatever
// happened. Otherwise each file needs a sync of its own.
func (d Dir) CanSyncAll() bool {
	var st unix.Statfs_t
	if uninterrupted(func() error { return unix.Fstatfs(d.fd, &st) }) != nil || !kernelAtLeast(5, 8) {
		return false
	}
	switch int64(st.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC:
		return true
	}
	return false
}

// SyncAll makes the whole file system durable.
func (d Dir) SyncAll() error {
	return uninterrupted(func() error { return unix.Syncfs(d.fd) })
}

func kernelAtLeast(major, minor int) bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var got [2]int
	i := 0
	for _, c := range u.Release {
		if c == '.' && i == 0 {
			i++
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		got[i] = got[i]*10 + int(c-'0')
	}
	return got[0] > major || got[0] == major && got[1] >= minor
}
