package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
	"podstore/store/internal/codec"
)

// group is one transaction and the requests that share it. It is used by one
// goroutine at a time.
type group struct {
	s        *Store
	requests []*request // the leader's own first
	next     int        // the request to run
	finished bool

	tx       *bolt.Tx
	record   *nameRecord // nil before the first change of names
	changed  bool        // something was put into tx
	fatal    error       // why tx cannot be committed
	poisoned bool        // fatal came from inside bbolt
}

// run begins the transaction, runs the requests and commits.
func (g *group) run() {
	defer func() {
		if !g.finished {
			// An edit ended this goroutine. The group must not die with it.
			g.requests[g.next].err = errGoexit
			g.next++
			go g.run()
		}
	}()
	if g.tx == nil {
		g.begin()
	}
	for g.next < len(g.requests) {
		r := g.requests[g.next]
		if g.fatal == nil {
			r.err = r.run(g, r)
		}
		g.next++
	}
	g.end()
	g.finished = true
	g.s.handOver(len(g.requests))
	for _, r := range g.requests[1:] {
		r.wake <- done
	}
}

// fail makes the transaction one that cannot be committed. A panic of bbolt
// while it was changing something leaves nothing in it to be trusted.
func (g *group) fail(err error) {
	if g.fatal == nil {
		g.fatal = err
		var p *panicError
		g.poisoned = errors.As(err, &p)
	}
}

func (g *group) begin() {
	if err := g.s.usable("commit", ""); err != nil {
		g.fail(err)
		return
	}
	err := g.s.transact(func() (err error) {
		g.tx, err = g.s.db.Begin(true)
		return err
	})
	if err != nil {
		g.fail(err)
		g.poisoned = true
	}
}

// end commits, or rolls back when nothing changed or something failed, and gives
// the result to the requests that have none of their own.
func (g *group) end() {
	s := g.s
	if g.fatal == nil && g.changed {
		if err := g.writeRecord(); err != nil {
			g.fail(err)
		}
	}
	if cause := s.cause.Load(); g.fatal == nil && cause != nil {
		g.fail(*cause) // a reader met it meanwhile
		g.poisoned = true
	}
	if g.fatal == nil && g.changed {
		if err := s.inPlace(); err != nil {
			g.fail(err)
			g.poisoned = true
		}
	}
	switch {
	case g.tx == nil:
	case g.fatal == nil && g.changed:
		start := time.Now()
		s.early.commits(g.tx)
		if err := guard(g.tx.Commit); err != nil && mutant != "noerror" {
			g.fail(err)
			g.poisoned = true
			break
		}
		s.stats.committed(len(g.requests), time.Since(start), int64(s.db.Stats().FreeAlloc))
	case !panicked(g.fatal):
		if err := guard(g.tx.Rollback); err != nil {
			g.fail(err)
			g.poisoned = true
		}
	}
	if g.fatal == nil {
		return
	}
	err := g.fatal
	if g.poisoned {
		s.poison(err, panicked(err))
		err = s.unusable("commit", "", err)
		if kind := kindOf(g.fatal); kind != nil {
			err = &store.Error{Op: "commit", Path: s.path, Kind: kind, Err: err}
		}
	}
	for _, r := range g.requests {
		if (r.err == nil || r.err == errFatal) && r.thrown == nil {
			r.err = err
		}
	}
}

func panicked(err error) bool {
	if err == nil {
		return false
	}
	var p *panicError
	return errors.As(err, &p)
}

// inPlace checks that the file is still what its path names: a commit into a file
// that was removed or replaced would be lost with the handle. It also sets the
// step by which this commit may make the file grow.
func (s *Store) inPlace() error {
	size, same, err := sizeInPlace(s.absPath, s.identity)
	if err == nil && same {
		s.db.AllocSize = int(min(size, allocSize))
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the database file cannot be looked at any more: %w", err)
	}
	return errors.New("the database file was moved, removed or replaced while it was open")
}

// load reads a Pod within the transaction into old, which is changed only if it
// exists; m is nil if it does not. Damage concerns this Pod alone: nothing was changed yet, and what bbolt keeps
// of a failed read in the transaction is never written.
func (g *group) load(op, name string, old *stored) (m *store.Metadata, err error) {
	err = guard(func() error {
		if err = g.s.load(g.tx, name, old); err == nil {
			m, err = old.metadata(name, false)
		}
		return err
	})
	switch {
	case errors.Is(err, errMissing):
		return nil, nil
	case err != nil:
		return nil, damaged(op, name, err)
	}
	return m, nil
}

// stage is what a request wants done to one Pod.
type stage struct {
	key     []byte // its name
	remove  bool   // delete it; with create, replace it
	create  bool
	changes [codec.NumSubKeys]change
	digest  uint64
}

// stageOf compares what a Pod shall be with what it is; nil when there is nothing
// to do. m is nil to delete and must otherwise be in normal form; old is nil where
// there is no Pod.
func (s *Store) stageOf(old *stored, m *store.Metadata) (*stage, error) {
	if m == nil {
		if old == nil {
			return nil, nil
		}
		return &stage{key: old.key, remove: true}, nil
	}
	st := &stage{create: old == nil}
	if old == nil {
		old = unstored(m.PodName)
	}
	st.key = old.key
	changed, err := st.diff(s.enc, m, old)
	if err != nil {
		return nil, err
	}
	if !changed && !st.create {
		return nil, nil
	}
	return st, nil
}

// errFatal is what apply returns to a request when the group has failed. The
// request gets the group's error instead.
var errFatal = errors.New("the transaction cannot be committed")

// apply puts stages into the transaction. Nothing of a request is in it before
// all of its stages are known; an error is fatal to the group, but for one of the
// record of names, without which no name can change.
func (g *group) apply(stages []*stage) error {
	if len(stages) == 0 {
		return nil
	}
	if g.record == nil && slices.ContainsFunc(stages, func(st *stage) bool { return st.create != st.remove }) {
		err := guard(func() (err error) {
			g.record, err = readRecord(g.tx)
			return err
		})
		if err != nil {
			return err
		}
	}
	g.changed = true
	err := guard(func() error {
		creating, size := 0, 0
		for _, st := range stages {
			if st.create {
				creating++
				size += st.size()
			}
		}
		if creating >= bulkCreates && size/creating <= inlineSize {
			g.tx.Cursor().Bucket().FillPercent = bulkFill
		}
		for _, st := range stages {
			if err := g.applyOne(st); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		g.fail(err)
		return errFatal
	}
	return nil
}

// A transaction that creates many Pods is an import: names come in order, and where
// the Pods are so small that bbolt keeps them in the tree of names, full pages halve
// the file. A larger Pod has a page of its own, beside which that tree is small; it is
// left half full, since every later commit reads and writes whole leaves of it
// (BenchmarkAddPeer: 4 % for a lone writer).
const (
	bulkCreates = 64
	bulkFill    = 0.95
	inlineSize  = pageSize / 4 // what bbolt takes for small
)

// size is how many bytes the values have that are put.
func (st *stage) size() (n int) {
	for _, c := range st.changes {
		n += len(c.value)
	}
	return n
}

func (g *group) applyOne(st *stage) error {
	name := st.key
	if st.remove {
		if err := g.tx.DeleteBucket(name); err != nil {
			return err
		}
		if !st.create {
			g.record.remove(name)
			return nil
		}
	}
	var b *bolt.Bucket
	if st.create {
		var err error
		if b, err = g.tx.CreateBucket(name); err != nil {
			return err
		}
		if !st.remove {
			g.record.add(name)
		}
	} else {
		b = g.tx.Bucket(name)
	}
	for i, c := range st.changes {
		var err error
		switch {
		case !c.set:
		case c.value == nil:
			err = b.Delete(codec.SubKeyBytes(i))
		default:
			err = b.Put(codec.SubKeyBytes(i), c.value)
		}
		if err != nil {
			return err
		}
	}
	return b.SetSequence(st.digest)
}

// writeRecord writes the record of names, if one of the requests changed it.
func (g *group) writeRecord() error {
	if g.record == nil || mutant == "norecord" {
		return nil
	}
	return guard(func() error {
		value := sealBook(keyNames, g.s.enc.Uints(g.record.count, g.record.sum))
		return g.tx.Bucket([]byte(bookkeeping)).Put([]byte(keyNames), value)
	})
}

// readRecord reads the record of names.
func readRecord(tx *bolt.Tx) (*nameRecord, error) {
	var value []byte
	if b := tx.Bucket([]byte(bookkeeping)); b != nil {
		value = b.Get([]byte(keyNames))
	}
	return parseRecord(value)
}

// parseRecord reads the value of the record of names.
func parseRecord(value []byte) (*nameRecord, error) {
	payload, ok := unsealBook(keyNames, value)
	if !ok {
		return nil, &store.Error{Kind: store.ErrCorrupt, Err: errors.New("the record of Pod names is damaged; " + adviceSalvage)}
	}
	n, err := codec.DecodeUints(payload, 2)
	if err != nil {
		return nil, &store.Error{Kind: store.ErrCorrupt, Err: fmt.Errorf("the record of Pod names: %w", err)}
	}
	return &nameRecord{count: n[0], sum: n[1]}, nil
}
