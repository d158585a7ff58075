package osfs

import (
	"os"
	"strconv"
	"strings"
)

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

const descriptors = "/proc/self/fd/"

// isDescriptor reports whether a path is one of those.
func isDescriptor(path string) bool { return strings.HasPrefix(path, descriptors) }
