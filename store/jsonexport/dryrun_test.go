package jsonexport

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"podstore/store"
)

// outcomes are what became of each Pod.
func outcomes(results map[string]Result) map[string]Outcome {
	got := make(map[string]Outcome, len(results))
	for name, r := range results {
		got[name] = r.Outcome
	}
	return got
}

// dryRun is what a dry run of an export says. It must not change anything: not
// even a time.
func dryRun(t *testing.T, src store.MetadataStore, root string, opts ExportOptions) map[string]Outcome {
	t.Helper()
	times := func() map[string]string {
		got := map[string]string{}
		err := filepath.WalkDir(filepath.Dir(root), func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := os.Lstat(path)
			if err == nil {
				got[path] = info.ModTime().String() + info.Mode().String()
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	before := times()
	results := map[string]Result{}
	opts.DryRun, opts.Progress = true, collect(t, results)
	_, _ = Export(t.Context(), src, root, opts) // a failure shows in the results
	if after := times(); !maps.Equal(before, after) {
		t.Errorf("a dry run changed\n%v\nto\n%v", before, after)
	}
	return outcomes(results)
}

// TestExportDryRun: a dry run says of each Pod what the export then does.
func TestExportDryRun(t *testing.T) {
	src := filled(t, append(many(100),
		&store.Metadata{PodName: "new"}, &store.Metadata{PodName: "same"}, &store.Metadata{PodName: "other"},
		&store.Metadata{PodName: "no-file"}, &store.Metadata{PodName: "file"}, &store.Metadata{PodName: "link"}, &store.Metadata{PodName: "directory"},
		&store.Metadata{PodName: "large", Manifest: []byte(`"` + strings.Repeat("x", 3000) + `"`)})...)
	target := tree(t, map[string]string{
		"same/metadata.json": minimal("same"), "other/metadata.json": "{}", "no-file/notes": "n", "file": "f",
		"directory/metadata.json/notes": "n", "other/.metadata.json.podstore-01": "{", "gone/metadata.json": minimal("gone"),
	})
	if err := os.Symlink("same", filepath.Join(target, "link")); err != nil {
		t.Fatal(err)
	}
	for name, root := range map[string]string{"present": target, "missing": filepath.Join(t.TempDir(), "a", "b")} {
		t.Run(name, func(t *testing.T) {
			opts := ExportOptions{Prune: true, MaxFileSize: 2000}
			if name == "missing" { // walk what is there
				if err := os.Mkdir(filepath.Dir(root), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			planned := dryRun(t, src, root, opts)
			got := map[string]Result{}
			opts.Progress = collect(t, got)
			if _, err := Export(t.Context(), src, root, opts); err != nil {
				t.Fatal(err)
			}
			if done := outcomes(got); !maps.Equal(planned, done) {
				t.Errorf("a dry run says\n%v\nand it does\n%v", planned, done)
			}
			if refused := planned["large"]; refused != Refused {
				t.Errorf("large: %s", refused)
			}
		})
	}
}
