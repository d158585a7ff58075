package osfs

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// descriptorPath returns a path by which this process can reopen an open file, even one
// without a name.
func descriptorPath(f *os.File) string {
	path := descriptors + strconv.Itoa(int(f.Fd()))
	if info, err := os.Stat(path); err == nil {
		if own, err := f.Stat(); err == nil && os.SameFile(info, own) {
			return path
		}
	}
	return ""
}

// createUnnamed creates a file in dir that never has a name, so that a killed process
// leaves nothing. It returns nil if the file system has no such files. name is for
// messages.
func createUnnamed(dir, name string) *os.File {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_EXCL|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil
	}
	return os.NewFile(uintptr(fd), filepath.Join(dir, name))
}

const descriptors = "/proc/self/fd/"

// isDescriptor reports whether a path comes from descriptorPath.
func isDescriptor(path string) bool { return strings.HasPrefix(path, descriptors) }
