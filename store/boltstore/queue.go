package boltstore

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"podstore/store"
)

// Group commit. A caller with a change queues it as a request. If nobody leads,
// it becomes the leader: it takes everything that is queued, runs it in one
// bbolt transaction, commits, and wakes the others. What arrives meanwhile waits
// for the next leader, which is the first of those waiting. So a group is as
// large as what arrives during one commit; after a larger group than one, the leader
// waits a moment for as many again (see gather). A lone writer waits for nobody.

// request is one change. Its edit runs exactly once, in the leader's goroutine.
type request struct {
	op, pod string // what to call it
	run     func(*txn, *request) error
	wake    chan signal // buffered: the leader never waits for a follower

	err    error // result, when done
	thrown any   // what the caller's edit panicked with, or nil
	begun  bool  // taken by a leader; guarded by Store.mu
}

type signal int

const (
	done signal = iota
	lead
)

var (
	errGoexit = errors.New("the edit ended its goroutine (runtime.Goexit, as by t.FailNow); it must return")
	errThrown = errors.New("the edit panicked")
)

// edit calls the caller's edit and keeps its panic for the caller.
func (r *request) edit(s *Store, f func() error) (err error) {
	e := &runningEdit{op: r.op, pod: r.pod, goroutine: goroutineID()}
	s.editing.Store(e)
	slow := time.AfterFunc(slowEdit, func() { s.logSlowEdit(e) })
	returned := false
	defer func() {
		slow.Stop()
		s.editing.Store(nil)
		if !returned {
			// After Goexit there is nothing to recover, and the goroutine goes on
			// to end.
			if r.thrown = recover(); r.thrown != nil {
				err = errThrown
			}
		}
	}()
	err = f()
	returned = true
	return err
}

// slowEdit is how long an edit may run before the log says so.
const slowEdit = time.Second

// runningEdit is an edit that is being called. All other changes wait for it.
type runningEdit struct {
	op, pod   string
	goroutine uint64
}

// logSlowEdit names an edit that runs for long, and who waits for it: it may itself
// wait for one of them.
func (s *Store) logSlowEdit(e *runningEdit) {
	s.mu.Lock()
	var waiting []string
	for _, r := range s.queue[:min(len(s.queue), 8)] {
		waiting = append(waiting, fmt.Sprintf("%s pod %q", r.op, r.pod))
	}
	n := len(s.queue)
	s.mu.Unlock()
	s.log.Warn("podstore: an edit runs for long, and all changes wait for it; an edit must not use the store, also not through another goroutine",
		"path", s.path, "edit", fmt.Sprintf("%s pod %q", e.op, e.pod), "waiting", n, "first", waiting)
}

// nested is the error for a call that is made inside an edit, which would wait for
// itself.
func (s *Store) nested(op, pod string) error {
	e := s.editing.Load()
	if e == nil || e.goroutine != goroutineID() {
		return nil
	}
	return &store.Error{Op: op, Pod: pod, Kind: store.ErrInvalid,
		Err: fmt.Errorf("it was called inside the edit of %s pod %q, which it would wait for; an edit must not use the store", e.op, e.pod)}
}

// goroutineID is the number of the calling goroutine, for which Go has no call but
// the first line of its stack.
func goroutineID() (id uint64) {
	var buf [32]byte
	for _, c := range buf[len("goroutine "):runtime.Stack(buf[:], false)] {
		if c < '0' || c > '9' {
			break
		}
		id = id*10 + uint64(c-'0')
	}
	return id
}

// submit runs one change in a group and returns when it is committed, or has
// failed. It panics with what the change's edit panicked with.
func (s *Store) submit(ctx context.Context, op, pod string, run func(*txn, *request) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.readOnly {
		return &store.Error{Op: op, Pod: pod, Path: s.path, Kind: store.ErrReadOnly}
	}
	if err := s.nested(op, pod); err != nil {
		return err
	}
	r := &request{op: op, pod: pod, run: run, wake: make(chan signal, 1)}
	s.mu.Lock()
	if err := s.usable(op, pod); err != nil {
		s.mu.Unlock()
		return err
	}
	s.queue = append(s.queue, r)
	if s.leading {
		s.mu.Unlock()
		select {
		case sig := <-r.wake:
			if sig == lead {
				s.lead()
			}
		case <-ctx.Done():
			if s.withdraw(r) {
				return ctx.Err()
			}
			if <-r.wake == lead {
				s.lead()
			}
		}
	} else {
		s.leading = true
		s.mu.Unlock()
		s.lead()
	}
	if r.thrown != nil {
		panic(r.thrown)
	}
	return r.err
}

// withdraw takes a request out of the queue, unless a leader has it or it was
// made the leader.
func (s *Store) withdraw(r *request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.begun {
		return false
	}
	for i, q := range s.queue {
		if q == r {
			s.queue = append(s.queue[:i], s.queue[i+1:]...)
			break
		}
	}
	return true
}

// A leader that expects company waits for it until nobody came during gatherYields
// yields, and never longer than gatherTime.
const (
	gatherYields = 100
	gatherTime   = 250 * time.Microsecond
)

// maxGroup is how many changes one transaction takes: each has a revision number of
// its own.
const maxGroup = 1 << placeBits

// lead runs one group and hands on. The caller's own request is in the queue.
func (s *Store) lead() {
	s.gather()
	s.mu.Lock()
	n := min(len(s.queue), maxGroup)
	g := &txn{s: s, requests: s.queue[:n:n]}
	s.queue = slices.Clone(s.queue[n:])
	for _, r := range g.requests {
		r.begun = true
	}
	s.mu.Unlock()
	g.run()
}

// gather yields until as many requests wait as the last group had: without it,
// callers fall into two groups that alternate, each half as large.
func (s *Store) gather() {
	s.mu.Lock()
	expected := s.lastGroup
	s.mu.Unlock()
	if expected <= 1 {
		return
	}
	start := time.Now()
	for n, idle := 0, 0; idle < gatherYields; idle++ {
		runtime.Gosched()
		s.mu.Lock()
		now := len(s.queue)
		s.mu.Unlock()
		if now >= expected || time.Since(start) > gatherTime {
			return
		}
		if now > n {
			n, idle = now, 0
		}
	}
}

// busy reports whether a change is being made.
func (s *Store) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leading
}

// handOver ends a group: the first of those that came meanwhile leads.
func (s *Store) handOver(size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastGroup = size + len(s.queue)
	if len(s.queue) == 0 {
		s.leading = false
		s.idle.Broadcast()
		return
	}
	r := s.queue[0]
	r.begun = true
	r.wake <- lead
}
