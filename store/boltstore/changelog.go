package boltstore

import (
	"errors"
	"sync"

	"podstore/store"
)

// changelog is what changed last, and who watches.
type changelog struct {
	mu     sync.Mutex
	recent nameLog

	removals int // how many Removes look for references

	watchers  map[*watcher]struct{}
	byName    map[string]map[*watcher]struct{} // those that watch some names
	all       int                              // how many watch every name
	manifests int                              // how many want manifests
	work      chan struct{}                    // has an element when there is something to publish
	running   bool                             // the goroutine that publishes

	place int64      // up to which it published
	batch *published // what it published last
}

// watcher is one loop over [Store.Watch].
type watcher struct {
	opts  store.WatchOptions
	names map[string]bool // opts.Pods
	wake  chan struct{}   // has an element when there is something to do

	// What follows is guarded by changelog.mu.

	place    int64 // how far it is in the log
	idle     bool  // it waits, and nothing that was published since concerned it
	bookmark bool  // it is to be told how far it is
	err      error // why the watch is to end
}

// wants tells whether a name is watched.
func (w *watcher) wants(name string) bool { return w.names == nil || w.names[name] }

func (w *watcher) readOptions() store.ReadOptions {
	return store.ReadOptions{OmitManifest: w.opts.OmitManifest, OmitReclaimed: true}
}

// published is what changed between two places in the log.
type published struct {
	from, to int64
	names    []string      // that are watched
	events   []store.Event // of them, with manifests if anyone wants those
	bare     []store.Event // without
	index    map[string]int
	lost     bool // the log does not reach back to from
	tooLarge bool // watchers are to look for themselves
}

// errLogTooShort says that the log no longer knows all that changed behind a place.
var errLogTooShort = errors.New("the log has passed the watcher")

// note adds what a transaction changed.
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

// keep makes the leader note changes until the function that it returns is called.
func (l *changelog) keep() (end func()) {
	count := func(n int) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.removals += n
	}
	count(1)
	return func() { count(-1) }
}

// begin is a place in the log to begin at: whoever reads after it sees what is before
// the place, and the log tells what is behind it.
func (l *changelog) begin(s *Store) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.start(s)
}

// start is begin for who holds the lock. Where nobody reads the log it does not begin
// at what is durable: the leader may have noted one more.
func (l *changelog) start(s *Store) int64 { return max(s.durable.Load(), l.recent.lost) }

// since is [nameLog.since].
func (l *changelog) since(place int64, want func(string) bool) (names []string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.recent.since(place, want)
}

// watched tells whether somebody watches a name.
func (l *changelog) watched(name string) bool { return l.all > 0 || len(l.byName[name]) > 0 }

// wake makes the goroutine that publishes look at the store.
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
