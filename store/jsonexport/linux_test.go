package jsonexport

import (
	"fmt"
	"io/fs"
	"syscall"
)

// inode identifies a file among all there are at one time.
func inode(info fs.FileInfo) string {
	return fmt.Sprint(info.Sys().(*syscall.Stat_t).Ino)
}
