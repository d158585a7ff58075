package boltstore

import (
	"errors"
	"sync"

	"podstore/store"
)

// changelog holds what changed last, and who watches.
//
// While anybody watches, the leader notes which Pods its transaction changed. It notes
// them when they are durable and before anyone can read them. All watchers share this
// one log. A goroutine, which runs only while anybody watches, reads each changed Pod
// once for all watchers and wakes those who asked for it. A slower watcher goes on from
// its own place in the log. If the log no longer reaches back to that place, the
// watcher lists its Pods again. So no watcher's memory grows with what others do.
//
// A place in the log is the number of a transaction. A watcher at that place has all
// changes of that transaction and of all earlier ones.
type changelog struct {
	mu     sync.Mutex
	recent nameLog

	removals int // Removes that are looking for references

	watchers  map[*watcher]struct{}
	byName    map[string]map[*watcher]struct{} // those that watch some names
	all       int                              // watchers of all names
	manifests int                              // watchers that want manifests
	work      chan struct{}                    // holds an element if there is something to publish
	running   bool                             // the goroutine that publishes runs

	place int64      // it has published everything up to here
	batch *published // its last batch
}

// watcher is one loop over [Store.Watch].
type watcher struct {
	opts  store.WatchOptions
	names map[string]bool // opts.Pods
	wake  chan struct{}   // holds an element if there is something to do

	// changelog.mu guards the fields below.

	place    int64 // in the log
	idle     bool  // it waits, and no batch since then concerned it
	bookmark bool  // it must report its place
	err      error // why the watch must end
}

func (w *watcher) wants(name string) bool { return w.names == nil || w.names[name] }

func (w *watcher) readOptions() store.ReadOptions {
	return store.ReadOptions{OmitManifest: w.opts.OmitManifest, OmitReclaimed: true}
}

// published is one batch: what changed between two places in the log.
type published struct {
	from, to int64
	names    []string      // those that anybody watches
	events   []store.Event // with manifests; nil if nobody wants them
	bare     []store.Event // without manifests
	index    map[string]int
	lost     bool // the log does not reach back to from
	tooLarge bool // each watcher must read the changes itself
}

// errLogTooShort: the log has dropped changes that the caller needs.
var errLogTooShort = errors.New("the log no longer reaches back to this place")

// note adds the Pods that a transaction changed.
func (l *changelog) note(tx int64, names map[string]struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.watchers) == 0 && l.removals == 0 {
		l.recent = nameLog{lost: tx}
		return
	}
	for name := range names {
		l.recent.add(tx, name)
	}
	if l.running {
		nudge(l.work)
	}
}

// keep makes the leader note changes until the caller calls end.
func (l *changelog) keep() (end func()) {
	count := func(n int) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.removals += n
	}
	count(1)
	return func() { count(-1) }
}

// begin returns a place in the log. A caller that reads the store after this call sees
// everything before the place; the log has everything behind it.
func (l *changelog) begin(s *Store) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.start(s)
}

// start is begin for a caller that holds the lock. While nobody reads the log, the
// leader drops what it notes, so the place is the last transaction that it dropped,
// even if that is not durable yet.
func (l *changelog) start(s *Store) int64 { return max(s.durable.Load(), l.recent.lost) }

func (l *changelog) since(place int64, want func(string) bool) (names []string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.recent.since(place, want)
}

func (l *changelog) watched(name string) bool { return l.all > 0 || len(l.byName[name]) > 0 }

// wake makes the publishing goroutine look at the store.
func (l *changelog) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running {
		nudge(l.work)
	}
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
