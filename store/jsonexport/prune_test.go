package jsonexport

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"podstore/store"
)

func TestExportPrune(t *testing.T) {
	src := filled(t, &store.Metadata{PodName: "kept"}, &store.Metadata{PodName: "damaged"})
	put(t, filepath.Join(src.RootDir(), "damaged", fileName), "{")
	target := func(t *testing.T) string {
		root := tree(t, map[string]string{
			"gone/metadata.json": minimal("gone"), "gone/.metadata.json.podstore-01": "{",
			"gone-with-notes/metadata.json": minimal("x"), "gone-with-notes/notes": "n",
			"gone-unreadable/metadata.json": "{",
			"damaged/metadata.json":         minimal("damaged"),
			"no-pod/other":                  "o", "file": "f", "linked/notes": "n",
			"not-utf8-\xff/metadata.json": minimal("x"),
		})
		if err := errors.Join(os.Symlink("../no-pod/other", filepath.Join(root, "linked", fileName)),
			os.Symlink("no-pod", filepath.Join(root, "link"))); err != nil {
			t.Fatal(err)
		}
		return root
	}
	for name, c := range map[string]struct {
		src    store.MetadataStore
		prunes bool
		err    error
	}{
		"whole":             {src, true, nil},
		"record mismatch":   {ending{src, &store.Error{Kind: store.ErrCorrupt, Err: errors.New("the record of names does not match")}}, false, store.ErrCorrupt},
		"list fails softly": {listing{src, []string{"kept"}, &store.Error{Kind: store.ErrCorrupt}}, true, nil},
		"created meanwhile": {appearing{src, "gone"}, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			root := target(t)
			before := states(t, root)
			planned := dryRun(t, c.src, root, ExportOptions{Prune: true})
			got := map[string]Result{}
			r, err := Export(t.Context(), c.src, root, ExportOptions{Prune: true, Progress: collect(t, got)})
			if done := outcomes(got); !maps.Equal(planned, done) {
				t.Errorf("a dry run says %v, and it does %v", planned, done)
			}
			if !errors.Is(err, c.err) || c.err != nil && !strings.Contains(err.Error(), "nothing was pruned") {
				t.Errorf("error %v, want %v", err, c.err)
			}
			if d := got["damaged"]; d.Outcome != Damaged || !errors.Is(d.Err, store.ErrCorrupt) || r.Counts[Damaged] != 1 {
				t.Errorf("damaged: %+v", d)
			}
			want := maps.Clone(before)
			want["kept/metadata.json"] = states(t, root)["kept/metadata.json"]
			if c.prunes {
				for pod, files := range map[string][]string{
					"gone":            {"gone/metadata.json", "gone/.metadata.json.podstore-01"},
					"gone-with-notes": {"gone-with-notes/metadata.json"},
					"gone-unreadable": {"gone-unreadable/metadata.json"},
				} {
					if a, ok := c.src.(appearing); ok && a.name == pod {
						continue
					}
					if got[pod].Outcome != Pruned {
						t.Errorf("%s: %+v", pod, got[pod])
					}
					for _, f := range files {
						delete(want, f)
					}
				}
				if l := got["linked"]; l.Outcome != Refused || !strings.Contains(fmt.Sprint(l.Err), "is a symbolic link") {
					t.Errorf("linked: %+v", l)
				}
				if _, err := os.Lstat(filepath.Join(root, "gone-unreadable")); err == nil {
					t.Error("an empty directory was left")
				}
			} else if r.Counts[Pruned] != 0 {
				t.Errorf("pruned: %v", r.Counts)
			}
			if after := states(t, root); !reflect.DeepEqual(after, want) {
				t.Errorf("got %q, want %q", after, want)
			}
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		root := target(t)
		ctx, cancel := context.WithCancel(t.Context())
		r, err := Export(ctx, src, root, ExportOptions{Prune: true, Progress: func(r Result, _, _ int) {
			if r.Outcome == Exported {
				cancel()
			}
		}})
		if !errors.Is(err, context.Canceled) || r.Counts[Pruned] != 0 {
			t.Errorf("%v, %v", r.Counts, err)
		}
	})
}
