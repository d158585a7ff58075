package boltstore

import (
	"os"
	"sync/atomic"
	"time"
)

// Stats is what an operator graphs. Counters run from the moment the file was
// opened; the rest is as it was at the last commit.
type Stats struct {
	Commits       uint64        // transactions that were committed
	Changes       uint64        // calls that shared them; Changes/Commits is the mean group size
	LargestGroup  uint64        // calls in the largest group
	CommitTime    time.Duration // time spent in commits, altogether
	SlowestCommit time.Duration // the longest commit
	Reads         uint64        // Pods read
	FileSize      int64         // bytes
	FreeBytes     int64         // bytes of it that the next commits can use; 0 before the first
	Unusable      bool          // the handle must be closed and the file opened again
}

// Stats returns counters and sizes. It takes no lock and waits for nothing, so it
// can be published as an [expvar.Func] and called on a handle that is unusable or
// closed.
func (s *Store) Stats() Stats {
	c := &s.stats
	st := Stats{
		Commits:       c.commits.Load(),
		Changes:       c.changes.Load(),
		LargestGroup:  c.largest.Load(),
		CommitTime:    time.Duration(c.nanos.Load()),
		SlowestCommit: time.Duration(c.slowest.Load()),
		Reads:         c.reads.Load(),
		FreeBytes:     c.freeBytes.Load(),
		Unusable:      s.cause.Load() != nil,
	}
	if info, err := os.Stat(s.absPath); err == nil {
		st.FileSize = info.Size()
	}
	return st
}

// counters are written by the leader, but for reads.
type counters struct {
	commits   atomic.Uint64
	changes   atomic.Uint64
	largest   atomic.Uint64
	nanos     atomic.Uint64
	slowest   atomic.Uint64
	reads     atomic.Uint64
	freeBytes atomic.Int64
}

// committed counts one group.
func (c *counters) committed(group int, took time.Duration, freeBytes int64) {
	c.commits.Add(1)
	c.changes.Add(uint64(group))
	c.largest.Store(max(c.largest.Load(), uint64(group)))
	c.nanos.Add(uint64(took))
	c.slowest.Store(max(c.slowest.Load(), uint64(took)))
	c.freeBytes.Store(freeBytes)
}
