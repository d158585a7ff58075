package jsonexport

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"podstore/store"
	"podstore/store/memstore"
	"podstore/store/podjson"
)

// withFewDescriptors runs f where this process may open n more files, about.
func withFewDescriptors(t *testing.T, n int, f func()) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	next, err := os.Open(".")
	if err != nil {
		t.Fatal(err)
	}
	few := syscall.Rlimit{Cur: uint64(int(next.Fd()) + n), Max: limit.Max}
	next.Close()
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
	}()
	f()
}

// TestFewDescriptors: with few descriptors each operation works, or says that they are too
// few, and no Pod is at fault for it. The next one with enough of them completes it.
func TestFewDescriptors(t *testing.T) {
	setBatch(t, 2)
	var pods, old []*store.Metadata
	want := map[string]string{}
	for i := range 12 {
		m := benchPod(i)
		pods = append(pods, m)
		before := m.Clone()
		before.Peers = append(before.Peers, store.Peer{PodName: "old"})
		old = append(old, before)
		want[m.PodName+"/"+fileName] = string(podjson.Append(nil, m))
	}
	src := filled(t, pods...)
	for name, run := range map[string]func(ctx context.Context, dir string) error{
		"List": func(ctx context.Context, _ string) error { _, err := src.List(ctx); return err },
		"Read": func(ctx context.Context, _ string) error { _, err := src.Read(ctx, pods[0].PodName); return err },
		"All": func(ctx context.Context, _ string) error {
			n := 0
			for _, err := range src.All(ctx, store.ReadOptions{}) {
				if err != nil {
					return err
				}
				n++
			}
			if n != len(pods) {
				return fmt.Errorf("%d Pods", n)
			}
			return nil
		},
		"Besides": func(ctx context.Context, _ string) error { _, err := src.Besides(ctx); return err },
		"Import": func(ctx context.Context, _ string) error {
			_, err := Import(ctx, memstore.New(), src.RootDir(), ImportOptions{})
			return err
		},
		"Verify": func(ctx context.Context, _ string) error {
			_, err := Verify(ctx, src, src.RootDir(), VerifyOptions{})
			return err
		},
		"Export": func(ctx context.Context, dir string) error {
			_, err := Export(ctx, held(pods), dir, ExportOptions{})
			return err
		},
		"Export to what is there": func(ctx context.Context, dir string) error {
			_, err := Export(ctx, held(pods), filepath.Dir(dir), ExportOptions{})
			return err
		},
		"Export of some, pruning": func(ctx context.Context, dir string) error {
			_, err := Export(ctx, held(pods[:6]), filepath.Join(filepath.Dir(dir), "old"), ExportOptions{Prune: true})
			return err
		},
		"Export of what is equal": func(ctx context.Context, dir string) error {
			_, err := Export(ctx, held(old), filepath.Join(filepath.Dir(dir), "old"), ExportOptions{})
			return err
		},
		"Apply": func(ctx context.Context, dir string) error {
			d, err := OpenDir(filepath.Join(filepath.Dir(dir), "old"), nil)
			for _, op := range []store.Op{store.AddPeer{PodName: "x"}, store.Delete{}, store.AddPeer{PodName: "x"}} {
				if err == nil {
					err = store.Do(ctx, d, pods[0].PodName, op)
				}
			}
			return err
		},
	} {
		told, worked := false, false
		for n := range 12 {
			setSyncAll(t, n%2 == 0)
			dir := filepath.Join(t.TempDir(), "out")
			if _, err := Export(t.Context(), held(old), filepath.Join(filepath.Dir(dir), "old"), ExportOptions{}); err != nil {
				t.Fatal(err)
			}
			var err error
			withFewDescriptors(t, n, func() { err = run(t.Context(), dir) })
			switch {
			case err == nil:
				worked = true
			case errors.Is(err, syscall.EMFILE) && !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, store.ErrInvalid) && !errors.Is(err, store.ErrNotFound):
				told = true
			default:
				t.Errorf("%s with %d more: %v", name, n, err)
			}
			if strings.HasPrefix(name, "Export") {
				if _, err := Export(t.Context(), held(pods), dir, ExportOptions{}); err != nil {
					t.Fatal(err)
				}
				if got := contents(t, dir); !maps.Equal(got, want) {
					t.Errorf("%s with %d more and run again: %d files", name, n, len(got))
				}
			}
		}
		if !told || !worked {
			t.Errorf("%s: refused %v, worked %v", name, told, worked)
		}
	}
}

// asked is a context that has ended once it was asked left times.
type asked struct {
	context.Context
	left *atomic.Int64
}

func (c asked) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// TestEndedAnywhere: wherever an operation learns that its context has ended, it says so,
// and the next one completes it.
func TestEndedAnywhere(t *testing.T) {
	setBatch(t, 2)
	pods := many(7)
	src := filled(t, pods...)
	dir := t.TempDir()
	for name, run := range map[string]func(ctx context.Context) error{
		"Besides": func(ctx context.Context) error { _, err := src.Besides(ctx); return err },
		"All": func(ctx context.Context) error {
			for _, err := range src.All(ctx, store.ReadOptions{}) {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"Import": func(ctx context.Context) error {
			_, err := Import(ctx, memstore.New(), src.RootDir(), ImportOptions{})
			return err
		},
		"Verify": func(ctx context.Context) error {
			_, err := Verify(ctx, src, src.RootDir(), VerifyOptions{})
			return err
		},
		"Export": func(ctx context.Context) error {
			_, err := Export(ctx, held(pods), filepath.Join(dir, "out"), ExportOptions{Prune: true})
			return err
		},
		"Export of less": func(ctx context.Context) error {
			if _, err := Export(t.Context(), held(pods), filepath.Join(dir, "less"), ExportOptions{}); err != nil {
				t.Fatal(err)
			}
			_, err := Export(ctx, held(pods[:3]), filepath.Join(dir, "less"), ExportOptions{Prune: true})
			return err
		},
	} {
		n := 0
		for ; n < 1000; n++ {
			ctx := asked{t.Context(), new(atomic.Int64)}
			ctx.left.Store(int64(n))
			err := run(ctx)
			if err == nil {
				break
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s, asked %d times: %v", name, n, err)
			}
		}
		if n == 0 || n == 1000 {
			t.Errorf("%s: asked %d times", name, n)
		}
	}
	for path, n := range map[string]int{"out": 7, "less": 3} {
		if got := len(contents(t, filepath.Join(dir, path))); got != n {
			t.Errorf("%s has %d files", path, got)
		}
	}
}

// TestTempsThatCannotGo: what has the name of a temporary file and cannot be removed is an
// error of every change, and stays.
func TestTempsThatCannotGo(t *testing.T) {
	d := filled(t, &store.Metadata{PodName: "a"})
	put(t, filepath.Join(d.RootDir(), "a", tempPrefix+"0123", "notes"), "mine")
	for what, err := range map[string]error{
		"write":  store.Write(t.Context(), d, &store.Metadata{PodName: "a", Peers: []store.Peer{{PodName: "b"}}}),
		"delete": store.Do(t.Context(), d, "a", store.Delete{}),
		"update": func() error {
			_, err := d.Update(t.Context(), "a", func(m *store.Metadata) error { return m.AddPeer("b") })
			return err
		}(),
	} {
		if !errors.Is(err, syscall.EISDIR) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := os.Stat(filepath.Join(d.RootDir(), "a", tempPrefix+"0123", "notes")); err != nil {
		t.Error(err)
	}
}

// TestWithoutSyncOfAll: a file system whose sync of everything cannot be relied on gets
// each file synced, in a new directory too.
func TestWithoutSyncOfAll(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "ramfs", 0, ""); err != nil {
		t.Skipf("NOT TESTED: mount: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, 0) })
	setSyncAll(t, true)
	root := filepath.Join(dir, "out")
	r, err := Export(t.Context(), held(many(5)), root, ExportOptions{})
	if err != nil || r.Counts[Exported] != 5 || len(contents(t, root)) != 5 {
		t.Errorf("%v, %v", r.Counts, err)
	}
}

// TestTooLittleMemory: a file that does not fit into memory is not the Pod's fault, and is
// not tried.
func TestTooLittleMemory(t *testing.T) {
	d := filled(t, &store.Metadata{PodName: "a"})
	file := filepath.Join(d.RootDir(), "a", fileName)
	if err := os.Truncate(file, 1<<40); err != nil {
		t.Skipf("NOT TESTED: %v", err)
	}
	d, err := OpenDir(d.RootDir(), &DirOptions{MaxFileSize: 1 << 41})
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Read(t.Context(), "a")
	if !errors.Is(err, syscall.ENOMEM) || errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "not enough memory for its 1099511627776 bytes") {
		t.Errorf("Read: %v", err)
	}
}

// TestExportForAnotherUser: what root exports into a user's directory is that user's,
// whichever way it is written.
func TestExportForAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: needs root, to give files away")
	}
	for _, syncAll := range []bool{true, false} {
		setSyncAll(t, syncAll)
		root := newTarget(t)
		if err := os.Chown(filepath.Dir(root), 65534, 65533); err != nil {
			t.Fatal(err)
		}
		if _, err := Export(t.Context(), held(many(3)), root, ExportOptions{}); err != nil {
			t.Fatal(err)
		}
		paths := slices.Collect(maps.Keys(contents(t, root)))
		for _, path := range append(paths, ".", filepath.Dir(paths[0])) {
			info, err := os.Lstat(filepath.Join(root, path))
			if err != nil {
				t.Fatal(err)
			}
			if st := info.Sys().(*syscall.Stat_t); st.Uid != 65534 || st.Gid != 65533 || info.Mode().Perm()&0o077 != 0 {
				t.Errorf("all in one %v: %s is of user %d, group %d, mode %v", syncAll, path, st.Uid, st.Gid, info.Mode())
			}
		}
	}
}
