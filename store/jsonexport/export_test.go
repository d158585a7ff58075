package jsonexport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"podstore/store"
	"podstore/store/podjson"
)

// bothSyncs runs a test with and without syncs of the whole file system.
func bothSyncs(t *testing.T, test func(t *testing.T)) {
	for name, all := range map[string]bool{"file system": true, "each file": false} {
		t.Run(name, func(t *testing.T) {
			setSyncAll(t, all)
			test(t)
		})
	}
}

// filled is a store in a directory, with these Pods.
func filled(t testing.TB, pods ...*store.Metadata) *Dir {
	t.Helper()
	d := openDir(t, filepath.Join(t.TempDir(), "src"))
	if err := errors.Join(d.WriteBatch(t.Context(), pods)...); err != nil {
		t.Fatal(err)
	}
	return d
}

// many are more Pods than one batch has.
func many(n int) []*store.Metadata {
	pods := make([]*store.Metadata, n)
	for i := range pods {
		pods[i] = &store.Metadata{PodName: fmt.Sprintf("pod-%05d", i), Manifest: fmt.Appendf(nil, "%d", i)}
	}
	return pods
}

// states are the files below root.
func states(t testing.TB, root string) map[string]string { return maps.Collect(walk(t, root)) }

// contents are the files below root and what is in them, and the links and where
// they point.
func contents(t testing.TB, root string) map[string]string {
	t.Helper()
	got := map[string]string{}
	for path := range walk(t, root) {
		target, err := os.Readlink(filepath.Join(root, path))
		if err == nil {
			got[path] = "-> " + target
			continue
		}
		data, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		got[path] = string(data)
	}
	return got
}

func TestExportLeavesOtherFilesAndEqualOnesAlone(t *testing.T) {
	bothSyncs(t, func(t *testing.T) {
		var pods []*store.Metadata
		for _, name := range hardNames {
			pods = append(pods, &store.Metadata{PodName: name})
		}
		pods = append(pods, many(60)...)
		src := filled(t, pods...)
		root := tree(t, map[string]string{
			"file": "f", "no-pod/file": "f", "日本語/notes": "n", "日本語/metadata.json": `{"pod_name":"日本語"}`, "stays/metadata.json": minimal("stays"),
		})
		got := map[string]Result{}
		r, err := Export(t.Context(), src, root, ExportOptions{Progress: collect(t, got)})
		n := len(hardNames) + 60
		if err != nil || r.Counts[Exported] != n || len(r.Counts) != 1 {
			t.Fatalf("%v, %v", r.Counts, err)
		}
		for name, res := range got {
			if res.Path != filepath.Join(root, name, fileName) || res.Err != nil {
				t.Errorf("%+v", res)
			}
		}
		want := contents(t, src.RootDir())
		for path, content := range map[string]string{"file": "f", "no-pod/file": "f", "日本語/notes": "n", "stays/metadata.json": minimal("stays")} {
			want[path] = content
		}
		if got := contents(t, root); !reflect.DeepEqual(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		for path := range walk(t, root) {
			file, _ := os.Stat(filepath.Join(root, path))
			dir, _ := os.Stat(filepath.Dir(filepath.Join(root, path)))
			if file.Mode().Perm() != 0o600 || dir.Mode().Perm() != 0o700 {
				t.Errorf("%s: %v in %v", path, file.Mode(), dir.Mode())
			}
		}

		before := states(t, root)
		r, err = Export(t.Context(), src, root, ExportOptions{})
		if err != nil || r.Counts[Unchanged] != n || len(r.Counts) != 1 {
			t.Errorf("again: %v, %v", r.Counts, err)
		}
		if after := states(t, root); !reflect.DeepEqual(after, before) {
			t.Error("a file was written again")
		}

		put(t, filepath.Join(root, "pod-00007", fileName), strings.Replace(want["pod-00007/metadata.json"], "7", "8", 1))
		r, err = Export(t.Context(), src, root, ExportOptions{})
		if err != nil || r.Counts[Unchanged] != n-1 || r.Counts[Exported] != 1 {
			t.Errorf("with one byte changed: %v, %v", r.Counts, err)
		}
		if got := contents(t, root); !reflect.DeepEqual(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestExportRefusesWhatItCannotWrite: what stands in a Pod's place is left alone,
// and so is what a link points to; the others go on.
func TestExportRefusesWhatItCannotWrite(t *testing.T) {
	bothSyncs(t, func(t *testing.T) {
		pods := many(60)
		for _, name := range []string{"file", "link", "linked-file", "directory"} {
			pods = append(pods, &store.Metadata{PodName: name})
		}
		src := filled(t, pods...)
		root := tree(t, map[string]string{
			"file": "plain", "directory/metadata.json/x": "x", "elsewhere/metadata.json": "elsewhere", "linked-file/notes": "n",
		})
		if err := errors.Join(os.Symlink("elsewhere", filepath.Join(root, "link")),
			os.Symlink("../elsewhere/metadata.json", filepath.Join(root, "linked-file", fileName))); err != nil {
			t.Fatal(err)
		}
		before := contents(t, root)
		got := map[string]Result{}
		r, err := Export(t.Context(), src, root, ExportOptions{Progress: collect(t, got)})
		if err != nil || r.Counts[Refused] != 4 || r.Counts[Exported] != 60 {
			t.Errorf("%v, %v", r.Counts, err)
		}
		for name, reason := range map[string]string{
			"file": "is a file; expected a directory", "link": "is a symbolic link, which is not followed; put a directory in its place",
			"linked-file": "is a symbolic link", "directory": "is a directory; expected a regular file",
		} {
			if res := got[name]; res.Outcome != Refused || !errors.Is(res.Err, store.ErrExists) || !strings.Contains(res.Err.Error(), reason) {
				t.Errorf("%s: %+v", name, res)
			}
		}
		after := contents(t, root)
		for path, content := range before {
			if after[path] != content {
				t.Errorf("%s was changed to %q", path, after[path])
			}
		}
		if len(after) != len(before)+60 {
			t.Errorf("%d files, want %d", len(after), len(before)+60)
		}
	})
}

// ending is a store whose listing of contents ends with an error.
type ending struct {
	store.MetadataStore
	err error
}

func (s ending) All(ctx context.Context, opts store.ReadOptions) iter.Seq2[*store.Metadata, error] {
	return func(yield func(*store.Metadata, error) bool) {
		for m, err := range store.All(ctx, s.MetadataStore, opts) {
			if !yield(m, err) {
				return
			}
		}
		yield(nil, s.err)
	}
}

// listing is a store with another List than All.
type listing struct {
	*Dir
	names []string
	err   error
}

func (s listing) List(context.Context) ([]string, error) { return s.names, s.err }

// appearing is a store that has got another Pod since it was listed.
type appearing struct {
	*Dir
	name string
}

func (s appearing) Read(ctx context.Context, name string) (*store.Metadata, error) {
	if name == s.name {
		return &store.Metadata{PodName: name}, nil
	}
	return s.Dir.Read(ctx, name)
}

func TestExportErrors(t *testing.T) {
	src := filled(t, &store.Metadata{PodName: "p"})
	tmp := t.TempDir()
	put(t, filepath.Join(tmp, "file"), "")
	for _, path := range []string{filepath.Join(tmp, "file"), filepath.Join(tmp, "file", "below")} {
		if _, err := Export(t.Context(), src, path, ExportOptions{}); err == nil || !strings.HasPrefix(err.Error(), "export "+path) {
			t.Errorf("%s: %v", path, err)
		}
	}
	broken := errors.New("broken")
	if _, err := Export(t.Context(), listing{src, nil, broken}, filepath.Join(tmp, "a"), ExportOptions{}); !errors.Is(err, broken) {
		t.Errorf("list fails: %v", err)
	}
	if _, err := Export(t.Context(), snapshots{src, broken, nil}, filepath.Join(tmp, "a"), ExportOptions{}); !errors.Is(err, broken) {
		t.Errorf("snapshot fails: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Export(ctx, src, filepath.Join(tmp, "never"), ExportOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(tmp, "never")); err == nil {
		t.Error("a directory was created")
	}
	// A store that breaks its contract must not make files elsewhere.
	r, err := Export(t.Context(), yielding{filled(t), []*store.Metadata{{PodName: "../escape"}}}, filepath.Join(tmp, "b"), ExportOptions{})
	if err != nil || r.Counts[Refused] != 1 {
		t.Errorf("a bad name: %v, %v", r.Counts, err)
	}
	if _, err := os.Lstat(filepath.Join(tmp, "escape")); err == nil {
		t.Error("a file was made outside")
	}
	r, err = Export(t.Context(), filled(t, &store.Metadata{PodName: "large", Manifest: []byte(`"` + strings.Repeat("x", 1000) + `"`)}),
		filepath.Join(tmp, "c"), ExportOptions{MaxFileSize: 1000})
	if err != nil || r.Counts[Refused] != 1 {
		t.Errorf("too large: %v, %v", r.Counts, err)
	}
}

// yielding is a store that yields other Pods than it has.
type yielding struct {
	store.MetadataStore
	pods []*store.Metadata
}

func (s yielding) All(context.Context, store.ReadOptions) iter.Seq2[*store.Metadata, error] {
	return func(yield func(*store.Metadata, error) bool) {
		for _, m := range s.pods {
			if !yield(m, nil) {
				return
			}
		}
	}
}

// snapshots is a store that can be frozen.
type snapshots struct {
	*Dir
	err  error
	open *int
}

func (s snapshots) Snapshot(context.Context) (store.MetadataStore, io.Closer, error) {
	if s.err != nil {
		return nil, nil, s.err
	}
	*s.open++
	return s.Dir, s, nil
}

func (s snapshots) Close() error { *s.open--; return nil }

func TestExportAndVerifyReadOneSnapshot(t *testing.T) {
	src := filled(t, &store.Metadata{PodName: "p"})
	open := 0
	s := snapshots{src, nil, &open}
	root := filepath.Join(t.TempDir(), "out")
	during := 0
	progress := func(Result, int, int) { during = open }
	if r, err := Export(t.Context(), s, root, ExportOptions{Progress: progress}); err != nil || r.Counts[Exported] != 1 || open != 0 || during != 1 {
		t.Errorf("export: %v, %v, %d open, %d during", r.Counts, err, open, during)
	}
	during = 0
	if r, err := Verify(t.Context(), s, root, VerifyOptions{Progress: progress}); err != nil || r.Counts[Same] != 1 || open != 0 || during != 1 {
		t.Errorf("verify: %v, %v, %d open, %d during", r.Counts, err, open, during)
	}
	// A combined store that cannot be frozen is read as it is.
	if r, err := Verify(t.Context(), store.NewCombined(nil, src), root, VerifyOptions{}); err != nil || r.Counts[Same] != 1 {
		t.Errorf("combined: %v, %v", r.Counts, err)
	}
}

// TestExportCancelled: what was reported is there, and running it again completes
// the rest.
func TestExportCancelled(t *testing.T) {
	bothSyncs(t, func(t *testing.T) {
		setBatch(t, 20)
		n := 100
		src := held(many(n))
		root := filepath.Join(t.TempDir(), "out")
		ctx, cancel := context.WithCancel(t.Context())
		reported := 0
		r, err := Export(ctx, src, root, ExportOptions{Progress: func(Result, int, int) {
			if reported++; reported == 10 {
				cancel()
			}
		}})
		if !errors.Is(err, context.Canceled) || reported == n || r.Counts[Exported] != reported {
			t.Errorf("%d reported, %v, %v", reported, r.Counts, err)
		}
		got, want := contents(t, root), map[string]string{}
		for _, m := range src {
			want[m.PodName+"/"+fileName] = string(podjson.Append(nil, m))
		}
		if len(got) != reported {
			t.Errorf("%d files, %d reported", len(got), reported)
		}
		for path, content := range got {
			if want[path] != content {
				t.Errorf("%s: %q", path, content)
			}
		}
		again, err := Export(t.Context(), src, root, ExportOptions{})
		if err != nil || again.Counts[Unchanged] != reported || again.Counts[Exported] != n-reported {
			t.Errorf("again: %v, %v", again.Counts, err)
		}
		if got := contents(t, root); !reflect.DeepEqual(got, want) {
			t.Error("the second run did not complete the first")
		}
	})
}
