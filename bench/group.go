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

// gather waits a moment for as many callers as there were last time.
func (g *grouper) gather() {
	start := time.Now()
	for range 30 {
		g.mu.Lock()
		enough := len(g.queue) >= g.last
		g.mu.Unlock()
		if enough || time.Since(start) > 100*time.Microsecond {
			return
		}
		runtime.Gosched()
	}
}
