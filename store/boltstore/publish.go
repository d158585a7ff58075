package boltstore

import (
	"container/list"
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
//
// A place in the log is the number of a transaction, all of whose changes and those
// before are behind it.

const (
	logNames    = 1 << 14 // names that the log keeps
	batchEvents = 1 << 11 // changes beyond which watchers list again
	batchBytes  = 8 << 20 // the same, of manifests

	publishPause = 3 * time.Millisecond // between two batches
)

// bookmarkPause is how often watchers are told how far they are. Tests change it.
var bookmarkPause = store.WatchQuiet / 4

// changelog is what changed last, and who watches.
type changelog struct {
	mu    sync.Mutex
	order list.List                // of *logEntry, each name once, what changed last at the end
	names map[string]*list.Element // the same
	lost  int64                    // the highest place of an entry that was dropped

	watchers  map[*watcher]struct{}
	byName    map[string]map[*watcher]struct{} // those that watch some names
	all       int                              // how many watch every name
	manifests int                              // how many want manifests
	work      chan struct{}                    // has an element when there is something to publish
	running   bool                             // the goroutine that publishes

	place int64      // up to which it published
	batch *published // what it published last
}

// logEntry says which transaction was the last that changed a Pod.
type logEntry struct {
	tx   int64
	name string
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
	if l.names == nil {
		l.names = make(map[string]*list.Element)
	}
	for name := range names {
		if e := l.names[name]; e != nil {
			e.Value.(*logEntry).tx = tx
			l.order.MoveToBack(e)
			continue
		}
		if l.order.Len() == logNames {
			oldest := l.order.Remove(l.order.Front()).(*logEntry)
			delete(l.names, oldest.name)
			l.lost = oldest.tx
		}
		l.names[name] = l.order.PushBack(&logEntry{tx, name})
	}
	if l.running {
		nudge(l.work)
	}
}

// since returns the names, of those that are wanted, that were changed behind a
// place. Some may have been changed later than what the caller reads, and not before.
// It reports false where the log does not reach back so far.
func (l *changelog) since(place int64, want func(string) bool) (names []string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if place < l.lost {
		return nil, false
	}
	for e := l.order.Back(); e != nil; e = e.Prev() {
		entry := e.Value.(*logEntry)
		if entry.tx <= place {
			break
		}
		if want(entry.name) {
			names = append(names, entry.name)
		}
	}
	return names, true
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
