package boltstore

import (
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
)

// While somebody watches, the leader notes in one log which Pods its transaction
// changed, when that is durable and before anyone can read it. All watchers share the log. A goroutine that
// runs only while somebody watches reads what changed, once for all, and wakes the
// watchers whom it concerns. A watcher that is slower goes on from its own place in
// the log; one that the log has passed lists its Pods again. So nobody's memory grows
// with what others do.
//
// A place in the log is the number of a transaction, all of whose changes and those
// before are behind it.

const (
	batchEvents = 1 << 11 // changes beyond which watchers list again
	batchBytes  = 8 << 20 // the same, of manifests

	publishPause = 3 * time.Millisecond // between two batches
)

// bookmarkPause is how often watchers are told how far they are. Tests change it.
var bookmarkPause = store.WatchQuiet / 4

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

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// wake makes the goroutine that publishes look at the store.
func (l *changelog) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running {
		nudge(l.work)
	}
}

// publish runs while there are watchers.
func (s *Store) publish() {
	bookmark := time.NewTicker(bookmarkPause)
	defer bookmark.Stop()
	for {
		all := false
		select {
		case <-s.changes.work:
		case <-bookmark.C:
			all = true
		case <-s.gone:
		}
		if !s.publishOnce(all) {
			return
		}
		time.Sleep(publishPause)
	}
}

// publishOnce reads what changed and wakes whom it concerns, or all. It reports
// whether to go on: not without watchers, and not after an error, with which all
// watches end.
func (s *Store) publishOnce(all bool) bool {
	l := &s.changes
	l.mu.Lock()
	p := &published{from: l.place, index: map[string]int{}}
	if len(l.watchers) == 0 {
		l.running, l.batch = false, nil
		l.mu.Unlock()
		return false
	}
	l.mu.Unlock()
	err := s.view("watch", "", func(tx *bolt.Tx) error { s.readFor(tx, p); return nil })
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.running, l.batch = false, nil
		for w := range l.watchers {
			w.err = err
			nudge(w.wake)
		}
		return false
	}
	wake := func(w *watcher) {
		if w.idle {
			w.idle, w.place = false, max(w.place, p.from)
			nudge(w.wake)
		}
	}
	if p.from < p.to {
		l.place, l.batch = p.to, p
	}
	if mutant == "nowake" && p.to%8 == 0 {
		return true
	}
	for _, name := range p.names {
		for w := range l.byName[name] {
			wake(w)
		}
	}
	if all || p.lost || l.all > 0 && len(p.names) > 0 {
		for w := range l.watchers {
			if all || p.lost || w.opts.Pods == nil {
				w.bookmark = w.bookmark || all
				wake(w)
			}
		}
	}
	return true
}

// readFor reads what changed of the Pods that somebody watches. Whoever comes to
// watch after that begins at a later place.
func (s *Store) readFor(tx *bolt.Tx, p *published) {
	l := &s.changes
	l.mu.Lock()
	opts := store.ReadOptions{OmitReclaimed: true, OmitManifest: l.manifests == 0}
	l.mu.Unlock()
	p.to = int64(tx.ID())
	names, ok := l.since(p.from, l.watched)
	if mutant == "halfbatch" && len(names) > 1 {
		names = names[1:]
	}
	p.names, p.lost = names, !ok
	events, ok := s.changed(tx, names, p.from, opts)
	if p.tooLarge = p.lost || !ok; p.tooLarge {
		return
	}
	for i, e := range events {
		p.index[e.Pod] = i
		if m := e.Metadata; m != nil && !opts.OmitManifest {
			bare := *m
			bare.Manifest, bare.Omitted.OmitManifest = nil, true
			e.Metadata = &bare
		}
		p.bare = append(p.bare, e)
	}
	if !opts.OmitManifest {
		p.events = events
	}
}

// changed reads those of the names that were changed behind a place. It reports false
// where that is too much for one batch.
func (s *Store) changed(tx *bolt.Tx, names []string, place int64, opts store.ReadOptions) (events []store.Event, ok bool) {
	if len(names) > batchEvents {
		return nil, false
	}
	size := 0
	for _, name := range names {
		e := s.event(tx, name, opts)
		if mutant == "nodeletion" && e.Metadata == nil {
			continue
		}
		if m := e.Metadata; m != nil {
			if m.Version.Revision.Number <= s.numberOf(place) {
				continue
			}
			size += len(m.Manifest)
		}
		events = append(events, e)
		if size > batchBytes && len(events) > 1 {
			return nil, false
		}
	}
	return events, true
}

// numberOf is the highest revision number of a transaction.
func (s *Store) numberOf(tx int64) uint64 {
	return s.base + uint64(tx)<<placeBits + maxGroup - 1
}
