package jsonexport

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/memstore"
)

func TestDirApplyRefusesWhatADirectoryCannotDo(t *testing.T) {
	d := openDir(t, tree(t, map[string]string{"a/metadata.json": minimal("a")}))
	add := store.AddPeer{PodName: "p"}
	for name, c := range map[string]struct {
		changes []store.Change
		opts    *store.ApplyOptions
	}{
		"two Pods":    {[]store.Change{{Pod: "a", Op: add}, {Pod: "b", Op: add}}, nil},
		"remove":      {[]store.Change{{Pod: "a", Op: add}, {Pod: "a", Op: store.Remove{}}}, nil},
		"request IDs": {[]store.Change{{Pod: "a", Op: add}}, &store.ApplyOptions{ID: store.NewRequestID()}},
	} {
		var e *store.Error
		if _, err := d.Apply(t.Context(), c.changes, c.opts); !errors.Is(err, errors.ErrUnsupported) || !errors.As(err, &e) || e.Pod != "a" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if m, err := d.Read(t.Context(), "a"); err != nil || len(m.Peers) > 0 {
		t.Errorf("changed: %v, %v", m, err)
	}
}

// TestDirRevision: it is that of the bytes, whoever wrote them.
func TestDirRevision(t *testing.T) {
	root := tree(t, map[string]string{"a/metadata.json": minimal("a")})
	d := openDir(t, root)
	read := func(d *Dir) store.Revision {
		t.Helper()
		m, err := d.Read(t.Context(), "a")
		if err != nil || m.Version.Revision.IsZero() || m.Version.Revision.Number != 0 {
			t.Fatalf("%+v, %v", m, err)
		}
		return m.Version.Revision
	}
	first := read(d)
	if again := read(openDir(t, tree(t, map[string]string{"a/metadata.json": minimal("a")}))); again != first {
		t.Errorf("the same bytes elsewhere have %v, expected %v", again, first)
	}
	applied, err := d.Apply(t.Context(), []store.Change{{Pod: "a", Op: store.AddPeer{PodName: "p"}, If: store.AtRevision(first)}}, nil)
	if err != nil || applied[0].Version.Revision == first || applied[0].Version.Revision != read(d) {
		t.Errorf("applied %+v, %v; stored is %v", applied, err, read(d))
	}
	put(t, filepath.Join(root, "a", fileName), minimal("a")+"\n")
	by := read(d)
	if by == first || by == applied[0].Version.Revision {
		t.Errorf("other bytes have revision %v too", by)
	}
	if _, err := d.Apply(t.Context(), []store.Change{{Pod: "a", Op: store.Delete{}, If: store.AtRevision(applied[0].Version.Revision)}}, nil); !errors.Is(err, store.ErrConflict) {
		t.Errorf("another program came between: %v", err)
	}
	// The same content is no change, so the bytes stay.
	if err := store.Write(t.Context(), d, &store.Metadata{PodName: "a"}); err != nil || read(d) != by {
		t.Errorf("%v, %v", err, read(d))
	}
}

// modified sets and returns a file's time.
func modified(t *testing.T, path string, set time.Time) time.Time {
	t.Helper()
	if !set.IsZero() {
		if err := os.Chtimes(path, set, set); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime().UTC()
}

// TestChangedIsTheFilesTime: through reading, writing, import and export.
func TestChangedIsTheFilesTime(t *testing.T) {
	long := time.UnixMilli(1_600_000_000_123).UTC()
	root := tree(t, map[string]string{"a/metadata.json": minimal("a"), "unknown/metadata.json": minimal("unknown")})
	file := func(pod string) string { return filepath.Join(root, pod, fileName) }
	modified(t, file("a"), long.Add(456*time.Microsecond))
	modified(t, file("unknown"), time.Unix(0, 0))
	d := openDir(t, root)
	changed := func(s store.MetadataStore, pod string, want time.Time) {
		t.Helper()
		m, err := s.Read(t.Context(), pod)
		if err != nil || !m.Version.Changed.Equal(want) {
			t.Errorf("%s changed %v, expected %v; %v", pod, m.Version.Changed, want, err)
		}
	}
	changed(d, "a", long)
	changed(d, "unknown", time.Time{})

	memory := memstore.New()
	if r, err := Import(t.Context(), memory, root, ImportOptions{}); err != nil || r.Counts[Imported] != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	changed(memory, "a", long)

	applied, err := d.Apply(t.Context(), []store.Change{{Pod: "a", Op: store.AddPeer{PodName: "p"}}}, nil)
	if now := time.Now(); err != nil || now.Sub(applied[0].Version.Changed).Abs() > time.Hour || !applied[0].Version.Created.IsZero() {
		t.Errorf("%+v, %v", applied, err)
	}
	changed(d, "a", applied[0].Version.Changed)
	if _, err := d.Apply(t.Context(), []store.Change{{Pod: "new", Op: store.Put{Metadata: &store.Metadata{PodName: "new"}, Changed: long}}}, nil); err != nil {
		t.Error(err)
	}
	changed(d, "new", long)
	if got := modified(t, file("new"), time.Time{}); !got.Equal(long) {
		t.Errorf("the file has %v", got)
	}
}

// TestExportKeepsTimes: in a directory that is there and in a new one, of few Pods and
// of many.
func TestExportKeepsTimes(t *testing.T) {
	bothSyncs(t, func(t *testing.T) {
		for _, n := range []int{2, 100} {
			src, want := memstore.New(), map[string]time.Time{}
			for i, m := range many(n) {
				want[m.PodName] = time.UnixMilli(1_600_000_000_000 + int64(i)).UTC()
				err := store.Do(t.Context(), src, m.PodName, store.Put{Metadata: m, Changed: want[m.PodName]})
				if err != nil {
					t.Fatal(err)
				}
			}
			for _, root := range []string{t.TempDir(), filepath.Join(t.TempDir(), "new")} {
				if r, err := Export(t.Context(), src, root, ExportOptions{}); err != nil || r.Counts[Exported] != n {
					t.Fatalf("%+v, %v", r, err)
				}
				again := memstore.New()
				if r, err := Import(t.Context(), again, root, ImportOptions{}); err != nil || r.Counts[Imported] != n {
					t.Fatalf("%+v, %v", r, err)
				}
				for m, err := range again.All(t.Context(), store.ReadOptions{}) {
					if err != nil || !m.Version.Changed.Equal(want[m.PodName]) {
						t.Fatalf("%s changed %v, expected %v; %v", m.PodName, m.Version.Changed, want[m.PodName], err)
					}
				}
			}
		}
	})
}
