package osfs

import (
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// SizeAt returns the size of the file at path, and whether it is still the one
// that identity is of. It does not ask for times: since Linux 6.13, a modification
// time that somebody has looked at is set anew by the next write, be it in the same
// tick of the clock, and then the next sync has the inode to write too
// (BenchmarkSizeAt).
func SizeAt(path string, identity fs.FileInfo) (size int64, same bool, err error) {
	const ask = unix.STATX_TYPE | unix.STATX_INO | unix.STATX_SIZE
	was, ok := identity.Sys().(*syscall.Stat_t)
	var now unix.Statx_t
	if !ok || unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, ask, &now) != nil || now.Mask&ask != ask {
		return lsizeAt(path, identity) // for its error, or where statx is not allowed
	}
	return int64(now.Size), now.Ino == was.Ino && unix.Mkdev(now.Dev_major, now.Dev_minor) == was.Dev, nil
}
