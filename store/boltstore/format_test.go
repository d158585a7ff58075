package boltstore

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
	"podstore/store/internal/codec"
)

var update = flag.Bool("update", false, "write testdata anew: only before the format is released")

// dump renders every bucket and key of a database.
func dump(t *testing.T, path string) string {
	t.Helper()
	db, err := bolt.Open(path, 0, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var b strings.Builder
	fmt.Fprintf(&b, "page size %d\n", db.Info().PageSize)
	err = db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, bucket *bolt.Bucket) error {
			fmt.Fprintf(&b, "%q sequence %016x\n", name, bucket.Sequence())
			return bucket.ForEach(func(k, v []byte) error {
				if v != nil {
					fmt.Fprintf(&b, "  %q = %x %q\n", k, v[:4], v[4:])
					return nil
				}
				fmt.Fprintf(&b, "  %q bucket\n", k)
				return bucket.Bucket(k).ForEach(func(k, v []byte) error {
					fmt.Fprintf(&b, "    %x = %x %q\n", k, v[:4], v[4:])
					return nil
				})
			})
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The drawing in format.go, held against a real file: a change of this dump is a
// change of the format.
func TestFormatIsAsDrawn(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "pods.db")
	s := open(t, path, nil)
	at := time.UnixMilli(1_700_000_000_000)
	bare := func(name string) *store.Metadata { return &store.Metadata{PodName: name} }
	breaks, long := bare("line\nbreak"), bare("long")
	breaks.Active = store.PendingSegment(sample().Active.SessionID)
	for i := range inlineHistory + 2 {
		long.Reclaimed = append(long.Reclaimed, store.ReclaimedChild{PodName: fmt.Sprint(i)})
	}
	for i, m := range []*store.Metadata{sample(), bare("empty"), breaks, long, bare("gone")} {
		id := store.RequestID{byte(i)} // none for the first
		change := store.Change{Pod: m.PodName, Op: store.Put{Metadata: m, Created: at, Changed: at}}
		if _, err := s.Apply(ctx, []store.Change{change}, &store.ApplyOptions{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	del := store.Change{Pod: "gone", Op: store.Delete{}}
	if _, err := s.Apply(ctx, []store.Change{del}, &store.ApplyOptions{ID: store.RequestID{9}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "format-2.dump")
	got := dump(t, path)
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the file is\n%s\nexpected\n%s", got, want)
	}
}

// tamper changes a database behind the store's back.
func tamper(t *testing.T, path string, f func(tx *bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(path, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(f), db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestRefusesOtherFormats(t *testing.T) {
	for name, c := range map[string]struct {
		change func(tx *bolt.Tx) error
		want   error
	}{
		"a newer version": {func(tx *bolt.Tx) error {
			return tx.Bucket([]byte(bookkeeping)).Put([]byte(keyFormat), sealBook(keyFormat, codec.NewEncoder().Uint(formatVersion+1)))
		}, store.ErrFormat},
		"not ours": {func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte(bookkeeping)) }, store.ErrFormat},
		"a damaged version": {func(tx *bolt.Tx) error {
			return tx.Bucket([]byte(bookkeeping)).Put([]byte(keyFormat), []byte("\x00\x00\x00\x00\x01"))
		}, store.ErrCorrupt},
		"a version that is no number": {func(tx *bolt.Tx) error {
			return tx.Bucket([]byte(bookkeeping)).Put([]byte(keyFormat), sealBook(keyFormat, []byte{0xa1, 'x'}))
		}, store.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "pods.db")
			open(t, path, nil).Close()
			tamper(t, path, c.change)
			before, _ := os.ReadFile(path)
			for _, opts := range []*Options{nil, {ReadOnly: true}} {
				if _, err := Open(path, opts); !errors.Is(err, c.want) {
					t.Errorf("%v, expected %v", err, c.want)
				}
			}
			if after, _ := os.ReadFile(path); string(before) != string(after) {
				t.Error("the file was changed")
			}
		})
	}
}
