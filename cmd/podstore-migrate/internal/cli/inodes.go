//go:build unix

package cli

import (
	"path/filepath"

	"golang.org/x/sys/unix"
)

// noInodes reports whether the file system of a path has no inodes left, however much space
// it has. The path need not exist.
func noInodes(path string) bool {
	for path != "" {
		var st unix.Statfs_t
		if unix.Statfs(path, &st) == nil {
			return st.Files > 0 && st.Ffree == 0
		}
		if path == filepath.Dir(path) {
			return false
		}
		path = filepath.Dir(path)
	}
	return false
}
