package boltfile_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"podstore/store/boltstore/internal/boltfile"
)

// fuzzSamples are small sound files to be damaged.
func fuzzSamples(t testing.TB) []*sample {
	free := func(db *bolt.DB) {
		update(t, db, func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte("pod-00003")) })
	}
	return []*sample{
		newSample(t, bolt.Options{PageSize: 1024}, func(db *bolt.DB) { putPods(t, db, 0, 6, 200) }),
		newSample(t, bolt.Options{PageSize: 1024}, func(db *bolt.DB) { putPods(t, db, 0, 30, 5); free(db) }),
		newSample(t, bolt.Options{PageSize: 512}, func(db *bolt.DB) { putPods(t, db, 0, 8, 3000); free(db) }),
		newSample(t, bolt.Options{PageSize: 4096}, func(db *bolt.DB) { putPods(t, db, 0, 4, 9000); free(db) }),
		newSample(t, bolt.Options{PageSize: 1024, NoFreelistSync: true}, func(db *bolt.DB) {
			putPods(t, db, 0, 4, 100)
			update(t, db, func(tx *bolt.Tx) error {
				b, err := tx.Bucket([]byte("pod-00001")).CreateBucket([]byte("nested"))
				for i := 0; err == nil && i < 60; i++ {
					err = b.Put(fmt.Append(nil, "key", i), fill(i, 40))
				}
				return err
			})
			free(db)
		}),
	}
}

// FuzzWalk damages a sound file: each four bytes of edits are a place (24 bits)
// and what is added there to a byte. Nothing may panic, the work is bounded,
// and a file without a problem must be one that bbolt can read and finds
// consistent too.
func FuzzWalk(f *testing.F) {
	samples := fuzzSamples(f)
	for i, s := range samples {
		f.Add(uint8(i), false, []byte{})
		for _, pl := range s.places {
			off := int(pl.page) * s.ps
			for _, field := range []int{0, 8, 10, 12, 16, 20, 24, 28} {
				at := off + field
				f.Add(uint8(i), false, []byte{byte(at >> 16), byte(at >> 8), byte(at), 1})
			}
		}
		for _, field := range []int{8, 16, 32, 40, 48} {
			at := int(s.meta.PageID)*s.ps + 16 + field
			f.Add(uint8(i), true, []byte{byte(at >> 16), byte(at >> 8), byte(at), 1})
		}
	}
	path := filepath.Join(f.TempDir(), "db")
	f.Fuzz(func(t *testing.T, which uint8, fixMetas bool, edits []byte) {
		s := samples[int(which)%len(samples)]
		img := bytes.Clone(s.img)
		for ; len(edits) >= 4; edits = edits[4:] {
			img[(int(edits[0])<<16|int(edits[1])<<8|int(edits[2]))%len(img)] += edits[3]
		}
		if fixMetas {
			setMeta(img, s.ps, 0, func([]byte) {})
			setMeta(img, s.ps, 1, func([]byte) {})
		}
		_, found := salvage(t, img)
		_, err := openBytes(img)
		if err != nil && len(found) == 0 {
			t.Fatalf("Open fails (%v) where OpenDamaged finds nothing", err)
		}
		if len(found) == 0 {
			readableByBolt(t, path, img)
		}
	})
}

// FuzzOpen reads any bytes, beginning with files of four small pages.
func FuzzOpen(f *testing.F) {
	f.Add(inlineSample(leafPageBytes(0, 0, leafElement{0, []byte("k"), []byte("v")})))
	f.Add(hostile(4, map[int][]byte{
		2: branchPageBytes(2, 3),
		3: leafPageBytes(3, 0, leafElement{1, []byte("k"), bucketAt(2)}),
	}))
	f.Fuzz(func(t *testing.T, img []byte) {
		salvage(t, img)
	})
}

// readableByBolt checks that bbolt agrees that there is nothing wrong.
func readableByBolt(t *testing.T, path string, img []byte) {
	if err := os.WriteFile(path, img, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	f, err := openBytes(img)
	if err != nil {
		t.Fatal(err)
	}
	var got []*boltfile.Bucket
	if _, err := f.Walk(collect(&got)); err != nil {
		t.Fatal(err)
	}
	if d := differ(readBolt(t, db), got); d != "" {
		t.Fatalf("not what bbolt reads: %s", d)
	}
	if err := db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			t.Errorf("bbolt's check: %v", err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
