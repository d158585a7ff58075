package boltstore

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// renameNoReplace renames a file unless something stands at the new name.
func renameNoReplace(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if err == unix.EINVAL || err == unix.ENOSYS {
		return linkAndRemove(from, to) // a file system without that flag
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// sizeInPlace returns the size of the file at path, and whether it is still the one
// that identity is of. It does not ask for times: since Linux 6.13, a modification
// time that somebody has looked at is set anew by the next write, be it in the same
// tick of the clock, and then the next sync has the inode to write too
// (BenchmarkSizeInPlace).
func sizeInPlace(path string, identity fs.FileInfo) (size int64, same bool, err error) {
	const ask = unix.STATX_TYPE | unix.STATX_INO | unix.STATX_SIZE
	was, ok := identity.Sys().(*syscall.Stat_t)
	var now unix.Statx_t
	if !ok || unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, ask, &now) != nil || now.Mask&ask != ask {
		return lsizeInPlace(path, identity) // for its error, or where statx is not allowed
	}
	return int64(now.Size), now.Ino == was.Ino && unix.Mkdev(now.Dev_major, now.Dev_minor) == was.Dev, nil
}

// descriptorPath is a path by which this process can open a file again that it has
// open, though it may have no name.
func descriptorPath(f *os.File) string {
	path := descriptors + strconv.Itoa(int(f.Fd()))
	if info, err := os.Stat(path); err == nil {
		if own, err := f.Stat(); err == nil && os.SameFile(info, own) {
			return path
		}
	}
	return ""
}

// createUnnamed creates a file in dir that never has a name, so that a process which is
// killed leaves none; nil where the file system has no such files. name is for messages.
func createUnnamed(dir, name string) *os.File {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_EXCL|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil
	}
	return os.NewFile(uintptr(fd), filepath.Join(dir, name))
}

const descriptors = "/proc/self/fd/"

// isDescriptor reports whether a path is one of those.
func isDescriptor(path string) bool { return strings.HasPrefix(path, descriptors) }

// holder says who has the lock on a file, as far as the kernel tells: a process
// of another container is seen as none.
func holder(f *os.File) string {
	const unknown = "another process"
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil {
		return unknown
	}
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return unknown
	}
	defer locks.Close()
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	for lines := bufio.NewScanner(locks); lines.Scan(); {
		// "1: FLOCK  ADVISORY  WRITE 4711 fe:00:4242 0 EOF"
		field := strings.Fields(lines.Text())
		if len(field) < 6 || field[1] != "FLOCK" || field[5] != file {
			continue
		}
		pid, err := strconv.Atoi(field[4])
		switch {
		case err != nil || pid <= 0:
			return unknown
		case pid == os.Getpid():
			return fmt.Sprintf("this process (%d)", pid)
		}
		if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil {
			return fmt.Sprintf("process %d (%s)", pid, strings.TrimSpace(string(name)))
		}
		return fmt.Sprintf("process %d", pid)
	}
	return unknown
}
