package boltstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
	"podstore/store/internal/codec"
)

// past returns n entries of a history, numbered from from on.
func past(from, n int) []store.ReclaimedChild {
	list := make([]store.ReclaimedChild, n)
	for i := range list {
		list[i] = store.ReclaimedChild{PodName: fmt.Sprint("child-", from+i)}
		if (from+i)%3 == 0 {
			list[i].ScopeDelegated = []store.ScopeRule{{Target: fmt.Sprint("/srv/", from+i), Permission: "write", Recursive: true}}
		}
	}
	return list
}

// historyOf returns the number of entries of each chunk of a Pod's history, or inline
// for a value.
func historyOf(t *testing.T, s *Store, pod string) (chunks []int, inline bool) {
	t.Helper()
	err := s.view("test", pod, func(tx *bolt.Tx) error {
		var p stored
		if err := s.load(tx, pod, &p); err != nil {
			return err
		}
		inline = p.values[codec.Reclaimed] != nil
		if !p.chunks {
			return nil
		}
		last := uint64(0)
		return p.bucket.Bucket(historyKey).ForEach(func(k, v []byte) error {
			entries, err := openChunk(nil, p.nameSum, k, v)
			if n := binary.BigEndian.Uint64(k); n <= last {
				t.Errorf("chunk %d comes after %d", n, last)
			} else {
				last = n
			}
			chunks = append(chunks, len(entries))
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return chunks, inline
}

// holds checks a Pod's history, read and stored.
func holds(t *testing.T, s *Store, pod string, want []store.ReclaimedChild) {
	t.Helper()
	m, err := s.Read(context.Background(), pod)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Reclaimed) != len(want) || !beginsWith(m.Reclaimed, want) {
		t.Fatalf("%d entries, expected %d, or others", len(m.Reclaimed), len(want))
	}
	chunks, inline := historyOf(t, s, pod)
	total := 0
	for _, n := range chunks {
		total += n
		if n < 1 || n > chunkEntries {
			t.Errorf("a chunk has %d entries", n)
		}
	}
	if inline == (len(chunks) > 0) && len(want) > 0 || len(chunks) > 0 && total != len(want) || inline && len(want) > inlineHistory {
		t.Errorf("%d entries are stored as a value (%v) and as chunks %v", len(want), inline, chunks)
	}
}

// sound closes a store and asks our own check and bbolt's about its file.
func sound(t *testing.T, s *Store) {
	t.Helper()
	checks(t, s)
	db, err := bolt.Open(s.path, 0, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			t.Errorf("bbolt: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func do(t *testing.T, s *Store, pod string, ops ...store.Op) {
	t.Helper()
	if err := store.Do(context.Background(), s, pod, ops...); err != nil {
		t.Fatal(err)
	}
}

// Histories of every length about a boundary of chunks are the same, whether they are
// written at once, entry by entry, or in two steps. Up to 16 entries they are values.
func TestHistoryBoundaries(t *testing.T) {
	s := openNew(t)
	for _, n := range []int{1, 15, 16, 17, 31, 32, 33, 48, 49, 5000} {
		list := past(0, n)
		ways := map[string]func(pod string){
			"at once": func(pod string) { do(t, s, pod, store.Reclaim{Reclaimed: list}) },
			"put":     func(pod string) { do(t, s, pod, store.Put{Metadata: &store.Metadata{PodName: pod, Reclaimed: list}}) },
			"two steps": func(pod string) {
				do(t, s, pod, store.Reclaim{Reclaimed: list[:n/2]}, store.Reclaim{Reclaimed: list[n/2:]})
			},
			"two applies": func(pod string) {
				do(t, s, pod, store.Reclaim{Reclaimed: list[:n/2]})
				do(t, s, pod, store.Reclaim{Reclaimed: list[n/2:]})
			},
		}
		if n < 100 {
			ways["one by one"] = func(pod string) {
				for i := range list {
					do(t, s, pod, store.Reclaim{Reclaimed: list[i : i+1]})
				}
			}
		}
		for way, write := range ways {
			pod := fmt.Sprint(n, " ", way)
			write(pod)
			holds(t, s, pod, list)
			if chunks, _ := historyOf(t, s, pod); n > inlineHistory && len(chunks) != (n+chunkEntries-1)/chunkEntries {
				t.Errorf("%s: chunks of %v", pod, chunks)
			}
		}
	}
	sound(t, s)
}

// Trimming stops at any entry of a chunk, alone and with an append before or after it
// in the same Apply. Chunks that are not touched keep their numbers.
func TestHistoryTrimmed(t *testing.T) {
	s := openNew(t)
	list := past(0, 70) // chunks of 16, 16, 16, 16, 6
	for keep := range 75 {
		for how, c := range map[string]struct {
			ops  []store.Op
			want []store.ReclaimedChild
		}{
			"trim":         {[]store.Op{store.TrimReclaimed{Keep: keep}}, list[70-min(keep, 70):]},
			"trim, append": {[]store.Op{store.TrimReclaimed{Keep: keep}, store.Reclaim{Reclaimed: past(70, 12)}}, append(slices.Clone(list[70-min(keep, 70):]), past(70, 12)...)},
			"append, trim": {[]store.Op{store.Reclaim{Reclaimed: past(70, 20)}, store.TrimReclaimed{Keep: keep}}, past(90-keep, keep)},
			"put, trim":    {[]store.Op{store.Put{Metadata: &store.Metadata{PodName: "a", Reclaimed: past(5, 40)}}, store.TrimReclaimed{Keep: keep}}, past(45-min(keep, 40), min(keep, 40))},
		} {
			do(t, s, "a", store.Put{Metadata: &store.Metadata{PodName: "a", Reclaimed: list}})
			do(t, s, "a", c.ops...)
			holds(t, s, "a", c.want)
			if t.Failed() {
				t.Fatalf("keep %d: %s", keep, how)
			}
		}
	}
	sound(t, s)
}

// A Pod that keeps only its newest entries still fills its chunks.
func TestHistoryKeptShort(t *testing.T) {
	s := openNew(t)
	for i := range 400 {
		do(t, s, "a", store.Reclaim{Reclaimed: past(i, 1)}, store.TrimReclaimed{Keep: 100})
	}
	holds(t, s, "a", past(300, 100))
	if chunks, _ := historyOf(t, s, "a"); len(chunks) > 8 {
		t.Errorf("100 entries lie in chunks of %v", chunks)
	}
	sound(t, s)
}

// A Put of a history that begins with the stored one appends. Any other one replaces
// the stored one. After it was empty, a history grows from a value again.
func TestHistoryPut(t *testing.T) {
	s := openNew(t)
	put := func(list []store.ReclaimedChild) {
		t.Helper()
		do(t, s, "a", store.Put{Metadata: &store.Metadata{PodName: "a", Reclaimed: list}})
		holds(t, s, "a", list)
	}
	numbers := func() (first, last uint64) {
		err := s.view("test", "", func(tx *bolt.Tx) error {
			c := tx.Bucket([]byte("a")).Bucket(historyKey).Cursor()
			k, _ := c.First()
			first = binary.BigEndian.Uint64(k)
			k, _ = c.Last()
			last = binary.BigEndian.Uint64(k)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return first, last
	}
	put(past(0, 40))
	do(t, s, "a", store.TrimReclaimed{Keep: 20}) // chunks 2 and 3
	put(past(20, 50))
	if first, last := numbers(); first != 2 || last != 5 {
		t.Errorf("a longer history that begins with the stored one is in chunks %d to %d, expected 2 to 5", first, last)
	}
	before := s.txid(t)
	put(past(20, 50))
	if now := s.txid(t); now != before {
		t.Error("the same history was written again")
	}
	changed := past(20, 50)
	changed[3].ScopeDelegated = nil
	changed[4].PodName = "other"
	put(changed)
	put(past(20, 30))
	put(past(20, 17))
	put(past(20, 16)) // a value again
	put(past(20, 3))
	put(past(0, 300))
	do(t, s, "a", store.TrimReclaimed{})
	holds(t, s, "a", nil)
	do(t, s, "a", store.Reclaim{Reclaimed: past(0, 2)})
	holds(t, s, "a", past(0, 2))
	do(t, s, "a", store.Reclaim{Reclaimed: past(2, 200)})
	holds(t, s, "a", past(0, 202))
	do(t, s, "a", store.Delete{}, store.AddPeer{PodName: "p"})
	holds(t, s, "a", nil)
	do(t, s, "a", store.Reclaim{Reclaimed: past(0, 100)})
	do(t, s, "a", store.Delete{}, store.Reclaim{Reclaimed: past(7, 30)})
	holds(t, s, "a", past(7, 30))
	sound(t, s)
}

// A chunk takes entries up to some KiB, or one entry of any size.
func TestHistoryOfLargeEntries(t *testing.T) {
	s := openNew(t)
	var list []store.ReclaimedChild
	for i, size := range []int{10, 3000, 3000, 3000, 100_000, 10, 10, 1 << 20, 10, 5000, 5000} {
		e := store.ReclaimedChild{PodName: fmt.Sprint(i), ScopeDelegated: []store.ScopeRule{{Target: strings.Repeat("t", size)}}}
		list = append(list, e, store.ReclaimedChild{PodName: fmt.Sprint("after ", i)})
	}
	do(t, s, "at once", store.Reclaim{Reclaimed: list})
	for i := range list {
		do(t, s, "one by one", store.Reclaim{Reclaimed: list[i : i+1]})
	}
	for _, pod := range []string{"at once", "one by one"} {
		holds(t, s, pod, list)
		chunks, _ := historyOf(t, s, pod)
		if len(chunks) < 4 {
			t.Errorf("%s: chunks of %v", pod, chunks)
		}
		for keep := len(list); keep >= 0; keep -= 3 {
			do(t, s, pod, store.TrimReclaimed{Keep: keep})
			holds(t, s, pod, list[len(list)-keep:])
		}
	}
	sound(t, s)
}

// Entries that together are too large for a chunk have chunks of their own.
func TestHistoryOfLargestEntries(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 200 MiB")
	}
	s := openNew(t)
	large := func(size int) store.ReclaimedChild {
		return store.ReclaimedChild{PodName: "large", ScopeDelegated: []store.ScopeRule{{Target: strings.Repeat("t", size)}}}
	}
	list := append(past(0, 20), large(store.MaxValueSize/2+1), large(store.MaxValueSize/2+1), past(20, 1)[0], large(store.MaxValueSize-1000))
	do(t, s, "a", store.Reclaim{Reclaimed: list[:20]})
	do(t, s, "a", store.Reclaim{Reclaimed: list[20:22]})
	do(t, s, "a", store.Reclaim{Reclaimed: list[22:]})
	holds(t, s, "a", list)
	sound(t, s)
}

// Deleting, replacing and healing a Pod with a long history frees all of its pages.
func TestHistoryIsFreed(t *testing.T) {
	ctx := context.Background()
	for what, free := range map[string]func(t *testing.T, s *Store){
		"deleted":   func(t *testing.T, s *Store) { do(t, s, "long", store.Delete{}) },
		"removed":   func(t *testing.T, s *Store) { do(t, s, "long", store.Remove{}) },
		"put":       func(t *testing.T, s *Store) { do(t, s, "long", store.Put{Metadata: &store.Metadata{PodName: "long"}}) },
		"trimmed":   func(t *testing.T, s *Store) { do(t, s, "long", store.TrimReclaimed{}) },
		"made anew": func(t *testing.T, s *Store) { do(t, s, "long", store.Delete{}, store.AddPeer{PodName: "x"}) },
		"updated": func(t *testing.T, s *Store) {
			_, err := s.Update(ctx, "long", func(m *store.Metadata) error { m.Reclaimed = past(0, 2); return nil })
			if err != nil {
				t.Fatal(err)
			}
		},
	} {
		for how, damage := range map[string]func(tx *bolt.Tx) error{
			"whole":                    nothing,
			"with a chunk lost":        chunkLost,
			"with a chunk damaged":     chunkDamaged,
			"with a sub-key vanished":  func(tx *bolt.Tx) error { return tx.Bucket([]byte("long")).Delete([]byte("peers")) },
			"with all history missing": func(tx *bolt.Tx) error { return tx.Bucket([]byte("long")).DeleteBucket(historyKey) },
		} {
			t.Run(what+" "+how, func(t *testing.T) {
				if what == "updated" && how != "whole" || what == "trimmed" && (how == "with a sub-key vanished" || how == "with all history missing") {
					t.Skip("it needs what was stored")
				}
				s := openNew(t)
				do(t, s, "before", store.AddPeer{PodName: "x"})
				do(t, s, "long", store.Reclaim{Reclaimed: past(0, 3000)}, store.AddPeer{PodName: "p"})
				do(t, s, "z after", store.Reclaim{Reclaimed: past(0, 100)})
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				tamper(t, s.path, damage)
				if _, all := findings(t, s.path); (len(all) > 0) != (how != "whole") {
					t.Errorf("check: %+v", all)
				}
				s = open(t, s.path, nil)
				free(t, s)
				holds(t, s, "z after", past(0, 100))
				do(t, s, "before", store.AddPeer{PodName: "y"}) // what is freed is known one commit later
				sound(t, s)
				sum, _ := findings(t, s.path)
				if used := sum.Space.UsedPages * sum.Space.PageSize; used > 100<<10 {
					t.Errorf("%d bytes are still in use", used)
				}
			})
		}
	}
}

// chunkLost takes a chunk out of the middle of long's history.
func chunkLost(tx *bolt.Tx) error {
	return tx.Bucket([]byte("long")).Bucket(historyKey).Delete(codec.ChunkKey(3))
}

// chunkDamaged flips a bit in one.
func chunkDamaged(tx *bolt.Tx) error {
	b := tx.Bucket([]byte("long")).Bucket(historyKey)
	v := slices.Clone(b.Get(codec.ChunkKey(3)))
	v[len(v)-1] ^= 1
	return b.Put(codec.ChunkKey(3), v)
}

// A history can be damaged in a way that no page shows. Then those who read it get an
// error, and those who do not need it go on. A Put heals it. An append leaves it
// damaged.
func TestDamagedHistory(t *testing.T) {
	ctx := context.Background()
	reseal := func(tx *bolt.Tx, change func(st *codec.Stamp)) error {
		b, sum := tx.Bucket([]byte("long")), codec.NameSum([]byte("long"))
		var st codec.Stamp
		if err := codec.DecodeStamp(&st, b.Get(codec.SubKeyBytes(codec.StampKey))[codec.SumSize:]); err != nil {
			return err
		}
		change(&st)
		if err := b.Put(codec.SubKeyBytes(codec.StampKey), codec.Seal(sum, codec.StampKey, codec.NewEncoder().Stamp(&st))); err != nil {
			return err
		}
		var values [codec.NumSubKeys][]byte
		for i, k := range codec.SubKeys {
			values[i] = b.Get([]byte(k))
		}
		return b.SetSequence(digest(sum, &values))
	}
	chunk := func(f func(b *bolt.Bucket) error) func(tx *bolt.Tx) error {
		return func(tx *bolt.Tx) error { return f(tx.Bucket([]byte("long")).Bucket(historyKey)) }
	}
	for what, damage := range map[string]func(tx *bolt.Tx) error{
		"a chunk lost":         chunkLost,
		"a chunk damaged":      chunkDamaged,
		"the last chunk lost":  chunk(func(b *bolt.Bucket) error { return b.Delete(codec.ChunkKey(19)) }),
		"the first chunk lost": chunk(func(b *bolt.Bucket) error { return b.Delete(codec.ChunkKey(1)) }),
		"a chunk twice":        chunk(func(b *bolt.Bucket) error { return b.Put(codec.ChunkKey(40), b.Get(codec.ChunkKey(4))) }),
		"chunks exchanged":     chunk(func(b *bolt.Bucket) error { return b.Put(codec.ChunkKey(5), b.Get(codec.ChunkKey(4))) }),
		"a chunk of another Pod": func(tx *bolt.Tx) error {
			return tx.Bucket([]byte("long")).Bucket(historyKey).Put(codec.ChunkKey(4), tx.Bucket([]byte("other")).Bucket(historyKey).Get(codec.ChunkKey(4)))
		},
		"an older chunk": chunk(func(b *bolt.Bucket) error {
			v := codec.SealChunk(codec.NameSum([]byte("long")), codec.ChunkKey(4), codec.NewEncoder().Chunk(past(1000, 16)))
			return b.Put(codec.ChunkKey(4), v)
		}),
		"a chunk of the wrong shape": chunk(func(b *bolt.Bucket) error {
			return b.Put(codec.ChunkKey(4), codec.SealChunk(codec.NameSum([]byte("long")), codec.ChunkKey(4), []byte{0x91, 0xc0}))
		}),
		"a chunk with a short number": chunk(func(b *bolt.Bucket) error { return b.Put([]byte{1, 2}, []byte("xxxxxx")) }),
		"another count":               func(tx *bolt.Tx) error { return reseal(tx, func(st *codec.Stamp) { st.HistoryCount-- }) },
		"another sum":                 func(tx *bolt.Tx) error { return reseal(tx, func(st *codec.Stamp) { st.HistorySum++ }) },
		"no count":                    func(tx *bolt.Tx) error { return reseal(tx, func(st *codec.Stamp) { st.HistoryCount = 0 }) },
		"an old stamp": func(tx *bolt.Tx) error {
			return tx.Bucket([]byte("long")).Put(codec.SubKeyBytes(codec.StampKey), codec.Seal(codec.NameSum([]byte("long")), codec.StampKey, codec.NewEncoder().Stamp(&codec.Stamp{Number: 5})))
		},
		"no stamp": func(tx *bolt.Tx) error { return tx.Bucket([]byte("long")).Delete(codec.SubKeyBytes(codec.StampKey)) },
		"no stamp, and a digest without it": func(tx *bolt.Tx) error {
			b := tx.Bucket([]byte("long"))
			var values [codec.NumSubKeys][]byte
			values[codec.Peers] = b.Get([]byte("peers"))
			return errors.Join(b.Delete(codec.SubKeyBytes(codec.StampKey)), b.SetSequence(digest(codec.NameSum([]byte("long")), &values)))
		},
		"all chunks gone": chunk(func(b *bolt.Bucket) error {
			for n := uint64(1); n < 20; n++ {
				if err := b.Delete(codec.ChunkKey(n)); err != nil {
					return err
				}
			}
			return nil
		}),
		"no bucket": func(tx *bolt.Tx) error { return tx.Bucket([]byte("long")).DeleteBucket(historyKey) },
		"a value in its place": func(tx *bolt.Tx) error {
			b := tx.Bucket([]byte("long"))
			return errors.Join(b.DeleteBucket(historyKey), b.Put(historyKey, codec.Seal(codec.NameSum([]byte("long")), codec.Reclaimed, codec.NewEncoder().Chunk(past(0, 300)))))
		},
	} {
		t.Run(what, func(t *testing.T) {
			s := openNew(t)
			for _, pod := range []string{"long", "other"} {
				do(t, s, pod, store.Reclaim{Reclaimed: past(0, 300)}, store.AddPeer{PodName: "p"})
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			tamper(t, s.path, damage)
			sum, all := findings(t, s.path)
			if sum.Damaged != 1 || len(all) != 1 || all[0].Pod != "long" {
				t.Errorf("check: %+v %+v", sum, all)
			}
			if sum, err := Salvage(ctx, s.path, s.path+".salvaged", nil, func(v Salvaged) {
				if (v.Err == nil) != (v.Pod == "other") && !v.Older {
					t.Errorf("salvaged: %+v", v)
				}
			}); err != nil || sum.Saved != 1 {
				t.Errorf("salvage: %+v %v", sum, err)
			}
			checks(t, open(t, s.path+".salvaged", nil))

			s = open(t, s.path, nil)
			damagedNow := func(when string) {
				t.Helper()
				if _, err := s.Read(ctx, "long"); !isCorrupt(err, "long") {
					t.Errorf("%s: read: %v", when, err)
				}
				errs := damagedPods2(s)
				if len(errs) != 1 || !isCorrupt(errs[0], "long") {
					t.Errorf("%s: all: %v", when, errs)
				}
				if _, err := store.DoAndRead(ctx, s, "long", store.AddPeer{PodName: "x"}); !isCorrupt(err, "long") {
					t.Errorf("%s: a change that reads all: %v", when, err)
				}
				if _, err := s.Update(ctx, "long", func(m *store.Metadata) error { return nil }); !isCorrupt(err, "long") {
					t.Errorf("%s: update: %v", when, err)
				}
			}
			damagedNow("at first")
			for _, ops := range [][]store.Op{
				{store.AddPeer{PodName: "y"}},
				{store.Reclaim{Reclaimed: past(300, 20)}},
				{store.TrimReclaimed{Keep: 290}},
				{store.TrimReclaimed{Keep: 20}, store.Reclaim{Reclaimed: past(0, 3)}},
			} {
				if err := store.Do(ctx, s, "long", ops...); err != nil && !isCorrupt(err, "long") {
					t.Errorf("%s: %v", ops[0].Name(), err)
				}
				// Trimming the damaged entries heals it.
				if m, err := s.Read(ctx, "long"); err == nil && len(m.Reclaimed) > 23 {
					t.Errorf("%s makes a damaged history sound", ops[0].Name())
				} else if err == nil {
					break
				}
			}
			m := &store.Metadata{PodName: "long", Reclaimed: past(9, 40)}
			if err := store.Write(ctx, s, m); err != nil {
				t.Fatalf("put: %v", err)
			}
			holds(t, s, "long", m.Reclaimed)
			holds(t, s, "other", past(0, 300))
			sound(t, s)
		})
	}
}

// FuzzHistory does what its input says to a Pod's history and to a slice.
func FuzzHistory(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 8 {
		seed := make([]byte, 30+30*n)
		for i := range seed {
			seed[i] = byte(r.Uint32())
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		ctx := context.Background()
		path := filepath.Join(t.TempDir(), "pods.db")
		s, err := Open(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { s.Close() }()
		var model []store.ReclaimedChild
		next := 0
		at := 0
		arg := func(most int) int {
			if at++; at > len(program) {
				return 0
			}
			return int(program[at-1]) % (most + 1)
		}
		fresh := func() []store.ReclaimedChild {
			list := past(next, arg(40))
			if arg(9) == 0 && len(list) > 0 {
				list[0].ScopeDelegated = []store.ScopeRule{{Target: strings.Repeat("t", 40*arg(255))}}
			}
			next += len(list)
			return list
		}
		// One Apply has some of these.
		op := func() store.Op {
			switch arg(9) {
			case 0, 1, 2, 3:
				list := fresh()
				model = append(slices.Clip(model), list...)
				return store.Reclaim{Reclaimed: list}
			case 4, 5:
				keep := arg(120)
				model = model[max(0, len(model)-keep):]
				return store.TrimReclaimed{Keep: keep}
			case 6:
				model = append(slices.Clone(model[:arg(len(model))]), fresh()...)
				return store.Put{Metadata: &store.Metadata{PodName: "a", Reclaimed: model}}
			case 7:
				model = nil
				return store.Delete{}
			case 8:
				if i := arg(len(model)); i < len(model) {
					model = slices.Clone(model)
					model[i].PodName = "altered"
				}
				return store.Put{Metadata: &store.Metadata{PodName: "a", Reclaimed: model}}
			}
			return store.AddPeer{PodName: fmt.Sprint("peer ", arg(3))}
		}
		for steps := 0; at < len(program) && steps < 60; steps++ {
			if arg(12) == 0 {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if s, err = Open(path, nil); err != nil {
					t.Fatal(err)
				}
			}
			var ops []store.Op
			for range 1 + arg(2) {
				ops = append(ops, op())
			}
			asked := arg(3) == 0
			changes := make([]store.Change, len(ops))
			for i := range ops {
				changes[i] = store.Change{Pod: "a", Op: ops[i]}
			}
			applied, err := s.Apply(ctx, changes, &store.ApplyOptions{Metadata: asked})
			if err != nil {
				t.Fatal(err)
			}
			if m := applied[0].Metadata; asked && m != nil && (len(m.Reclaimed) != len(model) || !beginsWith(m.Reclaimed, model)) {
				t.Fatalf("step %d gives %d entries, expected %d, or others", steps, len(m.Reclaimed), len(model))
			}
			m, err := s.Read(ctx, "a")
			switch {
			case err != nil && len(model) == 0:
			case err != nil:
				t.Fatal(err)
			case len(m.Reclaimed) != len(model) || !beginsWith(m.Reclaimed, model):
				t.Fatalf("step %d: %d entries, expected %d, or others", steps, len(m.Reclaimed), len(model))
			default:
				holds(t, s, "a", model)
			}
		}
		sound(t, s)
	})
}

// TestHistoryBranchWithoutKey: an append looks only at the way to the last chunk, but
// bbolt reads all of the branch page and panics at an empty key.
func TestHistoryBranchWithoutKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pods.db")
	s := open(t, path, nil)
	for _, pod := range []string{"long", "other"} {
		if err := store.Do(t.Context(), s, pod, store.Reclaim{Reclaimed: past(0, 3000)}); err != nil {
			t.Fatal(err)
		}
	}
	var page, size int64
	if err := s.view("test", "long", func(tx *bolt.Tx) error {
		page, size = int64(tx.Bucket([]byte("long")).Bucket(historyKey).Root()), int64(tx.DB().Info().PageSize)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	poke(t, path, page*size+int64(headerSize)+4, u32(0)) // the size of its first key
	s = open(t, path, nil)
	if err := store.Do(t.Context(), s, "long", store.Reclaim{Reclaimed: past(9000, 1)}); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("the damaged Pod: %v", err)
	}
	if err := store.Do(t.Context(), s, "other", store.Reclaim{Reclaimed: past(9000, 1)}); err != nil {
		t.Errorf("the other Pod: %v", err)
	}
}
