//go:build !linux

package boltstore

import (
	"io/fs"
	"os"
)

func renameNoReplace(from, to string) error { return linkAndRemove(from, to) }

func sizeInPlace(path string, identity fs.FileInfo) (size int64, same bool, err error) {
	return lsizeInPlace(path, identity)
}

func fileSystem(*os.File) (shared, unknown string) { return "", "" }

func holder(*os.File) string { return "another process" }

func createUnnamed(string, string) *os.File { return nil }

func descriptorPath(*os.File) string { return "" }

func isDescriptor(string) bool { return false }
