package jsonexport

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"podstore/store"
	"podstore/store/boltstore"
)

// goldenTree is a copy of golden/in whose files are old enough to be trusted.
func goldenTree(t testing.TB) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "golden")
	if err := os.CopyFS(root, os.DirFS(filepath.Join(golden, "in"))); err != nil {
		t.Fatal(err)
	}
	age(t, root)
	return root
}

// stores are the backends that documents pass through.
var stores = map[string]func(t testing.TB) store.MetadataStore{
	"dir": func(t testing.TB) store.MetadataStore {
		d, err := OpenDir(filepath.Join(t.TempDir(), "store"), nil)
		if err != nil {
			t.Fatal(err)
		}
		return d
	},
	"bolt": func(t testing.TB) store.MetadataStore {
		s, err := boltstore.Open(filepath.Join(t.TempDir(), "pods.db"), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	},
}

func TestGoldenTreeThroughStores(t *testing.T) {
	t.Parallel() // it waits
	in := goldenTree(t)
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			results := map[string]Result{}
			report, err := Import(t.Context(), s, in, ImportOptions{Progress: func(r Result, done, total int) { results[r.Pod] = r }})
			if err != nil {
				t.Fatal(err)
			}
			out := filepath.Join(t.TempDir(), "out")
			if _, err := Export(t.Context(), s, out, ExportOptions{}); err != nil {
				t.Fatal(err)
			}
			accepted, refused := 0, 0
			goldenPods(t, func(name string, _, want []byte) {
				path := filepath.Join(out, name, fileName)
				got, err := os.ReadFile(path)
				if want != nil {
					accepted++
					if string(got) != string(want) || results[name].Outcome != Imported {
						t.Errorf("%s: %+v, exported (%v)\n%s\nwant\n%s", name, results[name], err, got, want)
					}
					return
				}
				refused++
				var e *store.Error
				r := results[name]
				if r.Outcome != Refused || !errors.As(r.Err, &e) || e.Line == 0 || e.Column == 0 || e.Path != filepath.Join(in, name, fileName) {
					t.Errorf("%s: %+v, want it refused with path, line and column", name, r)
				}
				if err == nil {
					t.Errorf("%s: refused, but exported", name)
				}
			})
			if report.Counts[Imported] != accepted || report.Counts[Refused] != refused {
				t.Errorf("counts %v, want %d imported and %d refused", report.Counts, accepted, refused)
			}
			again, err := Import(t.Context(), s, in, ImportOptions{})
			if err != nil || again.Counts[Unchanged] != accepted || again.Counts[Refused] != refused || len(again.Counts) != 2 {
				t.Errorf("second import: %v, %v", again.Counts, err)
			}
			found, err := Verify(t.Context(), s, out, VerifyOptions{})
			if err != nil || found.Counts[Same] != accepted || len(found.Counts) != 1 {
				t.Errorf("verify after export: %v, %v", found.Counts, err)
			}
		})
	}
}
