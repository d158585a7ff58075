package boltstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"podstore/store"
	"podstore/store/boltstore"
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

// TestFewDescriptorsAndEndedContexts: each operation on files works, or says that there
// are too few descriptors, that its context has ended, or that the disk is full, wherever
// it learns that. It calls no file damaged, leaves nothing, and the next one completes.
func TestFewDescriptorsAndEndedContexts(t *testing.T) {
	base := filepath.Join(t.TempDir(), "pods.db")
	s, err := boltstore.Open(base, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if err := store.Do(t.Context(), s, fmt.Sprint("pod-", i), store.AddPeer{PodName: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open := func(path string, opts *boltstore.Options, f func(*boltstore.Store) error) error {
		s, err := boltstore.Open(path, opts)
		if err != nil {
			return err
		}
		return errors.Join(f(s), s.Close())
	}
	readOnly := &boltstore.Options{ReadOnly: true}
	operations := map[string]func(ctx context.Context, dst string) error{
		"create": func(ctx context.Context, dst string) error {
			return open(dst, nil, func(s *boltstore.Store) error { return store.Do(ctx, s, "a", store.AddPeer{PodName: "x"}) })
		},
		"check": func(ctx context.Context, _ string) error {
			_, err := boltstore.Check(ctx, base, nil, func(boltstore.Finding) {})
			return err
		},
		"salvage": func(ctx context.Context, dst string) error {
			_, err := boltstore.Salvage(ctx, base, dst, nil, func(boltstore.Salvaged) {})
			return err
		},
		"compact": func(ctx context.Context, dst string) error { return boltstore.Compact(ctx, base, dst, nil) },
		"backup": func(ctx context.Context, dst string) error {
			return open(base, readOnly, func(s *boltstore.Store) error { _, err := s.Backup(ctx, dst); return err })
		},
		"snapshot": func(ctx context.Context, _ string) error {
			return open(base, nil, func(s *boltstore.Store) error {
				_, closer, err := s.Snapshot(ctx)
				if err == nil {
					err = closer.Close()
				}
				return err
			})
		},
		"copy": func(ctx context.Context, _ string) error {
			return open(base, readOnly, func(s *boltstore.Store) error { _, err := s.WriteTo(io.Discard); return err })
		},
		"read": func(ctx context.Context, _ string) error {
			return open(base, &boltstore.Options{ReadOnly: true, FullCheck: true}, func(s *boltstore.Store) error {
				for _, err := range s.All(ctx, store.ReadOptions{}) {
					if err != nil {
						return err
					}
				}
				_, err := s.List(ctx)
				return err
			})
		},
	}
	for name, run := range operations {
		for what, fails := range map[string]struct {
			want error
			run  func(n int, dst string) error
		}{
			"descriptors": {syscall.EMFILE, func(n int, dst string) (err error) {
				withFewDescriptors(t, n, func() { err = run(t.Context(), dst) })
				return err
			}},
			"the context": {context.Canceled, func(n int, dst string) error {
				ctx := asked{t.Context(), new(atomic.Int64)}
				ctx.left.Store(int64(n))
				return run(ctx, dst)
			}},
		} {
			dir := t.TempDir()
			dst := filepath.Join(dir, "made", "pods.db")
			if name != "create" {
				if err := os.Mkdir(filepath.Dir(dst), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			for n := 0; ; n++ {
				err := fails.run(n, dst)
				if err == nil {
					break
				}
				if !errors.Is(err, fails.want) || errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrFormat) || errors.Is(err, store.ErrNotFound) || n > 1000 {
					t.Fatalf("%s with %d of %s: %v", name, n, what, err)
				}
				if left, _ := filepath.Glob(filepath.Join(dir, "made", "*")); len(left) > 0 && name != "create" {
					t.Errorf("%s with %d of %s leaves %q", name, n, what, left)
				}
			}
		}
	}
	for _, name := range []string{"create", "salvage", "compact", "backup"} {
		dir := t.TempDir()
		for n := 1; ; n++ {
			if err := syscall.Mount("none", dir, "tmpfs", 0, fmt.Sprintf("size=%dk", 8*n)); err != nil {
				t.Skipf("NOT TESTED: mount: %v", err)
			}
			err := operations[name](t.Context(), filepath.Join(dir, "pods.db"))
			left, _ := filepath.Glob(filepath.Join(dir, "*"))
			if err := syscall.Unmount(dir, 0); err != nil {
				t.Fatal(err)
			}
			if err == nil {
				break
			}
			if !errors.Is(err, store.ErrNoSpace) || errors.Is(err, store.ErrCorrupt) || n > 100 {
				t.Fatalf("%s on %d KiB: %v", name, 8*n, err)
			}
			if len(left) > 0 && name != "create" {
				t.Errorf("%s on %d KiB leaves %q", name, 8*n, left)
			}
		}
	}
	if _, err := boltstore.Check(t.Context(), base, nil, func(f boltstore.Finding) { t.Error(f) }); err != nil {
		t.Error(err)
	}
}
