package boltstore_test

import (
	"os"
	"path/filepath"
	"testing"

	"podstore/store/storetest"
)

func TestRemoveIsRaced(t *testing.T) {
	races := 5_000
	if os.Getenv("PODSTORE_LONG") != "" {
		races = 100_000
	}
	path := filepath.Join(t.TempDir(), "pods.db")
	s := openForSuite(t, path)
	storetest.RaceRemoves(t, s, races)
	closeForSuite(t, s)
	checkFile(t, path)
}
