package boltfile_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	bolt "go.etcd.io/bbolt"

	"podstore/store/boltstore/internal/boltfile"
)

// countingReader counts the bytes that are read.
type countingReader struct {
	io.ReaderAt
	n atomic.Int64
}

func (c *countingReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, off)
	c.n.Add(int64(n))
	return n, err
}

// openBolt opens a database with bbolt, without syncing, which changes nothing
// in the bytes of the file.
func openBolt(t testing.TB, path string, opts bolt.Options) *bolt.DB {
	t.Helper()
	opts.NoSync = true
	db, err := bolt.Open(path, 0o600, &opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func update(t testing.TB, db *bolt.DB, fn func(*bolt.Tx) error) {
	t.Helper()
	if err := db.Update(fn); err != nil {
		t.Fatal(err)
	}
}

// readBolt returns what bbolt itself reads.
func readBolt(t testing.TB, db *bolt.DB) []*boltfile.Bucket {
	t.Helper()
	var out []*boltfile.Bucket
	err := db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error {
			got := &boltfile.Bucket{Name: bytes.Clone(name), Sequence: b.Sequence()}
			out = append(out, got)
			return b.ForEach(func(k, v []byte) error {
				if v != nil {
					got.Values = append(got.Values, pair(k, v))
					return nil
				}
				in := &boltfile.Bucket{Name: bytes.Clone(k)}
				got.Inner = append(got.Inner, in)
				return b.Bucket(k).ForEach(func(k, v []byte) error {
					if v == nil {
						got.Nested++
					} else {
						in.Values = append(in.Values, pair(k, v))
					}
					return nil
				})
			})
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func pair(k, v []byte) boltfile.KeyValue {
	return boltfile.KeyValue{Key: bytes.Clone(k), Value: append([]byte{}, v...)}
}

// differ names the first difference.
func differ(want, got []*boltfile.Bucket) string {
	for i := range min(len(want), len(got)) {
		w, g := want[i], got[i]
		if d := differBucket(w, g); d != "" {
			return fmt.Sprintf("bucket %q: %s", w.Name, d)
		}
	}
	if len(want) != len(got) {
		return fmt.Sprintf("%d buckets, expected %d", len(got), len(want))
	}
	return ""
}

func differBucket(w, g *boltfile.Bucket) string {
	if !bytes.Equal(w.Name, g.Name) || w.Sequence != g.Sequence || w.Nested != g.Nested || len(w.Values) != len(g.Values) {
		return fmt.Sprintf("is %q, sequence %d, %d nested, %d values; expected sequence %d, %d nested, %d values",
			g.Name, g.Sequence, g.Nested, len(g.Values), w.Sequence, w.Nested, len(w.Values))
	}
	if d := differ(w.Inner, g.Inner); d != "" {
		return "inside: " + d
	}
	for i, kv := range w.Values {
		if !bytes.Equal(kv.Key, g.Values[i].Key) || !bytes.Equal(kv.Value, g.Values[i].Value) {
			return fmt.Sprintf("pair %d is %.40q, expected %.40q", i, g.Values[i], kv)
		}
	}
	return ""
}

// collect returns a visit function that keeps all buckets.
func collect(out *[]*boltfile.Bucket) func(*boltfile.Bucket) error {
	return func(b *boltfile.Bucket) error {
		*out = append(*out, b)
		return nil
	}
}

// walkSound walks a file that must be in order, and returns its buckets.
func walkSound(t testing.TB, f *boltfile.File) ([]*boltfile.Bucket, boltfile.Report) {
	t.Helper()
	var got []*boltfile.Bucket
	report, err := f.Walk(collect(&got))
	if err != nil {
		t.Fatal(err)
	}
	for i := range report.Problems {
		t.Errorf("problem in a sound file: %v", &report.Problems[i])
	}
	if t.Failed() {
		t.FailNow()
	}
	return got, report
}

// checkSound checks the file that an open database has written: no problem in
// the newest state nor in the one before, and the contents that bbolt reads.
func checkSound(t testing.TB, db *bolt.DB) boltfile.Report {
	t.Helper()
	r, err := os.Open(db.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		t.Fatal(err)
	}
	f, err := boltfile.Open(r, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	got, report := walkSound(t, f)
	if diff := differ(readBolt(t, db), got); diff != "" {
		t.Fatal("not what bbolt reads: ", diff)
	}
	if report.Stats.Buckets != uint64(len(got)) {
		t.Errorf("counted %d buckets of %d", report.Stats.Buckets, len(got))
	}
	older, problems, err := boltfile.OpenDamaged(r, info.Size(), true)
	if err != nil || len(problems) > 0 {
		t.Fatalf("the older state: %v %v", problems, err)
	}
	walkSound(t, older)
	if f.Meta().TxID != older.Meta().TxID+1 {
		t.Errorf("newest state is of transaction %d, older of %d", f.Meta().TxID, older.Meta().TxID)
	}
	return report
}

// image builds a database and returns the bytes of its file.
func image(t testing.TB, opts bolt.Options, build func(db *bolt.DB)) []byte {
	t.Helper()
	db := openBolt(t, filepath.Join(t.TempDir(), "db"), opts)
	build(db)
	checkSound(t, db)
	path := db.Path()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fill returns n bytes that depend on seed.
func fill(seed, n int) []byte {
	b := make([]byte, n)
	for i := range min(n, 64) {
		b[i] = byte(seed>>(i%8*8)) ^ byte(i*37) | 1 // no zeros, so that it never looks unused
	}
	for i := 64; i < n; i *= 2 {
		copy(b[i:], b[:i])
	}
	return b
}

// putPods makes buckets with a few values each, as a store of Pods has.
func putPods(t testing.TB, db *bolt.DB, from, to, manifest int) {
	t.Helper()
	update(t, db, func(tx *bolt.Tx) error {
		for i := from; i < to; i++ {
			b, err := tx.CreateBucketIfNotExists(fmt.Appendf(nil, "pod-%05d", i))
			if err != nil {
				return err
			}
			if err := b.SetSequence(uint64(i)*1_000_003 + 7); err != nil {
				return err
			}
			for k, n := range map[string]int{"active": 36, "children": 200, "manifest": manifest, "peers": 90} {
				if err := b.Put([]byte(k), fill(i*10+len(k), n)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
