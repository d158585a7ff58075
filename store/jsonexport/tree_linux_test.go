package jsonexport

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"podstore/store"
	"podstore/store/internal/osfs"
	"podstore/store/podjson"
)

// newTarget is where an export makes a directory, in one that has something else.
func newTarget(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "out")
	put(t, filepath.Join(filepath.Dir(root), "other", "notes"), "mine")
	return root
}

// besides fails for what an export left beside its directory.
func besides(t *testing.T, what, root string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(root))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "out" && e.Name() != "other" {
			t.Errorf("%s: %s is left", what, e.Name())
		}
	}
}

// contentsOf is contents, or nil where there is no directory.
func contentsOf(t *testing.T, root string) map[string]string {
	t.Helper()
	if _, err := os.Lstat(root); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return contents(t, root)
}

// TestNewTreeKilled: killed at any system call, a directory that is new is whole or
// not there; running it again makes it, and removes what was left.
func TestNewTreeKilled(t *testing.T) {
	src, _, _ := changing(t)
	want := contents(t, src.RootDir())
	visited := 0
	for i, call := range []string{"mkdirat", "flock", "openat", "write", "close", "syncfs", "renameat2", "fsync"} {
		for n, last := kills(i); n <= last; n++ {
			root := newTarget(t)
			_, err := results(t, command(t, childJob{Do: "export", From: src.RootDir(), To: root, SyncAll: true}, strace(t, call, "signal=KILL", n)...))
			if !killed(t, err) {
				break
			}
			visited++
			if got := contentsOf(t, root); got != nil && !maps.Equal(got, want) {
				t.Errorf("killed at %s %d: got a part, %d files", call, n, len(got))
			}
			setSyncAll(t, true)
			if r, err := Export(t.Context(), src, root, ExportOptions{}); err != nil || r.Counts[Exported]+r.Counts[Unchanged] != len(want) {
				t.Fatalf("killed at %s %d and run again: %v, %v", call, n, r.Counts, err)
			}
			if got := contents(t, root); !maps.Equal(got, want) {
				t.Errorf("killed at %s %d and run again: got %d files that are not all as they should be", call, n, len(got))
			}
			if call != "fsync" { // then it is there, and nothing looks for leftovers; there are none
				besides(t, fmt.Sprintf("killed at %s %d and run again", call, n), root)
			}
		}
	}
	t.Logf("%d points", visited)
	if visited < visitedAtLeast(14) {
		t.Errorf("only %d points were visited", visited)
	}
}

// TestNewTreeFollowsNoLink: what takes the place of a Pod's directory, or file, before
// the file is written is neither followed nor written to. The Pod is refused.
func TestNewTreeFollowsNoLink(t *testing.T) {
	outside := t.TempDir()
	for what, place := range map[string]func(dir string) error{
		"a link for the directory": func(dir string) error { return errors.Join(os.Remove(dir), os.Symlink(outside, dir)) },
		"a link for the file":      func(dir string) error { return os.Symlink(outside+"/new", dir+"/metadata.json") },
		"no directory":             os.Remove,
	} {
		setSyncAll(t, true)
		root := newTarget(t)
		writer, p, err := newTreeWriter(root, 0, 1000)
		if err != nil || writer == nil {
			t.Fatal(writer, err)
		}
		w := writer.(*treeWriter)
		it := batchItem{pod: "a", m: &store.Metadata{PodName: "a"}}
		if err := w.begin(&it); err != nil {
			t.Fatal(err)
		}
		if err := place(filepath.Join(filepath.Dir(root), w.temp, "a")); err != nil {
			t.Fatal(err)
		}
		if err := w.finishPod(&w.buffers[0], &it); err == nil || it.exported {
			t.Errorf("%s: exported, with the error %v", what, err)
		}
		w.discard()
		p.close()
		besides(t, what, root)
		if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
			t.Errorf("%s: %v, %v", what, left, err)
		}
	}
}

// TestNewTreeErrors: what concerns a Pod refuses it, what concerns the file system
// ends the export with what there is, and what keeps the directory from getting its
// name leaves nothing.
func TestNewTreeErrors(t *testing.T) {
	src, _, _ := changing(t)
	want := contents(t, src.RootDir())
	for _, c := range []struct {
		call, err string
		nth       int // in each thread, from one to another of which a goroutine may go
		reason    string
		outcome   string
	}{
		{"mkdirat", "EACCES", 1, "permission denied", "none"}, // of the directory itself
		{"mkdirat", "EACCES", 2, "permission denied", "refused"},
		{"mkdirat", "ENOSPC", 2, "no space left", "ended"},
		{"syncfs", "EIO", 1, "nothing was exported: input/output error", "none"},
		{"renameat2", "EACCES", 1, "nothing was exported: permission denied", "none"},
		{"renameat2", "EEXIST", 1, "run the same command again", "none"},
		{"fsync", "EIO", 1, "input/output error", "none"},                          // of what is above the directory
		{"fsync -P", "EIO", 1, "nothing was exported: input/output error", "none"}, // of that which the directory is in
	} {
		what := fmt.Sprintf("%s %s at %d", c.call, c.err, c.nth)
		root := newTarget(t)
		call, ofDir := strings.CutSuffix(c.call, " -P")
		wrap := strace(t, call, "error="+c.err, c.nth)
		if ofDir {
			wrap = append(wrap, "-P", filepath.Dir(root))
		}
		got, err := results(t, command(t, childJob{Do: "export", From: src.RootDir(), To: root, SyncAll: true}, wrap...))
		whole := c.outcome == "none" || c.outcome == "ended"
		if (err != nil) != whole || err != nil && !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: error %v", what, err)
		}
		refused := 0
		for _, r := range got {
			if r.Outcome == Refused {
				refused++
				if !strings.Contains(r.Reason, c.reason) {
					t.Errorf("%s: %+v", what, r)
				}
			}
		}
		there := contentsOf(t, root)
		if n := len(there); c.outcome == "none" && there != nil || c.outcome == "all" && n != 8 || c.outcome == "ended" && n == 8 ||
			c.outcome == "refused" && (refused == 0 || n != 8-refused) {
			t.Errorf("%s: %d files are there, %d Pods were refused", what, n, refused)
		}
		for path, content := range there {
			if content != want[path] {
				t.Errorf("%s: %s holds %.80q", what, path, content)
			}
		}
		besides(t, what, root)
		if _, err := Export(t.Context(), src, root, ExportOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := contents(t, root); !maps.Equal(got, want) {
			t.Errorf("%s and run again: got %d files that are not all as they should be", what, len(got))
		}
	}
}

// TestNewTreeBeside: what is being written by another export stays, what was left
// behind goes, and a directory that was created meanwhile is not touched.
func TestNewTreeBeside(t *testing.T) {
	setSyncAll(t, true)
	setBatch(t, 2)
	src := held(many(9))
	root := newTarget(t)
	parent, err := osfs.OpenRoot(filepath.Dir(root))
	if err != nil {
		t.Fatal(err)
	}
	defer parent.Close()
	live, dir, _, err := makeTree(parent)
	if err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(filepath.Dir(root), treePrefix+"0123456789abcdef")
	put(t, filepath.Join(left, "pod", fileName), "half")
	file := filepath.Join(filepath.Dir(root), treePrefix+"fedcba9876543210")
	mine := filepath.Join(filepath.Dir(root), treePrefix+"backup")
	put(t, filepath.Join(mine, "notes"), "of the user")
	put(t, file, "no directory")
	r, err := Export(t.Context(), src, root, ExportOptions{})
	if err != nil || r.Counts[Exported] != 9 {
		t.Fatal(r.Counts, err)
	}
	if r, err := Verify(t.Context(), src, root, VerifyOptions{}); err != nil || r.Counts[Same] != 9 {
		t.Error(r.Counts, err)
	}
	if _, err := os.Lstat(left); !errors.Is(err, os.ErrNotExist) {
		t.Error("what a killed export left behind is still there")
	}
	for _, stays := range []string{filepath.Join(filepath.Dir(root), live), file, filepath.Join(mine, "notes")} {
		if _, err := os.Lstat(stays); err != nil {
			t.Error(err)
		}
	}
	dir.Close()
	if err := errors.Join(os.Remove(filepath.Join(filepath.Dir(root), live)), os.Remove(file), os.RemoveAll(mine), os.RemoveAll(root)); err != nil {
		t.Fatal(err)
	}

	r, err = Export(t.Context(), src, root, ExportOptions{Progress: func(_ Result, done, _ int) {
		if done == 1 {
			put(t, filepath.Join(root, "pod-000000", "notes"), "of another program")
		}
	}})
	if err == nil || !strings.Contains(err.Error(), "run the same command again") || len(r.Counts) != 0 {
		t.Error(r.Counts, err)
	}
	if got := contents(t, root); len(got) != 1 {
		t.Errorf("got %q", got)
	}
	besides(t, "where a directory was created meanwhile", root)
	if r, err = Export(t.Context(), src, root, ExportOptions{}); err != nil || r.Counts[Exported] != 9 {
		t.Error(r.Counts, err)
	}
}

// TestNewTreePanic: a panic of the caller's leaves nothing.
func TestNewTreePanic(t *testing.T) {
	setSyncAll(t, true)
	setBatch(t, 2)
	root := newTarget(t)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic did not arrive")
			}
		}()
		_, _ = Export(t.Context(), held(many(9)), root, ExportOptions{Progress: func(Result, int, int) { panic("of the caller") }})
	}()
	if got := contentsOf(t, root); got != nil {
		t.Errorf("got %q", got)
	}
	besides(t, "after a panic", root)
}

// TestNewTreeRefused: Pods that cannot be written are refused, and the others go on.
func TestNewTreeRefused(t *testing.T) {
	setSyncAll(t, true)
	large := &store.Metadata{PodName: "large", Manifest: []byte(`"` + strings.Repeat("x", 1000) + `"`)}
	twice := &store.Metadata{PodName: "twice"}
	root := newTarget(t)
	r, err := Export(t.Context(), yielding{filled(t), []*store.Metadata{large, twice, twice, {PodName: "../escape"}}}, root, ExportOptions{MaxFileSize: 500})
	if err != nil || r.Counts[Refused] != 3 || r.Counts[Exported] != 1 {
		t.Error(r.Counts, err)
	}
	if got, want := contents(t, root), map[string]string{"twice/metadata.json": minimal("twice")}; !maps.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if _, err := os.Lstat(filepath.Join(root, "large")); !errors.Is(err, os.ErrNotExist) {
		t.Error("the directory of a Pod that was refused is there")
	}
	besides(t, "after refusals", root)
}

// TestNewTreePowerLoss: where power is lost while a directory is made it is not
// there, and all of it is once Export has returned.
func TestNewTreePowerLoss(t *testing.T) {
	setSyncAll(t, true)
	src := held(many(190))
	want := map[string]string{}
	for _, m := range src {
		want[m.PodName+"/"+fileName] = string(podjson.Append(nil, m))
	}
	for _, after := range []int{1, 61, 141, 190, 191} { // 191: after it has returned
		setBatch(t, 5) // with syncs meanwhile, but for the last one, where only one counts
		if after == 191 {
			setBatch(t, 30)
		}
		d := newDisk(t)
		root := filepath.Join(d.mount, "deep", "out")
		_, err := Export(t.Context(), src, root, ExportOptions{Progress: func(_ Result, done, _ int) {
			if done == after {
				d.losePower()
			}
		}})
		if after == 191 {
			d.losePower()
		}
		d.restart()
		if got := contentsOf(t, root); (err == nil) != maps.Equal(got, want) || err != nil && got != nil {
			t.Errorf("after %d: error %v, and %d files are there, not all whole", after, err, len(got))
		}
		if (err == nil) != (after >= 190) {
			t.Errorf("after %d: %v", after, err)
		}
		if _, err := Export(t.Context(), src, root, ExportOptions{}); err != nil {
			t.Fatal(err)
		}
		if r, err := Verify(t.Context(), src, root, VerifyOptions{}); err != nil || r.Counts[Same] != len(src) {
			t.Errorf("after %d and run again: %v, %v", after, r.Counts, err)
		}
	}
}

// TestNewTreePlaces: a new directory is where the system finds its path, also through a
// link and up, or with a slash at the end, and never one that a later export removes.
func TestNewTreePlaces(t *testing.T) {
	setSyncAll(t, true)
	src := held(many(3))
	tmp := t.TempDir()
	put(t, filepath.Join(tmp, "real", "dir", "notes"), "mine")
	for _, err := range []error{os.Symlink("real/dir", filepath.Join(tmp, "link")), os.Symlink("nowhere", filepath.Join(tmp, "dangling"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for path, at := range map[string]string{
		"a/b/new/": "a/b/new", "c/.": "c", "link/../d": "real/d", "link/e": "real/dir/e", "./f//g": "f/g",
	} {
		for _, outcome := range []Outcome{Exported, Unchanged} {
			if r, err := Export(t.Context(), src, tmp+"/"+path, ExportOptions{}); err != nil || r.Counts[outcome] != 3 {
				t.Errorf("%s: %v, %v", path, r.Counts, err)
			}
		}
		if got := contentsOf(t, filepath.Join(tmp, at)); len(got) != 3 {
			t.Errorf("%s: %d files at %s", path, len(got), at)
		}
	}
	for _, path := range []string{"dangling", "dangling/"} {
		if _, err := Export(t.Context(), src, tmp+"/"+path, ExportOptions{}); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := Export(t.Context(), src, filepath.Join(tmp, treePrefix+"0123456789abcdef"), ExportOptions{}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a name that the next export removes: %v", err)
	}
}

// TestExportClosesRoot: a source that fails leaves no descriptor open.
func TestExportClosesRoot(t *testing.T) {
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	src, root, broken := filled(t), t.TempDir(), errors.New("broken")
	before := open()
	for range 5 {
		if _, err := Export(t.Context(), listing{src, nil, broken}, root, ExportOptions{}); !errors.Is(err, broken) {
			t.Fatal(err)
		}
		if _, err := Export(t.Context(), snapshots{src, broken, nil}, root, ExportOptions{}); !errors.Is(err, broken) {
			t.Fatal(err)
		}
	}
	if after := open(); after != before {
		t.Errorf("%d descriptors are open, %d were", after, before)
	}
}
