package boltstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"podstore/store"
)

// Snapshots of a store that links and unlinks two Pods without pause never show
// one side alone.
func TestSnapshotsAreOneMoment(t *testing.T) {
	ctx := context.Background()
	s := openNew(t)
	for _, name := range []string{"a", "b"} {
		m := sample()
		m.PodName, m.Peers = name, nil
		m.Manifest = []byte(`"` + strings.Repeat("x", 10000) + `"`)
		if err := store.Write(ctx, s, m); err != nil {
			t.Fatal(err)
		}
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				f := store.LinkPeers
				if i%2 == 1 {
					f = store.UnlinkPeers
				}
				if err := f(ctx, s, "a", "b"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	look := func(m store.MetadataStore) {
		a, errA := m.Read(ctx, "a")
		b, errB := m.Read(ctx, "b")
		if errA != nil || errB != nil || a.HasPeer("b") != b.HasPeer("a") {
			t.Errorf("a link has one side (%v, %v)", errA, errB)
		}
		if err := store.Do(ctx, m, "a", store.Delete{}); !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("delete: %v", err)
		}
	}
	for range 25 {
		snap, c, err := s.Snapshot(ctx)
		if err != nil {
			t.Fatal(err)
		}
		look(snap)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	stop.Store(true)
	wg.Wait()
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(s.path), ".*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestSnapshotOfReadOnlyIsItself(t *testing.T) {
	s := openNew(t)
	path := s.path
	s.Close()
	r := open(t, path, &Options{ReadOnly: true})
	snap, c, err := r.Snapshot(context.Background())
	if err != nil || snap != store.MetadataStore(r) {
		t.Errorf("%v %v", snap, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := r.List(context.Background()); err != nil {
		t.Errorf("closing the snapshot closed the store: %v", err)
	}
}

func TestCompact(t *testing.T) {
	ctx := context.Background()
	s := openNew(t)
	for i := range 300 {
		m := sample()
		m.PodName = fmt.Sprint("pod-", i)
		m.Manifest = []byte(`"` + strings.Repeat("x", 5000) + `"`)
		if err := store.Write(ctx, s, m); err != nil {
			t.Fatal(err)
		}
		if i%10 != 0 {
			if err := store.Do(ctx, s, m.PodName, store.Delete{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.Close()
	dst := s.path + ".compact"
	if err := Compact(ctx, s.path, dst, nil); err != nil {
		t.Fatal(err)
	}
	was, err := Check(ctx, s.path, nil, func(f Finding) { t.Error(f) })
	if err != nil {
		t.Fatal(err)
	}
	is, err := Check(ctx, dst, nil, func(f Finding) { t.Error(f) })
	if err != nil {
		t.Fatal(err)
	}
	if is.Pods != 30 || is.Pods != was.Pods || is.Space.FileSize > was.Space.FileSize {
		t.Errorf("before %+v, after %+v", was, is)
	}
	if err := Compact(ctx, s.path, dst, nil); !errors.Is(err, store.ErrExists) {
		t.Errorf("onto a file that exists: %v", err)
	}
}

func TestBackup(t *testing.T) {
	ctx := context.Background()
	s := openNew(t)
	if err := store.Write(ctx, s, sample()); err != nil {
		t.Fatal(err)
	}
	dst := s.path + ".backup"
	sum, err := s.Backup(ctx, dst)
	if err != nil || sum.Pods != 1 {
		t.Fatalf("%+v %v", sum, err)
	}
	if _, err := s.Backup(ctx, dst); !errors.Is(err, store.ErrExists) {
		t.Errorf("onto a file that exists: %v", err)
	}
	if info, err := os.Stat(dst); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	b := open(t, dst, &Options{FullCheck: true}) // a backup can be written like any other
	if m, err := store.DoAndRead(ctx, b, "agent", store.AddPeer{PodName: "new"}); err != nil || !m.HasPeer("new") {
		t.Errorf("%v %v", m, err)
	}
	path := spoiled(t, flip("b", "peers"))
	d := open(t, path, nil)
	if _, err := d.Backup(ctx, path+".backup"); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), `"b"`) {
		t.Errorf("of a damaged store: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*backup*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
