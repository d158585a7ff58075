package boltfile_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"podstore/store/boltstore/internal/boltfile"
)

// TestSound builds files of many shapes with bbolt: none has a problem, and
// the contents are those that bbolt reads.
func TestSound(t *testing.T) {
	sizes := []int{4096, 512, 65536, 1024, 8192, 16384}
	if testing.Short() {
		sizes = sizes[:2]
	}
	for _, ps := range sizes {
		for _, free := range []bolt.FreelistType{bolt.FreelistArrayType, bolt.FreelistMapType} {
			t.Run(fmt.Sprintf("%d/%s", ps, free), func(t *testing.T) {
				t.Parallel()
				soundShapes(t, bolt.Options{PageSize: ps, FreelistType: free})
			})
		}
	}
}

func soundShapes(t *testing.T, opts bolt.Options) {
	t.Run("empty", func(t *testing.T) {
		db := openBolt(t, filepath.Join(t.TempDir(), "db"), opts)
		s := checkSound(t, db).Stats
		if s.HighWater != 4 || s.FreelistPages != 1 || s.LeafPages != 1 || s.PageSize != opts.PageSize {
			t.Errorf("stats of a new file: %+v", s)
		}
	})
	t.Run("one", func(t *testing.T) {
		db := openBolt(t, filepath.Join(t.TempDir(), "db"), opts)
		putPods(t, db, 0, 1, 10)
		checkSound(t, db)
		update(t, db, func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("nothing set")); return err })
		checkSound(t, db)
	})
	t.Run("inline", func(t *testing.T) {
		db := openBolt(t, filepath.Join(t.TempDir(), "db"), opts)
		update(t, db, func(tx *bolt.Tx) error {
			for i := range 50 {
				b, err := tx.CreateBucket(fmt.Appendf(nil, "b%d", i))
				if err == nil {
					err = b.Put([]byte("k"), fill(i, i))
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		if s := checkSound(t, db).Stats; s.Inline != 50 || s.Keys != 50 {
			t.Errorf("expected 50 inline buckets and keys: %+v", s)
		}
	})
	t.Run("many", func(t *testing.T) {
		db := openBolt(t, filepath.Join(t.TempDir(), "db"), opts)
		putPods(t, db, 0, 1000, 300)
		s := checkSound(t, db).Stats
		if s.Keys != 4000 || opts.PageSize <= 4096 && s.BranchPages == 0 {
			t.Errorf("expected 4000 keys under branches: %+v", s)
		}
		update(t, db, func(tx *bolt.Tx) error {
			for i := 0; i < 1000; i += 3 {
				if err := tx.DeleteBucket(fmt.Appendf(nil, "pod-%05d", i)); err != nil {
					return err
				}
			}
			return nil
		})
		checkSound(t, db)
		putPods(t, db, 1000, 1100, 2000)
		checkSound(t, db)
		checkCompact(t, db, opts)
	})
	t.Run("large values", func(t *testing.T) {
		db := openBolt(t, filepath.Join(t.TempDir(), "db"), opts)
		putPods(t, db, 0, 3, 5<<20)
		s := checkSound(t, db).Stats
		if s.OverflowPages < 3*5<<20/uint64(opts.PageSize) {
			t.Errorf("too few overflow pages: %+v", s)
		}
		putPods(t, db, 1, 2, 10)
		checkSound(t, db)
	})
	t.Run("nested", func(t *testing.T) {
		db := openBolt(t, filepath.Join(t.TempDir(), "db"), opts)
		update(t, db, func(tx *bolt.Tx) error {
			b, err := tx.CreateBucket([]byte("top"))
			for i := 0; i < 20 && err == nil; i++ {
				if err = b.Put([]byte("a"), fill(i, 100*i)); err == nil {
					_, err = b.CreateBucket([]byte("empty"))
				}
				if err == nil {
					b, err = b.CreateBucket([]byte("nest"))
				}
			}
			return err
		})
		if s := checkSound(t, db).Stats; s.Nested != 40 || s.Buckets != 1 {
			t.Errorf("expected 40 nested buckets in one: %+v", s)
		}
	})
}

func checkCompact(t *testing.T, src *bolt.DB, opts bolt.Options) {
	t.Helper()
	for _, size := range []int64{0, 50_000} {
		dst := openBolt(t, filepath.Join(t.TempDir(), "compact"), opts)
		if err := bolt.Compact(dst, src, size); err != nil {
			t.Fatal(err)
		}
		checkSound(t, dst)
	}
}

// TestLongFreelist has more free pages than fit the freelist's 16-bit count,
// and walks over the border one page at a time.
func TestLongFreelist(t *testing.T) {
	opts := bolt.Options{PageSize: 512}
	db := openBolt(t, filepath.Join(t.TempDir(), "db"), opts)
	put := func(key string, n int) {
		update(t, db, func(tx *bolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte("b"))
			if err != nil {
				return err
			}
			return b.Put([]byte(key), make([]byte, n))
		})
	}
	put("large", 65_700*512)
	put("large", 1)
	seen := map[bool]int{}
	for i := range 200 {
		s := checkSound(t, db).Stats
		seen[s.FreePages >= 0xFFFF]++
		if s.FreePages+s.FreelistPages < 65_000 {
			t.Fatalf("too few free pages: %+v", s)
		}
		put(fmt.Sprint("k", i), 512*5)
	}
	if seen[false] == 0 || seen[true] == 0 {
		t.Errorf("free pages were never on both sides of 0xFFFF: %v", seen)
	}
}

// TestNoFreelist reads files without a freelist, and the way there and back.
func TestNoFreelist(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	for i := range 6 {
		db := openBolt(t, path, bolt.Options{NoFreelistSync: i%2 == 0})
		putPods(t, db, i*5, i*5+20, 3000)
		s := checkSound(t, db).Stats
		if (s.FreelistPages == 0) != (i%2 == 0) {
			t.Errorf("run %d: %d freelist pages", i, s.FreelistPages)
		}
		if i > 0 && s.FreePages == 0 {
			t.Errorf("run %d: no free page", i)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHistory does random operations and checks the file after each: the
// newest state, the one before it, and the rule on the two metas.
func TestHistory(t *testing.T) {
	seeds := uint64(6)
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			history(t, rand.New(rand.NewPCG(seed, 1)))
		})
	}
}

func history(t *testing.T, r *rand.Rand) {
	opts := bolt.Options{
		PageSize:     1024 << r.IntN(4), // bbolt cannot reopen a new file with 512
		FreelistType: []bolt.FreelistType{bolt.FreelistArrayType, bolt.FreelistMapType}[r.IntN(2)],
	}
	// With readers about the map must not have to grow: that waits for them.
	readers := r.IntN(2) == 0
	if readers {
		opts.InitialMmapSize = 64 << 20
	}
	path := filepath.Join(t.TempDir(), "db")
	db := openBolt(t, path, opts)
	name := func() []byte { return fmt.Appendf(nil, "b%0*d", 1+r.IntN(30), r.IntN(60)) }
	errRollback := errors.New("roll back")
	for range 60 {
		switch r.IntN(12) {
		case 0:
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			db = openBolt(t, path, opts)
		case 1:
			err := db.Update(func(tx *bolt.Tx) error {
				if b, err := tx.CreateBucketIfNotExists(name()); err != nil || b.Put([]byte("x"), fill(1, 9000)) != nil {
					t.Error("cannot write")
				}
				return errRollback
			})
			if !errors.Is(err, errRollback) {
				t.Fatal(err)
			}
		case 2:
			if !readers {
				continue
			}
			// A reader pins the pages of its state.
			tx, err := db.Begin(false)
			if err != nil {
				t.Fatal(err)
			}
			update(t, db, func(tx *bolt.Tx) error { return someOps(r, tx, name, 1, 50) })
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
		default:
			update(t, db, func(tx *bolt.Tx) error {
				return someOps(r, tx, name, 1+r.IntN(10), []int{30, 30, 500, 500, 5000, 60_000}[r.IntN(6)])
			})
		}
		checkSound(t, db)
	}
}

func someOps(r *rand.Rand, tx *bolt.Tx, name func() []byte, n, size int) error {
	for range n {
		bucket := name()
		if r.IntN(4) == 0 {
			if err := tx.DeleteBucket(bucket); err != nil && !errors.Is(err, berrors.ErrBucketNotFound) {
				return err
			}
			continue
		}
		b, err := tx.CreateBucketIfNotExists(bucket)
		if err != nil {
			return err
		}
		b.FillPercent = 0.1 + 0.9*r.Float64()
		for range r.IntN(30) {
			key := fmt.Appendf(nil, "k%0*d", 1+r.IntN(40), r.IntN(50))
			switch {
			case r.IntN(3) == 0:
				err = b.Delete(key)
			case r.IntN(40) == 0:
				_, err = b.CreateBucketIfNotExists([]byte("nested"))
			default:
				err = b.Put(key, fill(r.Int(), r.IntN(size)))
			}
			if err == nil && r.IntN(10) == 0 {
				err = b.SetSequence(r.Uint64())
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// TestHotCopy: bbolt's own copy of a file with an odd newest transaction has
// its metas exchanged. That is refused, since after the next commit it could
// not be told from a lost one; nothing else is wrong with it.
func TestHotCopy(t *testing.T) {
	dir := t.TempDir()
	db := openBolt(t, filepath.Join(dir, "db"), bolt.Options{})
	for i := range 4 {
		putPods(t, db, i, i+3, 2000)
		copied := filepath.Join(dir, fmt.Sprint(i))
		var id int
		if err := db.View(func(tx *bolt.Tx) error { id = tx.ID(); return tx.CopyFile(copied, 0o600) }); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(copied)
		if err != nil {
			t.Fatal(err)
		}
		f, err := openBytes(b)
		if id%2 == 0 {
			if err != nil {
				t.Fatal(err)
			}
		} else {
			wantProblem(t, err, boltfile.NoPage, "exchanged")
			var problems []boltfile.Problem
			if f, problems, err = openDamaged(b); err != nil || len(problems) != 1 {
				t.Fatal(problems, err)
			}
		}
		if got := f.Meta().TxID; got != uint64(id) {
			t.Errorf("transaction %d, expected %d", got, id)
		}
		walkSound(t, f)
	}
}
