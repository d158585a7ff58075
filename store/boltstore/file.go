package boltstore

import "os"

// linkAndRemove is a rename that does not replace, for systems without one.
func linkAndRemove(from, to string) error {
	if err := os.Link(from, to); err != nil {
		return err
	}
	return os.Remove(from)
}
