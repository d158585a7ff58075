package boltstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
	"podstore/store/internal/codec"
)

// requestID is an ID for a test.
func requestID(n int) (id store.RequestID) {
	binary.BigEndian.PutUint64(id[8:], uint64(n)+1)
	return id
}

// applyID makes operations on one Pod under an ID, and returns the result.
func applyID(t *testing.T, s *Store, id int, pod string, ops ...store.Op) store.Version {
	t.Helper()
	v, err := tryID(s, id, store.ApplyOptions{}, pod, ops...)
	if err != nil {
		t.Fatalf("request %d: %v", id, err)
	}
	return v
}

func tryID(s *Store, id int, o store.ApplyOptions, pod string, ops ...store.Op) (store.Version, error) {
	var changes []store.Change
	for _, op := range ops {
		changes = append(changes, store.Change{Pod: pod, Op: op})
	}
	o.ID = requestID(id)
	applied, err := s.Apply(context.Background(), changes, &o)
	if err != nil {
		return store.Version{}, err
	}
	return applied[0].Version, nil
}

func peer(n int) store.Op { return store.AddPeer{PodName: fmt.Sprint("peer ", n)} }

func entry(n int) store.Op { return store.Reclaim{Reclaimed: past(n, 1)} }

// reopen closes a store and opens its file again.
func reopen(t *testing.T, s *Store) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, s.path, nil)
}

// copies are the ways to make a new file of one that is open.
var copies = map[string]func(t *testing.T, s *Store) (path string){
	"compact": func(t *testing.T, s *Store) string {
		path := filepath.Join(t.TempDir(), "copy.db")
		if err := Compact(context.Background(), backup(t, s), path, nil); err != nil {
			t.Fatal(err)
		}
		return path
	},
	"salvage": func(t *testing.T, s *Store) string {
		path := filepath.Join(t.TempDir(), "copy.db")
		if sum, err := Salvage(context.Background(), backup(t, s), path, nil, func(Salvaged) {}); err != nil || sum.Older+sum.Lost+sum.Missing > 0 {
			t.Fatalf("%+v %v", sum, err)
		}
		return path
	},
	"backup": backup,
}

func backup(t *testing.T, s *Store) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "backup.db")
	if _, err := s.Backup(context.Background(), path); err != nil {
		t.Fatal(err)
	}
	return path
}

// Under one ID, changes are made once, whoever repeats them, whenever, and in whichever
// copy of the file.
func TestMadeOnce(t *testing.T) {
	ctx := context.Background()
	s := openNew(t)
	made := map[int]store.Version{}
	do := func(id int, pod string, op store.Op) { made[id] = applyID(t, s, id, pod, op) }
	do(0, "a", entry(0))
	do(1, "b", entry(1))
	do(2, "a", entry(2))
	do(3, "b", store.Delete{})
	if v := applyID(t, s, 4, "c", store.Remove{}); !v.Revision.IsZero() {
		t.Errorf("nothing was removed, at %v", v)
	}
	do(5, "a", entry(5))
	several := []store.Change{{Pod: "x", Op: entry(6)}, {Pod: "y", Op: entry(7)}, {Pod: "a", Op: entry(8)}}
	first, err := s.Apply(ctx, several, &store.ApplyOptions{ID: requestID(6)})
	if err != nil {
		t.Fatal(err)
	}
	again := func(when string, s *Store) {
		t.Helper()
		before := s.txid(t)
		for id, c := range map[int]struct {
			pod string
			op  store.Op
		}{0: {"a", entry(0)}, 2: {"a", entry(2)}, 3: {"b", store.Delete{}}, 5: {"a", entry(5)}} {
			for _, o := range []store.ApplyOptions{{}, {Resent: true}, {Resent: true, Seen: 1 << 40}, {Metadata: true}} {
				if v, err := tryID(s, id, o, c.pod, c.op); err != nil || v.Revision != made[id].Revision {
					t.Errorf("%s: request %d: %v %v, expected %v", when, id, v, err, made[id])
				}
			}
			if _, err := tryID(s, id, store.ApplyOptions{}, c.pod, peer(9)); !errors.Is(err, store.ErrInvalid) {
				t.Errorf("%s: request %d with another change: %v", when, id, err)
			}
		}
		now, err := s.Apply(ctx, several, &store.ApplyOptions{ID: requestID(6), Resent: true})
		if err != nil || len(now) != 3 {
			t.Fatalf("%s: several: %v", when, err)
		}
		for i := range now {
			if now[i].Version.Revision != first[i].Version.Revision {
				t.Errorf("%s: several: %+v, expected %+v", when, now[i], first[i])
			}
		}
		if txid := s.txid(t); txid != before {
			t.Errorf("%s: %d transactions", when, txid-before)
		}
		for pod, n := range map[string]int{"a": 4, "x": 1, "y": 1} {
			if m, err := s.Read(ctx, pod); err != nil || len(m.Reclaimed) != n {
				t.Errorf("%s: %q has %d entries, expected %d, %v", when, pod, len(m.Reclaimed), n, err)
			}
		}
		if names, err := s.List(ctx); err != nil || fmt.Sprint(names) != "[a x y]" {
			t.Errorf("%s: %q %v", when, names, err)
		}
	}
	again("at once", s)
	s = reopen(t, s)
	again("opened again", s)
	for how, copied := range copies {
		again(how, open(t, copied(t, s), nil))
	}
}

// A Pod keeps the last 16 IDs. A caller that repeats an older request gets ErrUnknown,
// unless it had seen later revisions: then its request was not made.
func TestSeventeenthID(t *testing.T) {
	s := openNew(t)
	var versions []store.Version
	for i := range codec.MaxIDs + 1 {
		versions = append(versions, applyID(t, s, i, "a", entry(i)))
	}
	length := func() int {
		m, err := s.Read(context.Background(), "a")
		if err != nil {
			t.Fatal(err)
		}
		return len(m.Reclaimed)
	}
	for _, reopened := range []bool{false, true} {
		if reopened {
			s = reopen(t, s)
		}
		for i := range codec.MaxIDs {
			if v, err := tryID(s, i+1, store.ApplyOptions{Resent: true}, "a", entry(i+1)); err != nil || v.Revision != versions[i+1].Revision {
				t.Errorf("request %d: %v %v, expected %v", i+1, v, err, versions[i+1])
			}
		}
		_, err := tryID(s, 0, store.ApplyOptions{Resent: true, Seen: versions[0].Revision.Number - 1}, "a", entry(0))
		if !errors.Is(err, store.ErrUnknown) {
			t.Errorf("the 17th: %v", err)
		}
		if n := length(); n != codec.MaxIDs+1 {
			t.Fatalf("%d entries", n)
		}
	}
	// Sent for the first time, or again by one who had seen later ones: it was not made.
	applyID(t, s, 100, "a", entry(100))
	if _, err := tryID(s, 101, store.ApplyOptions{Resent: true, Seen: versions[5].Revision.Number}, "a", entry(101)); err != nil {
		t.Error(err)
	}
	if n := length(); n != codec.MaxIDs+3 {
		t.Errorf("%d entries", n)
	}
	// Changes without an ID drop none.
	for i := range 40 {
		do(t, s, "a", entry(200+i))
	}
	if v, err := tryID(s, 101, store.ApplyOptions{Resent: true}, "a", entry(101)); err != nil || v.Revision.Number == 0 || length() != codec.MaxIDs+43 {
		t.Errorf("%v %v, %d entries", v, err, length())
	}
	sound(t, s)
}

// The file keeps the IDs of the last 64 deletions. A Pod that was deleted and created
// again does not know older requests.
func TestIDsOfDeletions(t *testing.T) {
	ctx := context.Background()
	s := openNew(t)
	var versions []store.Version
	for i := range maxDeletionIDs + 1 {
		pod := fmt.Sprint("pod ", i)
		do(t, s, pod, peer(0))
		versions = append(versions, applyID(t, s, i, pod, store.Delete{}))
	}
	s = reopen(t, s)
	for i := range maxDeletionIDs {
		v, err := tryID(s, i+1, store.ApplyOptions{Resent: true, Seen: versions[i].Revision.Number}, fmt.Sprint("pod ", i+1), store.Delete{})
		if err != nil || v.Revision != versions[i+1].Revision {
			t.Errorf("deletion %d: %v %v", i+1, v, err)
		}
	}
	if _, err := tryID(s, 0, store.ApplyOptions{Resent: true, Seen: versions[0].Revision.Number - 1}, "pod 0", store.Delete{}); !errors.Is(err, store.ErrUnknown) {
		t.Errorf("the 65th deletion: %v", err)
	}

	made := applyID(t, s, 1000, "a", entry(0))
	seen := store.ApplyOptions{Resent: true, Seen: made.Revision.Number - 1}
	do(t, s, "a", store.Delete{})
	for _, when := range []string{"deleted", "made again"} {
		if _, err := tryID(s, 1000, seen, "a", entry(0)); !errors.Is(err, store.ErrUnknown) {
			t.Errorf("%s: %v", when, err)
		}
		do(t, s, "a", peer(1))
	}
	if m, err := s.Read(ctx, "a"); err != nil || len(m.Reclaimed) > 0 {
		t.Errorf("it was made again: %+v %v", m, err)
	}
	// In one step it is the same Pod.
	made = applyID(t, s, 1001, "a", entry(0))
	do(t, s, "a", store.Delete{}, peer(2))
	if v, err := tryID(s, 1001, store.ApplyOptions{Resent: true}, "a", entry(0)); err != nil || v.Revision != made.Revision {
		t.Errorf("deleted and made in one step: %v %v, expected %v", v, err, made)
	}
	sound(t, s)
}

// If a caller has seen more than the file has, someone put back an older file, and the
// caller gets an error. So does a caller that asks a salvaged file about Pods that are
// not there.
func TestOlderFilePutBack(t *testing.T) {
	s := openNew(t)
	do(t, s, "a", peer(0))
	do(t, s, "there", peer(0))
	old := backup(t, s)
	var last store.Version
	for i := range 5 {
		last = applyID(t, s, i, "a", entry(i))
	}
	older := open(t, old, nil)
	before := older.txid(t)
	for i := range 5 {
		_, err := tryID(older, i, store.ApplyOptions{Resent: true, Seen: last.Revision.Number}, "a", entry(i))
		if !errors.Is(err, store.ErrUnknown) {
			t.Errorf("request %d: %v", i, err)
		}
	}
	if now := older.txid(t); now != before {
		t.Errorf("%d transactions", now-before)
	}
	applyID(t, older, 4, "a", entry(4)) // for the first time, as far as its caller knows

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	tamper(t, s.path, func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte("a")) })
	// Once more, so that the state before the last commit has it neither.
	sequence := func(by int) func(tx *bolt.Tx) error {
		return func(tx *bolt.Tx) error {
			b := tx.Bucket([]byte("there"))
			return b.SetSequence(b.Sequence() + uint64(by))
		}
	}
	tamper(t, s.path, sequence(1))
	tamper(t, s.path, sequence(-1))
	salvaged := filepath.Join(t.TempDir(), "new.db")
	if sum, err := Salvage(context.Background(), s.path, salvaged, nil, func(Salvaged) {}); err != nil || sum.Missing != 1 || sum.Older > 0 {
		t.Fatalf("%+v %v", sum, err)
	}
	s = open(t, salvaged, nil)
	if _, err := tryID(s, 4, store.ApplyOptions{Resent: true, Seen: last.Revision.Number - 1}, "a", entry(4)); !errors.Is(err, store.ErrUnknown) {
		t.Errorf("of a Pod that is lost: %v", err)
	}
	if _, err := tryID(s, 50, store.ApplyOptions{Resent: true, Seen: last.Revision.Number}, "there", peer(50)); err != nil {
		t.Errorf("of a Pod that is there: %v", err)
	}
}

// If the record of deletions is damaged, a salvaged file knows no earlier requests.
func TestDeletionsLost(t *testing.T) {
	s := openNew(t)
	do(t, s, "a", peer(0))
	do(t, s, "b", peer(0))
	made := applyID(t, s, 0, "b", store.Delete{})
	s.Close()
	tamper(t, s.path, func(tx *bolt.Tx) error {
		return tx.Bucket([]byte(bookkeeping)).Put([]byte(keyDeletions), []byte("\x00\x00\x00\x00\x01"))
	})
	salvaged := filepath.Join(t.TempDir(), "new.db")
	if _, err := Salvage(context.Background(), s.path, salvaged, nil, func(Salvaged) {}); err != nil {
		t.Fatal(err)
	}
	s = open(t, salvaged, nil)
	if _, err := tryID(s, 0, store.ApplyOptions{Resent: true, Seen: made.Revision.Number - 1}, "b", store.Delete{}); !errors.Is(err, store.ErrUnknown) {
		t.Errorf("%v", err)
	}
}

// Revision numbers rise for the life of the data, whatever file it is in.
func TestNumbersRise(t *testing.T) {
	ctx := context.Background()
	s := openNew(t)
	highest := uint64(0)
	next := func(when string, s *Store) {
		t.Helper()
		for i := range 3 {
			applied, err := s.Apply(ctx, []store.Change{{Pod: "n", Op: entry(i)}, {Pod: "m", Op: entry(i)}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			n := applied[0].Version.Revision.Number
			if n <= highest || applied[1].Version.Revision.Number != n {
				t.Errorf("%s: %d after %d", when, n, highest)
			}
			highest = n
		}
	}
	next("at first", s)
	// Deletions have the highest numbers, which no Pod's stamp has.
	remove := func() {
		for i := range 40 {
			pod := fmt.Sprint("short-lived ", i)
			do(t, s, pod, peer(0))
			highest = applyID(t, s, 100+i, pod, store.Delete{}).Revision.Number
		}
	}
	remove()
	s = reopen(t, s)
	next("opened again", s)
	path := s.path
	for round := range 2 {
		for how, copied := range copies {
			remove()
			path = copied(t, s)
			s = open(t, path, nil)
			next(fmt.Sprint(how, " ", round), s)
		}
	}
	salvaged := func(when string, spoil func()) {
		t.Helper()
		remove()
		s.Close()
		spoil()
		dst := filepath.Join(t.TempDir(), "salvaged.db")
		if _, err := Salvage(ctx, path, dst, nil, func(Salvaged) {}); err != nil {
			t.Fatal(err)
		}
		path = dst
		s = open(t, path, nil)
		next(when, s)
	}
	for when, spoil := range map[string]func(tx *bolt.Tx) error{
		"without its deletions": func(tx *bolt.Tx) error { return tx.Bucket([]byte(bookkeeping)).Delete([]byte(keyDeletions)) },
		"with a damaged base": func(tx *bolt.Tx) error {
			return tx.Bucket([]byte(bookkeeping)).Put([]byte(keyBase), []byte("\x00\x00\x00\x00\x01"))
		},
		"a Pod lost": func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte("m")) },
	} {
		salvaged(when, func() { tamper(t, path, spoil) })
	}
	newest := func() (page int64) {
		db, err := bolt.Open(path, 0, &bolt.Options{ReadOnly: true})
		if err == nil {
			err = db.View(func(tx *bolt.Tx) error { page = int64(tx.ID()) % 2; return nil })
		}
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		return page
	}
	salvaged("the newest meta lost", func() { poke(t, path, newest()*pageSize, make([]byte, pageSize)) })
}

// A copy has of each Pod what the source has: the same revision and times, also for a
// history in chunks and for Pods from before there were stamps.
func TestCopiesKeepStamps(t *testing.T) {
	ctx := context.Background()
	s := openNew(t)
	created, changed := time.UnixMilli(1_577_934_245_006), time.UnixMilli(1_609_556_645_007)
	long := &store.Metadata{PodName: "long", Reclaimed: past(0, 5000), Manifest: []byte(`{"a":1}`)}
	do(t, s, "long", store.Put{Metadata: long, Created: created, Changed: changed})
	do(t, s, "trimmed", store.Reclaim{Reclaimed: past(0, 100)})
	do(t, s, "trimmed", store.TrimReclaimed{Keep: 50})
	do(t, s, "empty", peer(0), store.RemovePeer{PodName: "peer 0"})
	all := sample()
	do(t, s, all.PodName, store.Put{Metadata: all})
	for i := range 200 {
		do(t, s, fmt.Sprint("small ", i), peer(i))
	}
	want := map[string]*store.Metadata{}
	for m, err := range s.All(ctx, store.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		want[m.PodName] = m
	}
	if v := want["long"].Version; !v.Created.Equal(created) || !v.Changed.Equal(changed) {
		t.Errorf("a Put has the times %v", v)
	}
	same := func(t *testing.T, s store.MetadataStore) {
		t.Helper()
		n := 0
		for m, err := range store.All(ctx, s, store.ReadOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
			if w := want[m.PodName]; w == nil || m.Diff(w) != "" || m.Version != w.Version {
				t.Errorf("%q differs in %q, or has version %v, expected %v", m.PodName, m.Diff(w), m.Version, w.Version)
			}
		}
		if n != len(want) {
			t.Errorf("%d Pods, expected %d", n, len(want))
		}
	}
	for how, copied := range copies {
		t.Run(how, func(t *testing.T) {
			c := open(t, copied(t, s), nil)
			same(t, c)
			// A condition on a revision of the source holds on the copy.
			change := store.Change{Pod: "long", Op: entry(5000), If: store.AtRevision(want["long"].Version.Revision)}
			if _, err := c.Apply(ctx, []store.Change{change}, nil); err != nil {
				t.Error(err)
			}
			sound(t, c)
		})
	}
	t.Run("snapshot", func(t *testing.T) {
		frozen, closer, err := s.Snapshot(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer closer.Close()
		do(t, s, "small 0", store.Delete{})
		same(t, frozen)
	})
	t.Run("format 1", func(t *testing.T) {
		b, err := os.ReadFile(filepath.Join("testdata", "format-1.db"))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "one.db")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, path, &Options{ReadOnly: true})
		was, err := s.Read(ctx, "agent")
		if err != nil || was.Version.Revision.Number != 0 || was.Version.Revision.Digest == 0 || !was.Version.Created.IsZero() {
			t.Fatalf("%+v %v", was.Version, err)
		}
		for how, copied := range copies {
			c := open(t, copied(t, s), nil)
			if m, err := c.Read(ctx, "agent"); err != nil || m.Version != was.Version || m.Diff(was) != "" {
				t.Errorf("%s: %+v %v", how, m.Version, err)
			}
			sound(t, c)
		}
	})
}

// Each Apply of a group has a number of its own. One that changes nothing has none.
func TestNumbersWithinAGroup(t *testing.T) {
	ctx := context.Background()
	s := openNew(t)
	release := block(t, s)
	before := s.txid(t)
	const n = 20
	results := make(chan store.Version, n)
	for i := range n {
		go func() {
			pod := fmt.Sprint("pod ", i%4)
			applied, err := s.Apply(ctx, []store.Change{{Pod: pod, Op: entry(i)}}, nil)
			if err != nil {
				t.Error(err)
				results <- store.Version{}
				return
			}
			results <- applied[0].Version
		}()
	}
	queued(s, n)
	release()
	seen := map[uint64]bool{}
	for range n {
		v := <-results
		if seen[v.Revision.Number] || v.Revision.Number == 0 {
			t.Errorf("two have number %d", v.Revision.Number)
		}
		seen[v.Revision.Number] = true
	}
	if txs := s.txid(t) - before; txs != 2 {
		t.Errorf("%d transactions, expected one for the blocker and one for the group", txs)
	}
	was, err := s.Read(ctx, "pod 1")
	if err != nil {
		t.Fatal(err)
	}
	applied, err := s.Apply(ctx, []store.Change{{Pod: "pod 1", Op: store.RemovePeer{PodName: "none"}}, {Pod: "pod 2", Op: peer(1)}}, nil)
	if err != nil || applied[0].Version != was.Version || applied[1].Version.Revision.Number <= was.Version.Revision.Number {
		t.Errorf("%+v %v; pod 1 was %v", applied, err, was.Version)
	}
}
