package boltstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"podstore/store"
)

// This bbolt has the field, and a commit of many pages goes through it. If a new
// bbolt fails this, see whether it begins writing early by itself.
func TestWriteEarly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{OpenFile: func(string, int, os.FileMode) (*os.File, error) { return f, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	e := writeEarly(db, f)
	if e == nil {
		t.Fatal("bbolt has no field ops.writeAt of the type that is expected")
	}
	put := func(n int) {
		err := db.Update(func(tx *bolt.Tx) error {
			for i := range n {
				b, err := tx.CreateBucketIfNotExists(fmt.Append(nil, i))
				if err != nil {
					return err
				}
				if err := b.Put([]byte("k"), make([]byte, 3000)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	put(1)
	if e.begins != 0 {
		t.Errorf("a small commit told the kernel %d times to begin", e.begins)
	}
	put(100) // 400 KB and more
	if e.begins < 10 {
		t.Errorf("a large commit told the kernel %d times to begin", e.begins)
	}
}

// An error of writing is the one that bbolt would have had.
func TestWriteEarlyError(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	e := &earlyWriter{file: f, waits: earlyBytes}
	if _, err := e.writeAt([]byte("a"), 0); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}

// A store writes early.
func TestStoreWritesEarly(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "pods.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	pods := func(yield func(*store.Metadata, error) bool) {
		for i := range 100 {
			if !yield(&store.Metadata{PodName: podName(i), Manifest: manifest}, nil) {
				return
			}
		}
	}
	if _, err := store.Copy(context.Background(), s, pods, store.CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	if s.early == nil || s.early.begins == 0 {
		t.Errorf("%+v", s.early)
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
	e := &earlyWriter{file: f, metas: 2 * pageSize}
	for _, pages := range []int{4, 6, 16, 70, 240} {
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
