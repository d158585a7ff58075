package osfs

import (
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// SizeAt returns the size of the file at path and reports whether it is the file of
// identity. It does not ask for times. Since Linux 6.13, once somebody has read a
// modification time, the next write sets it again, even within the same tick of the
// clock. The next sync would then have to write the inode too (BenchmarkSizeAt).
func SizeAt(path string, identity fs.FileInfo) (size int64, same bool, err error) {
	const ask = unix.STATX_TYPE | unix.STATX_INO | unix.STATX_SIZE
	was, ok := identity.Sys().(*syscall.Stat_t)
	var now unix.Statx_t
	if !ok || unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, ask, &now) != nil || now.Mask&ask != ask {
		return lsizeAt(path, identity) // for its error, or if statx is not allowed
	}
	return int64(now.Size), now.Ino == was.Ino && unix.Mkdev(now.Dev_major, now.Dev_minor) == was.Dev, nil
}
