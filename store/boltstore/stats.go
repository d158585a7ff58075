package boltstore

import (
	"sync/atomic"
	"time"
)

// counters count what a handle did since it was opened.
type counters struct {
	commits     atomic.Uint64
	requests    atomic.Uint64
	commitNanos atomic.Uint64
	reads       atomic.Uint64
}

func (c *counters) commit(requests int, took time.Duration) {
	c.commits.Add(1)
	c.requests.Add(uint64(requests))
	c.commitNanos.Add(uint64(took))
}
