package boltstore

import (
	"io/fs"
	"os"
)

// linkAndRemove is a rename that does not replace, for systems without one.
func linkAndRemove(from, to string) error {
	if err := os.Link(from, to); err != nil {
		return err
	}
	return os.Remove(from)
}

// lsizeInPlace is sizeInPlace by the means of all systems.
func lsizeInPlace(path string, identity fs.FileInfo) (size int64, same bool, err error) {
	now, err := os.Lstat(path)
	if err != nil {
		return 0, false, err
	}
	return now.Size(), os.SameFile(now, identity), nil
}
