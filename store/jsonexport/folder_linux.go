package jsonexport

import (
	"golang.org/x/sys/unix"
)

func fsync(fd int) error { return unix.Fsync(fd) }

// canSyncAll reports whether syncAll is known to make everything durable and to
// report failures: local file systems, and Linux 5.8, before which syncfs
// returned 0 whatever happened. Others sync each file.
func (f folder) canSyncAll() bool {
	var st unix.Statfs_t
	if uninterrupted(func() error { return unix.Fstatfs(f.fd, &st) }) != nil || !kernelAtLeast(5, 8) {
		return false
	}
	switch int64(st.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC:
		return true
	}
	return false
}

// syncAll makes the whole file system durable.
func (f folder) syncAll() error {
	return uninterrupted(func() error { return unix.Syncfs(f.fd) })
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
