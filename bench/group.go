package main

import (
	"runtime"
	"sync"
	"time"
)

// grouper gives a peer the group commit that podstore has: callers that arrive
// while a transaction commits share the next one. The first of them leads.
type grouper struct {
	// run makes one transaction of the edits. Its error is that of all.
	run func(edits []func() error) error

	mu      sync.Mutex
	queue   []*groupCall
	leading bool
	last    int
}

type groupCall struct {
	edit func() error
	err  error
	wake chan bool // true: lead
}

// do runs edit in a transaction with others and returns when that is committed.
func (g *grouper) do(edit func() error) error {
	c := &groupCall{edit: edit, wake: make(chan bool, 1)}
	g.mu.Lock()
	g.queue = append(g.queue, c)
	follow := g.leading
	g.leading = true
	g.mu.Unlock()
	if follow && !<-c.wake {
		return c.err
	}
	g.gather()
	g.mu.Lock()
	calls := g.queue
	g.queue = nil
	g.mu.Unlock()
	edits := make([]func() error, len(calls))
	for i, c := range calls {
		edits[i] = c.edit
	}
	err := g.run(edits)
	g.mu.Lock()
	g.last = len(calls) + len(g.queue)
	if g.leading = len(g.queue) > 0; g.leading {
		g.queue[0].wake <- true
	}
	g.mu.Unlock()
	for _, f := range calls {
		f.err = err
		if f != c {
			f.wake <- false
		}
	}
	return err
}

// gather waits a moment for as many callers as there were last time, as boltstore
// does.
func (g *grouper) gather() {
	if g.last <= 1 {
		return
	}
	start := time.Now()
	for n, idle := 0, 0; idle < 100; idle++ {
		runtime.Gosched()
		g.mu.Lock()
		now := len(g.queue)
		g.mu.Unlock()
		if now >= g.last || time.Since(start) > 250*time.Microsecond {
			return
		}
		if now > n {
			n, idle = now, 0
		}
	}
}
