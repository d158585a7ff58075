//go:build !linux

package jsonlstore

import "os"

// datasync brings a file to the disk.
func datasync(f *os.File) error { return f.Sync() }
