//go:build !linux

package jsonlstore_test

import "os"

func datasync(f *os.File) error { return f.Sync() }
