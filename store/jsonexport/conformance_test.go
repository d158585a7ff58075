package jsonexport

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"podstore/store"
	"podstore/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Metadata(t, storetest.Backend{
		Open: func(t *testing.T) store.MetadataStore {
			return openDir(t, filepath.Join(t.TempDir(), "root"))
		},
		Reopen: func(t *testing.T, s store.MetadataStore) store.MetadataStore {
			return openDir(t, store.RootDir(s))
		},
		Check: func(t *testing.T, s store.MetadataStore) {
			for path := range walk(t, store.RootDir(s)) {
				if base := filepath.Base(path); base != fileName {
					t.Errorf("%s was left", path)
				}
			}
		},
		Damage: func(t *testing.T, s store.MetadataStore, pod string) store.MetadataStore {
			if err := os.WriteFile(filepath.Join(store.RootDir(s), pod, fileName), []byte(`{"pod_name":`), 0); err != nil {
				t.Fatal(err)
			}
			return s
		},
		Written: func(t *testing.T, s store.MetadataStore) string {
			var b strings.Builder
			for path, state := range walk(t, store.RootDir(s)) {
				b.WriteString(path)
				b.WriteString(state)
			}
			return b.String()
		},
	})
}

func openDir(t testing.TB, root string) *Dir {
	t.Helper()
	d, err := OpenDir(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// walk yields every file below root, by its path from there, with what changes
// when it is replaced or written.
func walk(t testing.TB, root string) func(func(path, state string) bool) {
	t.Helper()
	return func(yield func(path, state string) bool) {
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			info, err := os.Lstat(path)
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			if !yield(rel, inode(info)+info.ModTime().String()) {
				return fs.SkipAll
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
