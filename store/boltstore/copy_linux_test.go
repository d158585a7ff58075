package boltstore_test

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"podstore/store"
	"podstore/store/boltstore"
)

// A reader of a socket works on a copy that has no name, so that a killed reader leaves
// nothing in the directory for temporary files.
func TestCopyHasNoName(t *testing.T) {
	s, err := boltstore.Open(filepath.Join(t.TempDir(), "pods.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := store.Do(t.Context(), s, "a", store.AddPeer{PodName: "b"}); err != nil {
		t.Fatal(err)
	}
	tmp := t.TempDir()
	empty := func(when string) {
		t.Helper()
		if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
			t.Errorf("%s there is %v, %v", when, left, err)
		}
	}
	readers, closer, err := boltstore.OpenCopy("the store", tmp, func(w io.Writer) error {
		empty("while it is fetched")
		_, err := s.WriteTo(w)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	empty("while it is used")
	if names, err := readers.List(t.Context()); err != nil || len(names) != 1 {
		t.Error(names, err)
	}
	if err := closer.Close(); err != nil {
		t.Error(err)
	}
	empty("afterwards")
}
