package jsonexport_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"podstore/store"
	"podstore/store/jsonexport"
	"podstore/store/podjson"
	"podstore/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Metadata(t, storetest.Backend{
		Open: func(t *testing.T) store.MetadataStore {
			return openForSuite(t, filepath.Join(t.TempDir(), "root"))
		},
		Reopen: func(t *testing.T, s store.MetadataStore) store.MetadataStore {
			return openForSuite(t, store.RootDir(s))
		},
		Check: func(t *testing.T, s store.MetadataStore) { checkLayout(t, s.(*jsonexport.Dir)) },
		Damage: func(t *testing.T, s store.MetadataStore, pod string) store.MetadataStore {
			if err := os.WriteFile(filepath.Join(store.RootDir(s), pod, "metadata.json"), []byte(`{"pod_name":`), 0); err != nil {
				t.Fatal(err)
			}
			return s
		},
		Written: func(t *testing.T, s store.MetadataStore) string {
			return fileStates(t, store.RootDir(s))
		},
	})
}

func openForSuite(t *testing.T, root string) *jsonexport.Dir {
	t.Helper()
	d, err := jsonexport.OpenDir(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// fileStates lists every entry below root with what a write changes: its time,
// and that of its directory, which gets a new entry.
func fileStates(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%q %d %s\n", path, info.Size(), info.ModTime())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// checkLayout makes sure that the root holds {pod}/metadata.json for each Pod,
// to the byte and with the modes that it should have, and nothing else.
func checkLayout(t *testing.T, d *jsonexport.Dir) {
	t.Helper()
	var want []string
	for m, err := range d.All(context.Background(), store.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := podjson.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(d.RootDir(), m.PodName, "metadata.json")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, encoded) {
			t.Errorf("%s does not hold the canonical encoding of its Pod", path)
		}
		want = append(want, filepath.Dir(path), path)
	}
	var got []string
	err := filepath.WalkDir(d.RootDir(), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o600)
		if e.IsDir() {
			mode = 0o700
		}
		if info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, want %v", path, info.Mode().Perm(), mode)
		}
		if path != d.RootDir() {
			got = append(got, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the root holds %q, want %q", got, want)
	}
}
