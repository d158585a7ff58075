package jsonexport

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/podjson"
)

// points is how many points of a kind a test visits: few unless PODSTORE_LONG is
// set.
func points(few, all int) int {
	if os.Getenv("PODSTORE_LONG") != "" {
		return all
	}
	return few
}

// kills are the first and the last of the calls of the i-th kind at which a test kills:
// only one with -short.
func kills(i int) (first, last int) {
	if testing.Short() {
		return 1 + i%2, 1 + i%2
	}
	return 1, points(3, 1000)
}

// visitedAtLeast is how many points of kill a test that visits usual ones has with -short.
func visitedAtLeast(usual int) int {
	if testing.Short() {
		return usual / 4
	}
	return usual
}

// changing prepares a source of Pods and targets in which some are missing, some
// differ, one is to be pruned and one is equal already.
func changing(t *testing.T) (src *Dir, target func() string, want map[string]string) {
	t.Helper()
	var pods []*store.Metadata
	for i := range 8 {
		pods = append(pods, benchPod(i))
	}
	src = filled(t, pods...)
	target = func() string {
		root := tree(t, map[string]string{
			"pod-000000/metadata.json": string(podjson.Append(nil, pods[0])),
			"pod-000001/metadata.json": minimal("pod-000001"),
			"pod-000002/metadata.json": minimal("pod-000002"), "pod-000002/notes": "mine",
			"gone/metadata.json": minimal("gone"),
		})
		return root
	}
	want = contents(t, src.RootDir())
	want["pod-000002/notes"] = "mine"
	return src, target, want
}

// TestExportKilled: killed at any system call, every file is the old or the new
// one, and running it again leads to the same directory as one clean run.
func TestExportKilled(t *testing.T) {
	src, target, want := changing(t)
	visited := 0
	for _, syncAll := range []bool{true, false} {
		for i, call := range []string{"mkdirat", "write", "renameat", "fsync", "syncfs", "unlinkat", "openat"} {
			for n, last := kills(i); n <= last; n++ {
				root := target()
				old := contents(t, root)
				_, err := results(t, command(t, childJob{Do: "export", From: src.RootDir(), To: root, SyncAll: syncAll}, strace(t, call, "signal=KILL", n)...))
				if !killed(t, err) {
					break
				}
				visited++
				for path, content := range contents(t, root) {
					if strings.HasSuffix(path, "/"+fileName) && content != old[path] && content != want[path] {
						t.Errorf("killed at %s %d: %s is neither the old nor the new one: %q", call, n, path, content)
					}
				}
				if _, err := Export(t.Context(), src, root, ExportOptions{Prune: true}); err != nil {
					t.Fatal(err)
				}
				if got := contents(t, root); !maps.Equal(got, want) {
					t.Errorf("killed at %s %d and run again: got %q", call, n, got)
				}
			}
		}
	}
	t.Logf("%d points", visited)
	if visited < visitedAtLeast(20) {
		t.Errorf("only %d points were visited", visited)
	}
}

// TestImportKilled: killed at any system call, the store opens, and running the
// import again leads to the same content as one clean run.
func TestImportKilled(t *testing.T) {
	src, _, _ := changing(t)
	want := contents(t, src.RootDir())
	age(t, src.RootDir())
	visited := 0
	for i, call := range []string{"pwrite64", "fdatasync", "fsync", "ftruncate", "linkat", "renameat", "renameat2", "unlinkat", "openat"} {
		for n, last := kills(i); n <= last; n++ {
			db := filepath.Join(t.TempDir(), "pods.db")
			_, err := results(t, command(t, childJob{Do: "import", From: src.RootDir(), To: db}, strace(t, call, "signal=KILL", n)...))
			if !killed(t, err) {
				break
			}
			visited++
			s, err := boltstore.Open(db, nil)
			if err != nil {
				t.Fatalf("killed at %s %d: %v", call, n, err)
			}
			r, err := Import(t.Context(), s, src.RootDir(), ImportOptions{Overwrite: true})
			if err != nil || r.Counts[Imported]+r.Counts[Unchanged] != 8 {
				t.Errorf("killed at %s %d and run again: %v, %v", call, n, r.Counts, err)
			}
			out := filepath.Join(t.TempDir(), "out")
			if _, err := Export(t.Context(), s, out, ExportOptions{}); err != nil {
				t.Error(err)
			}
			if got := contents(t, out); !maps.Equal(got, want) {
				t.Errorf("killed at %s %d and run again: got %q", call, n, got)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	t.Logf("%d points", visited)
	if visited < visitedAtLeast(8) {
		t.Errorf("only %d points were visited", visited)
	}
}

// TestExportErrorsOfTheFileSystem: an error that concerns one Pod refuses it, one
// that concerns the file system ends the export; either way nothing is half
// written, and running it again completes it.
func TestExportErrorsOfTheFileSystem(t *testing.T) {
	src, target, want := changing(t)
	for _, syncAll := range []bool{true, false} {
		for _, c := range []struct {
			call, err string
			whole     bool // concerns the file system
			reason    string
		}{
			{"mkdirat", "ENAMETOOLONG", false, "file name too long"},
			{"mkdirat", "EACCES", false, "permission denied"},
			{"mkdirat", "ENOSPC", true, "no space left"},
			{"renameat", "EACCES", false, "permission denied"},
			{"renameat", "EIO", true, "input/output error"},
			{"write", "EDQUOT", true, "quota exceeded"},
			{"syncfs", "EIO", true, "input/output error"},
			{"fsync", "EIO", true, "input/output error"},
		} {
			if c.call == "syncfs" && !syncAll || c.call == "fsync" && syncAll {
				continue
			}
			root := target()
			old := contents(t, root)
			got, err := results(t, command(t, childJob{Do: "export", From: src.RootDir(), To: root, SyncAll: syncAll}, strace(t, c.call, "error="+c.err, 1)...))
			if (err != nil) != c.whole || err != nil && !strings.Contains(err.Error(), c.reason) {
				t.Errorf("%s %s: error %v", c.call, c.err, err)
			}
			refused := 0
			for _, r := range got {
				if r.Outcome == Refused {
					refused++
					if !strings.Contains(r.Reason, c.reason) {
						t.Errorf("%s %s: %+v", c.call, c.err, r)
					}
				}
			}
			if !c.whole && (refused == 0 || len(got) != 9) {
				t.Errorf("%s %s: %d of %d refused: %v", c.call, c.err, refused, len(got), got)
			}
			for path, content := range contents(t, root) {
				if content != old[path] && content != want[path] {
					t.Errorf("%s %s: %s is neither the old nor the new one: %q", c.call, c.err, path, content)
				}
			}
			if _, err := Export(t.Context(), src, root, ExportOptions{Prune: true}); err != nil {
				t.Fatal(err)
			}
			if got := contents(t, root); !maps.Equal(got, want) {
				t.Errorf("%s %s and run again: got %q", c.call, c.err, got)
			}
		}
	}
}
