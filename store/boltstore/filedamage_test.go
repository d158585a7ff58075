package boltstore

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
	"podstore/store/internal/codec"
)

// layout has the places of things in a closed file, as bbolt sees it.
type layout struct {
	pageSize int64
	root     int64            // page of the tree of names, a leaf
	freelist int64            // page
	inline   map[string]int64 // where the page of a bucket in place begins
	element  map[string]int64 // where a bucket's element in the root begins
}

func layoutOf(t *testing.T, path string) layout {
	t.Helper()
	db, err := bolt.Open(path, 0, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	l := layout{pageSize: int64(db.Info().PageSize), inline: make(map[string]int64), element: make(map[string]int64)}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	err = db.View(func(tx *bolt.Tx) error {
		l.root = int64(tx.Cursor().Bucket().Root())
		at := l.root*l.pageSize + 16
		return tx.ForEach(func(name []byte, bucket *bolt.Bucket) error {
			l.element[string(name)] = at
			if bucket.Root() == 0 {
				// Position and length of the key; the bucket's header follows it.
				pos, ksize := binary.LittleEndian.Uint32(b[at+4:]), binary.LittleEndian.Uint32(b[at+8:])
				l.inline[string(name)] = at + int64(pos+ksize) + 16
			}
			at += 16
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	// The newer of the two metas says where the freelist is.
	newest := uint64(0)
	for i := range int64(2) {
		meta := b[i*l.pageSize+16:]
		if txid := binary.LittleEndian.Uint64(meta[48:]); txid >= newest {
			newest, l.freelist = txid, int64(binary.LittleEndian.Uint64(meta[32:]))
		}
	}
	return l
}

func findings(t *testing.T, path string) (Summary, []Finding) {
	t.Helper()
	var all []Finding
	sum, err := Check(context.Background(), path, &Options{LockTimeout: 1}, func(f Finding) { all = append(all, f) })
	if err != nil {
		t.Fatal(err)
	}
	return sum, all
}

// If a Pod inside the tree of names is damaged, only that Pod is lost. If the
// bookkeeping is damaged there, the file is refused. bbolt enters neither.
func TestDamagedInPlace(t *testing.T) {
	ctx := context.Background()
	spoil := func(bucket string) string {
		path := spoiled(t, nothing)
		at, ok := layoutOf(t, path).inline[bucket]
		if !ok {
			t.Fatalf("%q is not in place", bucket)
		}
		poke(t, path, at+10, []byte{0xff, 0x7f}) // its number of elements
		return path
	}
	path := spoil("b")
	if sum, all := findings(t, path); sum.Damaged != 1 || len(all) != 1 || all[0].Pod != "b" {
		t.Errorf("check: %+v %v", sum, all)
	}
	checkSalvage(t, path, []string{"a", "c"})
	s := open(t, path, nil)
	if _, err := s.Read(ctx, "b"); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("read: %v", err)
	}
	if errs := damagedPods2(s); len(errs) != 1 || !strings.Contains(errs[0].Error(), `"b"`) {
		t.Errorf("all: %v", errs)
	}
	if err := store.Do(ctx, s, "b", store.Delete{}); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "salvage") {
		t.Errorf("delete: %v", err)
	}
	for _, pod := range []string{"a", "c"} {
		if m, err := store.DoAndRead(ctx, s, pod, store.AddPeer{PodName: "new"}); err != nil || !m.HasPeer("new") {
			t.Errorf("%s cannot be written: %v", pod, err)
		}
	}

	path = spoil(bookkeeping)
	for _, o := range []*Options{nil, {ReadOnly: true}} {
		if _, err := Open(path, o); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "salvage") {
			t.Errorf("without bookkeeping: %v", err)
		}
	}
	checkSalvage(t, path, []string{"a", "b", "c"})
}

// A lost meta page may have been the newest. The file is refused, and what salvage
// finds may be old.
func TestMetaLost(t *testing.T) {
	for page := range int64(2) {
		path := spoiled(t, nothing)
		poke(t, path, page*pageSize, make([]byte, pageSize))
		if _, err := Open(path, nil); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("meta %d: %v", page, err)
		}
		if _, all := findings(t, path); len(all) == 0 || all[0].Pod != "" || !strings.Contains(all[0].Advice, "salvage") {
			t.Errorf("meta %d: %+v", page, all)
		}
		if sum := checkSalvage(t, path, nil); sum.Saved != 0 || sum.Older == 0 {
			t.Errorf("meta %d: it is not known which state this is, and salvage says %+v", page, sum)
		}
	}
	path := spoiled(t, nothing)
	poke(t, path, 0, make([]byte, 2*pageSize))
	dst := filepath.Join(t.TempDir(), "new.db")
	_, checkErr := Check(context.Background(), path, nil, func(f Finding) { t.Errorf("%+v", f) })
	_, salvageErr := Salvage(context.Background(), path, dst, nil, func(s Salvaged) { t.Errorf("%+v", s) })
	for _, err := range []error{checkErr, salvageErr, second(Open(path, nil))} {
		named(t, err, store.ErrFormat, path)
	}
}

// If the freelist has a page that a Pod uses, any commit would overwrite it. The file
// is not opened for writing, but for reading.
func TestPageInUseIsFree(t *testing.T) {
	ctx := context.Background()
	path := bigPods(t)
	page, _ := rootPage(t, path, "a")
	at := layoutOf(t, path).freelist * pageSize
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var free []int64
	for i := range int(binary.LittleEndian.Uint16(b[at+10:])) {
		free = append(free, int64(binary.LittleEndian.Uint64(b[int(at)+16+8*i:])))
	}
	if len(free) == 0 || slices.Contains(free, page) {
		t.Fatalf("free are %d, and a is on %d", free, page)
	}
	free[len(free)/2] = page
	slices.Sort(free)
	var list []byte
	for _, id := range free {
		list = binary.LittleEndian.AppendUint64(list, uint64(id))
	}
	poke(t, path, at+16, list)

	if _, err := Open(path, nil); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), `"a" is also free`) {
		t.Errorf("to write: %v", err)
	}
	if _, all := findings(t, path); len(all) == 0 {
		t.Error("check finds nothing")
	}
	s := open(t, path, &Options{ReadOnly: true})
	for _, pod := range []string{"a", "b", "c"} {
		if _, err := s.Read(ctx, pod); err != nil {
			t.Error(err)
		}
	}
	if _, err := Open(path, &Options{ReadOnly: true, FullCheck: true}); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("the full check: %v", err)
	}
}

// Everything that looks at all names notices names that differ from their record. If
// the record itself is damaged, nothing can be created or deleted, but existing Pods
// can be read and changed.
func TestNamesAndTheirRecord(t *testing.T) {
	ctx := context.Background()
	bucket := func(name string) func(tx *bolt.Tx) error {
		return func(tx *bolt.Tx) error {
			_, err := tx.CreateBucket([]byte(name))
			return err
		}
	}
	record := func(value []byte) func(tx *bolt.Tx) error {
		return func(tx *bolt.Tx) error { return tx.Bucket([]byte(bookkeeping)).Put([]byte(keyNames), value) }
	}
	for what, c := range map[string]struct {
		spoil   func(tx *bolt.Tx) error
		says    string
		listed  int
		creates bool
	}{
		"one for another": {func(tx *bolt.Tx) error {
			return errors.Join(tx.DeleteBucket([]byte("b")), bucket("d")(tx))
		}, "not those that were recorded", 3, true},
		"one more":               {bucket("d"), "4 Pods and 3", 4, true},
		"a name that is none":    {bucket("x/y"), "name", 3, true},
		"no record":              {func(tx *bolt.Tx) error { return tx.Bucket([]byte(bookkeeping)).Delete([]byte(keyNames)) }, "record of Pod names is damaged", 3, false},
		"a record with one bit":  {record(append([]byte{1}, sealBook(keyNames, codec.NewEncoder().Uints(3, 1))[1:]...)), "record of Pod names is damaged", 3, false},
		"a record of one number": {record(sealBook(keyNames, codec.NewEncoder().Uints(3))), "record of Pod names", 3, false},
	} {
		t.Run(what, func(t *testing.T) {
			path := spoiled(t, c.spoil)
			_, all := findings(t, path)
			if !slices.ContainsFunc(all, func(f Finding) bool { return f.Pod == "" && strings.Contains(f.Reason, c.says) }) {
				t.Errorf("check does not say %q: %+v", c.says, all)
			}
			s := open(t, path, nil)
			names, err := s.List(ctx)
			if !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), c.says) || len(names) != c.listed {
				t.Errorf("list: %q %v", names, err)
			}
			if err := store.Do(ctx, s, "a", store.AddPeer{PodName: "new"}); err != nil {
				t.Errorf("a Pod that is there: %v", err)
			}
			var got []error
			for _, err := range []error{
				store.Write(ctx, s, &store.Metadata{PodName: "new"}),
				second(s.UpdatePods(ctx, []string{"newer"}, func(p []*store.Metadata) error { p[0] = &store.Metadata{}; return nil })),
				store.Do(ctx, s, "c", store.Delete{}),
			} {
				if (err == nil) != c.creates || err != nil && !errors.Is(err, store.ErrCorrupt) {
					got = append(got, err)
				}
			}
			if len(got) > 0 {
				t.Errorf("creating and deleting: %v", got)
			}
			if m, err := s.Read(ctx, "a"); err != nil || !m.HasPeer("new") {
				t.Errorf("read: %v", err)
			}
		})
	}
}

// A value with a right checksum that no version writes is damage.
func TestValueOfTheWrongShape(t *testing.T) {
	ctx := context.Background()
	path := spoiled(t, func(tx *bolt.Tx) error {
		b, sum := tx.Bucket([]byte("b")), codec.NameSum([]byte("b"))
		if err := b.Put([]byte("peers"), codec.Seal(sum, codec.Peers, []byte{0x91, 0xc0})); err != nil {
			return err
		}
		var values [codec.NumSubKeys][]byte
		for i, k := range codec.SubKeys {
			values[i] = b.Get([]byte(k))
		}
		return b.SetSequence(digest(sum, &values))
	})
	if sum, all := findings(t, path); sum.Damaged != 1 || len(all) != 1 || !strings.Contains(all[0].Reason, `"peers"`) {
		t.Errorf("check: %+v %v", sum, all)
	}
	s := open(t, path, nil)
	if _, err := s.Read(ctx, "b"); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), `"peers"`) {
		t.Errorf("read: %v", err)
	}
	m := sample()
	m.PodName = "b"
	if err := store.Write(ctx, s, m); err != nil {
		t.Error(err)
	}
	checks(t, s)
}

// Check finds no faults in a file of a newer version, and Salvage refuses it, whatever
// its Pods look like.
func TestNewerVersionIsLeftAlone(t *testing.T) {
	path := spoiled(t, func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket([]byte("!before the bookkeeping"))
		return errors.Join(err, b.SetSequence(1), tx.Bucket([]byte("a")).SetSequence(1),
			tx.Bucket([]byte(bookkeeping)).Put([]byte(keyFormat), sealBook(keyFormat, codec.NewEncoder().Uint(formatVersion+1))))
	})
	dst := filepath.Join(t.TempDir(), "new.db")
	_, checkErr := Check(context.Background(), path, nil, func(f Finding) { t.Errorf("%+v", f) })
	_, salvageErr := Salvage(context.Background(), path, dst, nil, func(Salvaged) {})
	for _, err := range []error{checkErr, salvageErr} {
		named(t, err, store.ErrFormat, path)
	}
	if _, err := os.Lstat(dst); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("salvage made a file: %v", err)
	}
}

// Functions that read a whole file end with their context and leave nothing behind.
func TestWholeFileEndsWithTheContext(t *testing.T) {
	path := spoiled(t, nothing)
	dst := filepath.Join(t.TempDir(), "new.db")
	for what, f := range map[string]func(context.Context) error{
		"check":   func(ctx context.Context) error { return second(Check(ctx, path, nil, func(Finding) {})) },
		"salvage": func(ctx context.Context) error { return second(Salvage(ctx, path, dst, nil, func(Salvaged) {})) },
		"compact": func(ctx context.Context) error { return Compact(ctx, path, dst, nil) },
	} {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := f(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", what, err)
		}
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(dst), ".*")); len(left) > 0 {
			t.Errorf("%s left %q", what, left)
		}
		if _, err := os.Lstat(dst); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s made a file: %v", what, err)
		}
	}
}

// A path where nothing stands, or a directory, is an error of each function, which
// names the path.
func TestWholeFileOfNothing(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]error{filepath.Join(dir, "none.db"): store.ErrNotFound, dir: store.ErrInvalid} {
		_, checkErr := Check(context.Background(), path, nil, func(Finding) {})
		_, salvageErr := Salvage(context.Background(), path, filepath.Join(dir, "new.db"), nil, func(Salvaged) {})
		compactErr := Compact(context.Background(), path, filepath.Join(dir, "new.db"), nil)
		for _, err := range []error{checkErr, salvageErr, compactErr} {
			named(t, err, want, path)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("made: %q", left)
	}
}

// A value beyond the limit is refused before anything is written, also in place of a
// damaged Pod.
func TestTooLargeAsStored(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some hundred MiB")
	}
	ctx := context.Background()
	s := open(t, spoiled(t, flip("b", "peers")), nil)
	large := []store.ReclaimedChild{{PodName: "x", ScopeDelegated: []store.ScopeRule{{Target: strings.Repeat("t", codec.MaxPayload)}}}}
	do(t, s, "long", store.Reclaim{Reclaimed: past(0, 40)})
	before := s.txid(t)
	for what, err := range map[string]error{
		"write":                store.Write(ctx, s, &store.Metadata{PodName: "a", Reclaimed: large}),
		"write over a damaged": store.Write(ctx, s, &store.Metadata{PodName: "b", Reclaimed: large}),
		"update":               second(s.Update(ctx, "c", func(m *store.Metadata) error { m.Reclaimed = large; return nil })),
		"append to a history":  store.Do(ctx, s, "long", store.Reclaim{Reclaimed: large}),
		"update that creates":  second(s.Update(ctx, "d", func(m *store.Metadata) error { m.Reclaimed = large; return nil })),
	} {
		if !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if now := s.txid(t); now != before {
		t.Errorf("%d transactions", now-before)
	}
	for _, pod := range []string{"a", "c"} {
		want := sample()
		want.PodName = pod
		if m, err := s.Read(ctx, pod); err != nil || m.Diff(want) != "" {
			t.Errorf("%s: %v", pod, err)
		}
	}
}
