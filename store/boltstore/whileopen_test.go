package boltstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
)

// A Pod's pages are damaged after the file was opened and checked. Each call checks
// them again before bbolt follows them.
func TestPagesDamagedWhileOpen(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		pod string
		off int64
		put func(page int64) []byte
	}{
		"branch points to itself":      {"b", 16 + 8, u64},
		"branch out of bounds":         {"b", 16 + 8, func(int64) []byte { return u64(1 << 40) }},
		"branch with another key":      {"b", 16, func(int64) []byte { return u32(40) }},
		"branch with a key far away":   {"b", 16, func(int64) []byte { return u32(1 << 31) }},
		"branch without elements":      {"b", 10, func(int64) []byte { return u16(0) }},
		"leaf that is a freelist":      {"a", 8, func(int64) []byte { return u16(16) }},
		"leaf of too many":             {"a", 10, func(int64) []byte { return u16(60000) }},
		"leaf count lowered":           {"a", 10, func(int64) []byte { return u16(2) }},
		"leaf with overflow":           {"a", 12, func(int64) []byte { return u32(3) }},
		"a value past the end of file": {"a", 16 + 16*5 + 12, func(int64) []byte { return u32(1 << 30) }},
		"a sub-key that is a bucket":   {"a", 16, func(int64) []byte { return u32(1) }},
		"zeroed":                       {"a", 0, func(int64) []byte { return make([]byte, 64) }},
	} {
		t.Run(name, func(t *testing.T) {
			path := bigPods(t)
			page, size := rootPage(t, path, c.pod)
			s := open(t, path, nil)
			if _, err := s.Read(ctx, c.pod); err != nil {
				t.Fatal(err)
			}
			poke(t, path, page*size+c.off, c.put(page))
			if _, err := s.Read(ctx, c.pod); !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("read: %v", err)
			}
			if err := store.Do(ctx, s, c.pod, store.AddPeer{PodName: "new"}); !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("update: %v", err)
			}
			if errs := damagedPods2(s); len(errs) != 1 || !errors.Is(errs[0], store.ErrCorrupt) || !strings.Contains(errs[0].Error(), fmt.Sprintf("%q", c.pod)) {
				t.Errorf("all: %v", errs)
			}
			delErr := store.Do(ctx, s, c.pod, store.Delete{})
			if delErr != nil && !errors.Is(delErr, store.ErrCorrupt) {
				t.Errorf("delete: %v", delErr)
			}
			for _, pod := range remove([]string{"a", "b", "c"}, c.pod) {
				if m, err := store.DoAndRead(ctx, s, pod, store.AddPeer{PodName: "new"}); err != nil || !m.HasPeer("new") {
					t.Errorf("%s cannot be written: %v", pod, err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, path, nil)
			for _, pod := range remove([]string{"a", "b", "c"}, c.pod) {
				if m, err := s.Read(ctx, pod); err != nil || !m.HasPeer("new") {
					t.Errorf("%s afterwards: %v", pod, err)
				}
			}
		})
	}
}

// If an entry in the tree of names is no longer a bucket, its Pod is damaged, not
// missing.
func TestNameDamagedWhileOpen(t *testing.T) {
	ctx := context.Background()
	path := bigPods(t)
	at := layoutOf(t, path).element["b"]
	s := open(t, path, nil)
	poke(t, path, at, make([]byte, 4)) // its flags: not a bucket
	m := sample()
	m.PodName = "b"
	for what, err := range map[string]error{
		"write": store.Write(ctx, s, m), "read": second(s.Read(ctx, "b")),
		"update": store.Do(ctx, s, "b", store.AddPeer{PodName: "x"}), "delete": store.Do(ctx, s, "b", store.Delete{}),
	} {
		if !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), `"b"`) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if errs := damagedPods2(s); len(errs) != 1 || !errors.Is(errs[0], store.ErrCorrupt) {
		t.Errorf("all: %v", errs)
	}
	if names, err := s.List(ctx); err != nil || len(names) != 3 {
		t.Errorf("list: %q %v", names, err)
	}
	for _, pod := range []string{"a", "c"} {
		if err := store.Do(ctx, s, pod, store.AddPeer{PodName: "new"}); err != nil {
			t.Errorf("%s: %v", pod, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	checkSalvage2(t, path, "a", "c")
}

// checkSalvage2 makes sure that salvage saves these Pods.
func checkSalvage2(t *testing.T, path string, whole ...string) {
	t.Helper()
	saved := make(map[string]bool)
	_, err := Salvage(context.Background(), path, filepath.Join(t.TempDir(), "new.db"), nil, func(r Salvaged) { saved[r.Pod] = r.Err == nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range whole {
		if !saved[name] {
			t.Errorf("salvage did not save %q: %v", name, saved)
		}
	}
}

// many makes a store of more Pods than one read transaction of All takes.
func many(t *testing.T) (s *Store, pods int) {
	t.Helper()
	s = openNew(t)
	names := make([]string, listPods+50)
	for i := range names {
		names[i] = fmt.Sprintf("pod-%04d", i)
	}
	_, err := s.UpdatePods(context.Background(), names, func(pods []*store.Metadata) error {
		for i := range pods {
			pods[i] = &store.Metadata{Manifest: []byte(`"` + strings.Repeat("m", pageSize/2) + `"`)}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, len(names)
}

// A listing that cannot go on says why, once, and ends.
func TestListingIsInterrupted(t *testing.T) {
	for what, c := range map[string]struct {
		interrupt func(s *Store, cancel func()) error
		want      error
	}{
		"by its context": {func(_ *Store, cancel func()) error { cancel(); return nil }, context.Canceled},
		"by Close":       {func(s *Store, _ func()) error { return s.Close() }, store.ErrClosed},
	} {
		s, pods := many(t)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		seen := 0
		var errs []error
		for m, err := range s.All(ctx, store.ReadOptions{}) {
			if seen == 0 {
				if err := c.interrupt(s, cancel); err != nil {
					t.Fatal(err)
				}
			}
			if err != nil {
				errs = append(errs, err)
			} else if m != nil {
				seen++
			}
		}
		if len(errs) != 1 || !errors.Is(errs[0], c.want) || seen == 0 || seen == pods {
			t.Errorf("%s: %d of %d Pods, then %v", what, seen, pods, errs)
		}
	}
}

// namesEnd is where the last page of the tree of names ends.
func namesEnd(t *testing.T, s *Store) (end int64) {
	t.Helper()
	err := s.view("test", "", func(tx *bolt.Tx) error {
		m := mapping(tx)
		todo := []uint64{uint64(tx.Cursor().Bucket().Root())}
		for len(todo) > 0 {
			p, err := m.page(todo[0])
			if err != nil {
				return err
			}
			todo = todo[1:]
			end = max(end, int64((p.id+uint64(p.overflow)+1)*m.pageSize))
			if p.flags == branchFlag {
				for _, e := range unsafe.Slice((*branchElement)(unsafe.Add(unsafe.Pointer(p), headerSize)), p.count) {
					todo = append(todo, e.child)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return end
}

// If a file is cut short under a listing, the listing has an error for every lost Pod,
// and the others.
func TestListingOfAFileCutShort(t *testing.T) {
	ctx := context.Background()
	s, pods := many(t)
	info, err := os.Stat(s.path)
	if err != nil {
		t.Fatal(err)
	}
	// The first Pods make room at the beginning, where the tree of names moves with
	// the next changes: it has to be before the cut. How many changes that takes depends
	// on the order in which bbolt writes the pages of a commit, which is random.
	names, err := s.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	const gone = 40
	if _, err := s.UpdatePods(ctx, names[:gone], func(p []*store.Metadata) error { clear(p); return nil }); err != nil {
		t.Fatal(err)
	}
	names, pods = names[gone:], pods-gone
	cut := info.Size() / 2
	for tries := 0; namesEnd(t, s) > cut; tries++ {
		if tries == 100 {
			t.Fatal("the tree of names does not move to the beginning")
		}
		touched := []string{names[0], names[len(names)/2], names[len(names)-1]}
		_, err := s.UpdatePods(ctx, touched, func(p []*store.Metadata) error {
			return errors.Join(count(p[0]), count(p[1]), count(p[2]))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(s.path, cut); err != nil {
		t.Fatal(err)
	}
	if got, err := s.List(ctx); err != nil || len(got) != pods {
		t.Fatalf("the names are before the cut: %d %v", len(got), err)
	}
	whole, damaged := 0, 0
	for m, err := range s.All(ctx, store.ReadOptions{}) {
		switch {
		case err == nil && m != nil:
			whole++
		case errors.Is(err, store.ErrCorrupt):
			damaged++
		default:
			t.Errorf("%v", err)
		}
	}
	if whole == 0 || damaged == 0 || whole+damaged != pods {
		t.Errorf("of %d Pods %d whole, %d damaged", pods, whole, damaged)
	}
	closes(t, s)
}

func TestUpdateOfNoPods(t *testing.T) {
	s := openNew(t)
	_, err := s.UpdatePods(context.Background(), nil, func([]*store.Metadata) error {
		t.Error("the edit ran")
		return nil
	})
	if !errors.Is(err, store.ErrInvalid) {
		t.Errorf("%v", err)
	}
}
