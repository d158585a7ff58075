package jsonexport

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"podstore/store"
	"podstore/store/internal/osfs"
)

// What Import refuses by name and counts, Besides does too, in the same words.
func TestBesides(t *testing.T) {
	t.Parallel() // it waits
	root := t.TempDir()
	writePod := func(name string) {
		if err := errors.Join(os.MkdirAll(filepath.Join(root, name), 0o700), os.WriteFile(filepath.Join(root, name, fileName), []byte("{}"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	writePod("broken")
	writePod("not-utf8-\xff")
	if err := errors.Join(os.Mkdir(filepath.Join(root, "empty"), 0o700), os.WriteFile(filepath.Join(root, "file"), nil, 0o600), os.Symlink("broken", filepath.Join(root, "link"))); err != nil {
		t.Fatal(err)
	}
	d, err := OpenDir(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.Besides(t.Context())
	if err != nil || b.Files != 1 || b.Directories != 1 {
		t.Errorf("%+v, %v", b, err)
	}
	refused := map[string]string{}
	for _, e := range b.Refused {
		refused[e.Path] = e.Reason()
	}
	r, err := Import(t.Context(), d, root, ImportOptions{DryRun: true, Progress: func(r Result, _, _ int) {
		if r.Pod == "broken" {
			return // a Pod
		}
		var e *store.Error
		if !errors.As(r.Err, &e) || refused[r.Path] != e.Reason() {
			t.Errorf("import refuses %s: %v, and Besides %q", r.Path, r.Err, refused[r.Path])
		}
		delete(refused, r.Path)
	}})
	if err != nil || r.Files != b.Files || r.Directories != b.Directories || len(refused) > 0 {
		t.Errorf("import: %+v, %v; Besides has %v more", r, err, refused)
	}
}

// An empty store is rather the wrong one.
func TestPruneAll(t *testing.T) {
	for _, dryRun := range []bool{true, false} {
		root := t.TempDir()
		d, err := OpenDir(root, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a", "b"} {
			if err := store.Write(t.Context(), d, &store.Metadata{PodName: name}); err != nil {
				t.Fatal(err)
			}
		}
		var refused *PruneError
		_, err = Export(t.Context(), held(nil), root, ExportOptions{Prune: true, DryRun: dryRun})
		if !errors.As(err, &refused) || refused.Pods != 2 || !strings.Contains(err.Error(), root) {
			t.Errorf("dry run %v: %v", dryRun, err)
		}
		if names, err := d.List(t.Context()); err != nil || len(names) != 2 {
			t.Errorf("there are %q, %v", names, err)
		}
		r, err := Export(t.Context(), held(nil), root, ExportOptions{Prune: true, PruneAll: true, DryRun: dryRun})
		if err != nil || r.Counts[Pruned] != 2 {
			t.Errorf("dry run %v: %+v, %v", dryRun, r, err)
		}
	}
	// Where there is nothing to lose, there is nothing to refuse.
	if _, err := Export(t.Context(), held(nil), t.TempDir(), ExportOptions{Prune: true}); err != nil {
		t.Error(err)
	}
}

// A Pod may be named as a directory that an export has not finished.
func TestPodNamedAsUnfinishedExport(t *testing.T) {
	root := t.TempDir()
	d, err := OpenDir(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	const name = treePrefix + "0123456789abcdef"
	if err := store.Write(t.Context(), d, &store.Metadata{PodName: name}); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(root, treePrefix+"fedcba9876543210", "pod")
	if err := errors.Join(os.MkdirAll(left, 0o700), os.WriteFile(filepath.Join(left, fileName), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	pods := held(nil)
	for range manyPods {
		pods = append(pods, &store.Metadata{PodName: "p" + strings.Repeat("x", len(pods))})
	}
	if _, err := Export(t.Context(), pods, filepath.Join(root, "new"), ExportOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Read(t.Context(), name); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Dir(left)); !errors.Is(err, os.ErrNotExist) && canSyncAll(t, root) {
		t.Errorf("what an export left behind is still there: %v", err)
	}
}

func canSyncAll(t *testing.T, path string) bool {
	t.Helper()
	f, err := osfs.OpenRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return f.CanSyncAll()
}

// Limits match ErrTooLarge, so that who asks for more can be told how.
func TestLimitsAreTooLarge(t *testing.T) {
	root := t.TempDir()
	d, err := OpenDir(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := &store.Metadata{PodName: "big", Manifest: []byte("[1,1,1,1,1,1,1,1]")}
	if err := store.Write(t.Context(), d, m); err != nil {
		t.Fatal(err)
	}
	small, err := OpenDir(root, &DirOptions{MaxFileSize: 20})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := small.Read(t.Context(), "big"); !errors.Is(err, store.ErrTooLarge) || errors.Is(err, store.ErrCorrupt) {
		t.Errorf("read: %v", err)
	}
	if err := store.Write(t.Context(), small, m); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("write: %v", err)
	}
}
