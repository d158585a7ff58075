package boltstore

import (
	"os"
	"sync/atomic"
	"time"
)

// Stats are figures for an operator's graphs. Counters start when the file is opened.
// FreeBytes is as of the last commit. FileSize and Unusable are as of the call.
type Stats struct {
	Commits       uint64        // committed transactions
	Changes       uint64        // calls of Apply, Update and UpdatePods in these commits, also those that failed; Changes/Commits is the mean group size
	LargestGroup  uint64        // calls in the largest group
	CommitTime    time.Duration // total time of all commits
	SlowestCommit time.Duration // time of the longest commit
	Reads         uint64        // Pods read
	FileSize      int64         // bytes
	FreeBytes     int64         // bytes of the file that later commits can use; 0 before the first commit
	Unusable      bool          // the handle must be closed and the file opened again
}

// Stats returns counters and sizes. It takes no lock and waits for nothing. So a
// program can publish it as an [expvar.Func], and can call it on an unusable or closed
// handle.
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

// The leader writes all counters except reads.
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
