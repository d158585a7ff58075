package boltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"podstore/store"
)

// When the kernel is told to begin.
func TestEarlyWriter(t *testing.T) {
	scattered := func(n int) (pages []int64) {
		for i := range n {
			pages = append(pages, int64(2+2*i))
		}
		return pages
	}
	together := func(n int) (pages []int64) {
		for i := range n {
			pages = append(pages, int64(2+i))
		}
		return pages
	}
	for _, c := range []struct {
		what   string
		pages  []int64
		begins int
	}{
		{"two", scattered(2), 0},
		{"as many as a lone writer has", scattered(4), 1},
		{"13", scattered(13), 4},
		{"40", scattered(40), 3},
		{"100", scattered(100), 6},
		{"side by side", together(100), 0},
		{"side by side, much", together(2*earlyBytes/pageSize + 1), 2},
		{"a meta page between", slices.Concat(scattered(2), []int64{0}, scattered(2), []int64{1}), 0},
	} {
		f, err := os.Create(filepath.Join(t.TempDir(), "pages"))
		if err != nil {
			t.Fatal(err)
		}
		e := &earlyWriter{file: f, metas: 2 * pageSize, pages: func() int64 { return int64(len(c.pages)) }}
		for _, id := range c.pages {
			page := bytes.Repeat([]byte{byte(id)}, pageSize)
			if n, err := e.writeAt(page, id*pageSize); n != len(page) || err != nil {
				t.Fatal(n, err)
			}
			got := make([]byte, pageSize)
			if _, err := f.ReadAt(got, id*pageSize); err != nil || !bytes.Equal(got, page) {
				t.Fatalf("page %d: %v", id, err)
			}
		}
		if e.begins != c.begins {
			t.Errorf("%s: the kernel was told %d times, expected %d", c.what, e.begins, c.begins)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := e.writeAt([]byte("a"), 0); !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	}
}

// This bbolt has the field, and a store's commits go through it. If a new bbolt fails
// this, see whether it begins early by itself.
func TestStoreWritesEarly(t *testing.T) {
	ctx := context.Background()
	s, err := Open(filepath.Join(t.TempDir(), "pods.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.early == nil {
		t.Fatal("bbolt has no field ops.writeAt of the type that is expected")
	}
	pods := func(yield func(*store.Metadata, error) bool) {
		for i := range 100 {
			if !yield(&store.Metadata{PodName: podName(i), Manifest: manifest}, nil) {
				return
			}
		}
	}
	if _, err := store.Copy(ctx, s, pods, store.CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	if s.early.begins != 0 {
		t.Errorf("an import of less than %d bytes told the kernel %d times to begin", earlyBytes, s.early.begins)
	}
	var some []string
	for i := 0; i < 100; i += 5 {
		some = append(some, podName(i))
	}
	for i := range 3 { // by the second the pages that are free are not side by side
		if _, err := s.UpdatePods(ctx, some, func(pods []*store.Metadata) error {
			for _, m := range pods {
				m.Peers = []store.Peer{{PodName: fmt.Sprint("peer-", i)}}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if s.early.begins == 0 {
		t.Error("commits of 20 scattered Pods did not tell the kernel to begin")
	}
}

// A bbolt without the field writes as it would.
func TestWriteEarlyWithoutField(t *testing.T) {
	for _, db := range []any{&struct{}{}, &struct{ ops int }{}, &struct{ ops struct{ writeAt int } }{}, &struct{ ops struct{} }{}} {
		if setWriteAt(db, func([]byte, int64) (int, error) { return 0, nil }) {
			t.Errorf("%T was taken for a bbolt", db)
		}
	}
}

// BenchmarkEarly is commits of some scattered pages, with and without.
func BenchmarkEarly(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "pages"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	const all = 1200
	for range all + 2 { // page by page, as bbolt does
		if _, err := f.Write(make([]byte, pageSize)); err != nil {
			b.Fatal(err)
		}
	}
	for _, pages := range []int{2, 3, 4, 6, 13, 30, 70, 240} {
		e := &earlyWriter{file: f, metas: 2 * pageSize, pages: func() int64 { return int64(pages) }}
		for name, write := range map[string]func([]byte, int64) (int, error){"early": e.writeAt, "late": f.WriteAt} {
			b.Run(fmt.Sprintf("pages=%d/%s", pages, name), func(b *testing.B) {
				page := make([]byte, pageSize)
				for b.Loop() {
					ids := rand.Perm(all)[:pages]
					slices.Sort(ids)
					for _, id := range append(ids, -1) { // the last one is a meta page
						if id < 0 {
							if err := unix.Fdatasync(int(f.Fd())); err != nil {
								b.Fatal(err)
							}
						}
						if _, err := write(page, int64(id+2)*pageSize); err != nil {
							b.Fatal(err)
						}
					}
					if err := unix.Fdatasync(int(f.Fd())); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
