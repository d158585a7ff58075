package jsonlstore

import (
	"os"

	"golang.org/x/sys/unix"
)

// datasync brings a file's data and size to the disk, but not its times.
func datasync(f *os.File) error {
	return wrap("fdatasync", f.Name(), retry(func() error { return unix.Fdatasync(int(f.Fd())) }))
}
