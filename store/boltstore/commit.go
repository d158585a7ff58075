package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
	"podstore/store/internal/osfs"
)

// txn is one bbolt transaction and the requests that share it. Only one goroutine at a
// time uses it.
type txn struct {
	s        *Store
	requests []*request // the leader's own is the first
	next     int        // index of the request that runs
	finished bool

	tx        *bolt.Tx
	record    *nameRecord         // nil until a request creates or deletes a Pod
	deletions *deletions          // nil until a request needs them
	changed   bool                // tx has changes
	touched   map[string]struct{} // the changed Pods
	highest   uint64              // revision number of the last change
	fatal     error               // why tx cannot be committed
	poisoned  bool                // fatal came from inside bbolt
}

// request is one change. Its edit runs exactly once, in the goroutine of the leader.
type request struct {
	op, pod string // for errors and the log
	run     func(*txn, *request) error
	wake    chan signal // buffered: the leader never waits for a follower

	err        error           // the result, valid after wake
	answered   store.RequestID // Store.resent has the result under this ID
	panicValue any             // of the caller's edit, or nil
	begun      bool            // a leader has taken it; guarded by Store.mu
	later      bool            // it ran after a change of the same transaction, and may have seen it
}

type signal int

const (
	done signal = iota
	lead
)

// number returns the revision number of the request that runs.
func (g *txn) number() uint64 {
	place := uint64(g.next)
	if mutant == "onenumber" {
		place = 0
	}
	return g.s.base + uint64(g.tx.ID())<<placeBits + place
}

// fail marks the transaction: it cannot be committed. If bbolt panicked during a
// change, its state cannot be trusted either.
func (g *txn) fail(err error) {
	if g.fatal == nil {
		g.fatal = err
		var p *panicError
		g.poisoned = errors.As(err, &p)
	}
}

func (g *txn) begin() {
	g.touched = make(map[string]struct{}, len(g.requests))
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

// end commits, or rolls back if nothing changed or something failed. It gives its error
// to the requests that have none of their own, or whose own error may come from what is not
// committed.
func (g *txn) end() {
	s := g.s
	if g.fatal == nil && g.changed {
		if err := g.writeBooks(); err != nil {
			g.fail(err)
		}
	}
	if cause := s.cause.Load(); g.fatal == nil && cause != nil {
		g.fail(*cause) // a reader made the handle unusable meanwhile
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
		g.commit()
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
		if (r.err == nil || r.err == errFatal || r.later) && r.panicValue == nil {
			r.err = err
			if r.answered != (store.RequestID{}) {
				s.resent.drop(r.answered)
			}
		}
	}
}

// commit makes the transaction durable, and only then visible: see [Store.view].
func (g *txn) commit() {
	s, id := g.s, int64(g.tx.ID())
	start := time.Now()
	if err := guard(g.tx.Commit); err != nil && mutant != "noerror" {
		if onlyGrowth(err) {
			err = &store.Error{Op: "commit", Path: s.path, Kind: store.ErrNoSpace,
				Err: fmt.Errorf("the file cannot grow: %s; nothing was changed, and the store goes on; make room and try again", lastPart(err))}
			g.fatal = err
			return
		}
		g.fail(err)
		g.poisoned = true
		return
	}
	s.stats.committed(len(g.requests), time.Since(start), int64(s.db.Stats().FreeAlloc))
	s.highest = g.highest
	s.changes.note(id, g.touched)
	s.setDurable(id)
	s.upgraded()
}

// inPlace checks that the path still names the open file. Otherwise a commit would be
// lost with the handle. It also sets the step by which this commit may grow the file.
func (s *Store) inPlace() error {
	size, same, err := osfs.SizeAt(s.absPath, s.identity)
	if err == nil && same {
		s.db.AllocSize = int(min(size, allocSize))
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("it is not known whether the database file is still in place: %w", err)
	}
	return errors.New("the database file was moved, removed or replaced while it was open")
}

// A request returns errFatal when its group has failed. It then gets the group's error.
var errFatal = errors.New("the transaction cannot be committed")

// writeBooks writes the changed bookkeeping.
func (g *txn) writeBooks() error {
	return guard(func() error {
		put := func(key string, payload []byte) error {
			return g.tx.Bucket([]byte(bookkeeping)).Put([]byte(key), sealBook(key, payload))
		}
		if err := g.s.upgradeFormat(put); err != nil {
			return err
		}
		if d := g.deletions; d != nil && d.changed {
			if err := put(keyDeletions, g.s.enc.Deletions(d.last, d.floor, d.ids)); err != nil {
				return err
			}
		}
		if g.record == nil || mutant == "norecord" {
			return nil
		}
		return put(keyNames, g.s.enc.Uints(g.record.count, g.record.sum))
	})
}

// names returns the record of names for changing. Its error concerns only requests that
// create or delete Pods.
func (g *txn) names() (*nameRecord, error) {
	if g.record == nil {
		record, err := readRecord(g.tx)
		if err != nil {
			return nil, err
		}
		g.record = record
	}
	return g.record, nil
}

// deleted returns the record of deletions for changing.
func (g *txn) deleted() (*deletions, error) {
	if g.deletions == nil {
		d, err := readDeletions(g.tx)
		if err != nil {
			return nil, err
		}
		g.deletions = d
	}
	return g.deletions, nil
}
