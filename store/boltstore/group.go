package boltstore

import (
	"context"
	"runtime"
	"slices"
	"time"

	"podstore/store"
)

// Group commit. A caller queues its change as a request. If nobody leads, the caller
// becomes the leader: it takes all queued requests, runs them in one bbolt transaction,
// commits, and wakes the others. Requests that arrive meanwhile wait for the next leader,
// which is the first of them. So a group holds what arrives during one commit. After a
// group of several requests the leader waits a moment for as many again: see gather. A
// lone writer never waits.

// submit runs one change in a group. It returns when the change is committed or has
// failed. If the caller's edit panicked, submit panics with the same value.
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
	if r.panicValue != nil {
		panic(r.panicValue)
	}
	return r.err
}

// withdraw takes a request out of the queue, unless a leader has taken it or it has
// become the leader.
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

// A leader that expects more requests stops waiting when none has come during
// gatherYields yields, or after gatherTime.
const (
	gatherYields = 100
	gatherTime   = 250 * time.Microsecond
)

// lead runs one group and hands over to the next leader. The caller's own request is in
// the queue.
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

// gather yields until as many requests wait as the last group had. Without it, callers
// fall into two groups that alternate, each half as large.
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

func (g *txn) run() {
	defer func() {
		if !g.finished {
			// An edit ended this goroutine. The rest of the group must go on.
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
			r.later = g.changed
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

// handOver ends a group. The first request that arrived meanwhile becomes the leader.
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

// busy reports whether a change is under way.
func (s *Store) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leading
}
