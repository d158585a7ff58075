package boltstore

import (
	"errors"
	"time"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
)

const (
	// After more changes than this, or more bytes of manifests, watchers list again.
	batchEvents = 1 << 11
	batchBytes  = 8 << 20

	publishPause = 3 * time.Millisecond // between batches
)

// bookmarkPause is the time between two reports of a watcher's place. Tests change it.
var bookmarkPause = store.WatchQuiet / 4

// publish is the publishing goroutine. It ends when the last watcher leaves.
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

// publishOnce reads what changed and wakes the watchers that asked for it, or all of
// them. It reports whether to go on. It stops without watchers, and after an error,
// which it gives to every watcher.
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

// readFor reads the changed Pods that anybody watches. A watcher that arrives after
// this begins at a later place.
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

// changed reads the Pods that changed behind a place. It reports false if they are too
// much for one batch.
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

// event reads one Pod.
func (s *Store) event(tx *bolt.Tx, name string, opts store.ReadOptions) store.Event {
	e := store.Event{Pod: name}
	err := guard(func() (err error) {
		var p stored
		if err = s.load(tx, name, &p); err == nil {
			e.Metadata, err = p.metadata(tx, name, opts)
		}
		return err
	})
	if err != nil && !errors.Is(err, errMissing) {
		e.Metadata, e.Err = nil, s.readErr("watch", name, err)
	}
	return e
}
