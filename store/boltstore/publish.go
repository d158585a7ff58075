package boltstore

import (
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
)

// The leader notes in one log which Pods its transaction changed, when that is
// durable and before anyone can read it. All watchers share the log. A goroutine that
// runs only while somebody watches reads what changed, once for all, and wakes the
// watchers whom it concerns. A watcher that is slower goes on from its own place in
// the log; one that the log has passed lists its Pods again. So nobody's memory grows
// with what others do.

const (
	logEntries  = 1 << 14 // names that the log keeps
	batchEvents = 1 << 11 // changes beyond which watchers list again
	batchBytes  = 8 << 20 // the same, of manifests

	publishPause  = 3 * time.Millisecond // between two batches
	bookmarkPause = 5 * time.Second
)

// changelog is what changed last, and who watches.
type changelog struct {
	mu      sync.Mutex
	entries []logEntry // a ring: entry n is at n % logEntries
	next    uint64     // how many entries there ever were

	watchers  map[*watcher]struct{}
	byName    map[string]map[*watcher]struct{} // those that watch some names
	all       int                              // how many watch every name
	manifests int                              // how many want manifests
	work      chan struct{}                    // has an element when there is something to publish
	running   bool                             // the goroutine that publishes

	place uint64     // in the log, up to which it published
	tx    int64      // the transaction then
	batch *published // what it published last
}

// logEntry says that a transaction changed a Pod.
type logEntry struct {
	tx   int64
	name string
}

// published is what changed between two places in the log.
type published struct {
	from, to uint64
	events   []store.Event // with manifests, if anyone wants them
	bare     []store.Event // without
	index    map[string]int
	tooLarge bool // the watchers are to list again
}

// note adds what a transaction changed.
func (l *changelog) note(tx int64, names map[string]struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.entries == nil {
		l.entries = make([]logEntry, logEntries)
	}
	for name := range names {
		l.entries[l.next%logEntries] = logEntry{tx, name}
		l.next++
	}
	if l.running {
		nudge(l.work)
	}
}

// now is the place in the log where the next entry goes.
func (l *changelog) now() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next
}

// since returns the names that transactions up to tx changed, from a place on, each
// once, and the place behind them. It reports false where the log does not reach back
// so far, or where that are too many.
func (l *changelog) since(place uint64, tx int64) (names []string, to uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next-place > logEntries {
		return nil, l.next, false
	}
	seen := make(map[string]bool)
	for to = place; to < l.next && len(names) <= batchEvents; to++ {
		e := l.entries[to%logEntries]
		if e.tx > tx {
			break
		}
		if !seen[e.name] {
			seen[e.name] = true
			names = append(names, e.name)
		}
	}
	if len(names) > batchEvents {
		return nil, l.next, false
	}
	return names, to, true
}

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
	l := &s.changes
	bookmark := time.NewTicker(bookmarkPause)
	defer bookmark.Stop()
	for {
		all := false
		select {
		case <-l.work:
		case <-bookmark.C:
			all = true
		case <-s.gone:
		}
		if s.usable("watch", "") != nil || !s.publishOnce(all) {
			l.end()
			return
		}
		time.Sleep(publishPause)
	}
}

// end wakes those who still watch. Each finds out for itself why.
func (l *changelog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running, l.batch = false, nil
	for w := range l.watchers {
		nudge(w.wake)
	}
}

// publishOnce reads what changed and wakes whom it concerns, or all. It reports
// whether to go on.
func (s *Store) publishOnce(all bool) bool {
	l := &s.changes
	l.mu.Lock()
	if len(l.watchers) == 0 {
		l.running, l.batch = false, nil
		l.mu.Unlock()
		return false
	}
	p := &published{from: l.place, to: l.place, index: map[string]int{}}
	l.mu.Unlock()
	var tx int64
	err := s.view("watch", "", func(t *bolt.Tx) error {
		tx = int64(t.ID())
		names, to, ok := l.since(p.from, tx)
		p.to, p.tooLarge = to, !ok
		s.readFor(t, p, names)
		return nil
	})
	if err != nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.from < p.to {
		l.batch = p
	}
	l.place, l.tx = p.to, tx
	for w := range l.watchers {
		if !w.idle {
			nudge(w.wake)
		}
	}
	wake := func(w *watcher) {
		if w.idle {
			w.idle, w.place = false, p.from
			nudge(w.wake)
		}
	}
	if all || p.tooLarge {
		for w := range l.watchers {
			w.bookmark = w.bookmark || all
			wake(w)
		}
	}
	if p.from < p.to && l.all > 0 {
		for w := range l.watchers {
			if w.opts.Pods == nil {
				wake(w)
			}
		}
	}
	if len(l.byName) > 0 {
		for name := range p.index {
			for w := range l.byName[name] {
				wake(w)
			}
		}
	}
	if p.to < l.next {
		nudge(l.work)
	}
	return true
}

// readFor reads those of the names that somebody watches.
func (s *Store) readFor(tx *bolt.Tx, p *published, names []string) {
	l := &s.changes
	l.mu.Lock()
	opts := store.ReadOptions{OmitReclaimed: true, OmitManifest: l.manifests == 0}
	watched := names
	if l.all == 0 {
		watched = nil
		for _, name := range names {
			if len(l.byName[name]) > 0 {
				watched = append(watched, name)
			}
		}
	}
	l.mu.Unlock()
	size := 0
	for i, name := range watched {
		e := s.event(tx, name, opts)
		p.index[name] = i
		p.events = append(p.events, e)
		if m := e.Metadata; m != nil && !opts.OmitManifest {
			size += len(m.Manifest)
			bare := *m
			bare.Manifest, bare.Omitted.OmitManifest = nil, true
			e.Metadata = &bare
		}
		p.bare = append(p.bare, e)
	}
	p.tooLarge = p.tooLarge || size > batchBytes
	if opts.OmitManifest {
		p.events = nil
	}
}

// numberOf is the highest revision number of a transaction.
func (s *Store) numberOf(tx int64) uint64 {
	return s.base + uint64(tx)<<placeBits + maxGroup - 1
}
