package boltstore

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
)

// watcher is one loop over [Store.Watch].
type watcher struct {
	opts store.WatchOptions
	wake chan struct{} // has an element when there is something to do

	// What follows is guarded by changelog.mu.

	// idle says that it waits, and was given all that was published.
	idle     bool
	place    uint64 // otherwise, how far it is in the log
	bookmark bool   // it is to be told how far it is
}

// Watch yields every Pod, then what changes: see [store.Watcher]. What changes within
// some milliseconds is in one batch. A batch without events comes every five seconds
// at most.
func (s *Store) Watch(ctx context.Context, opts store.WatchOptions) iter.Seq2[store.Batch, error] {
	return func(yield func(store.Batch, error) bool) {
		if err := s.watch(ctx, opts, func(b store.Batch) bool { return yield(b, nil) }); err != nil {
			yield(store.Batch{}, err)
		}
	}
}

// watch calls yield until that reports false.
func (s *Store) watch(ctx context.Context, opts store.WatchOptions, yield func(store.Batch) bool) error {
	if len(opts.Pods) > 0 {
		if err := store.ValidateNames("watch", opts.Pods); err != nil {
			return err
		}
	}
	if err := cmp.Or(ctx.Err(), s.usable("watch", "")); err != nil {
		return err
	}
	w := &watcher{opts: opts, wake: make(chan struct{}, 1)}
	w.opts.Pods = slices.Clone(opts.Pods)
	s.addWatcher(w)
	defer s.removeWatcher(w)
	more := true
	again := false
	for list := true; more; {
		if list {
			var err error
			if more, err = s.list(ctx, w, again, yield); err != nil {
				return err
			}
			list, again = false, true
			continue
		}
		b, ok, err := s.next(ctx, w)
		if err != nil {
			return err
		}
		if list = !ok; ok {
			more = yield(b)
		}
	}
	return nil
}

func (s *Store) addWatcher(w *watcher) {
	l := &s.changes
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watchers == nil {
		l.watchers, l.byName = map[*watcher]struct{}{}, map[string]map[*watcher]struct{}{}
		l.work = make(chan struct{}, 1)
	}
	l.watchers[w] = struct{}{}
	if !w.opts.OmitManifest {
		l.manifests++
	}
	if w.opts.Pods == nil {
		l.all++
	}
	for _, name := range w.opts.Pods {
		if l.byName[name] == nil {
			l.byName[name] = map[*watcher]struct{}{}
		}
		l.byName[name][w] = struct{}{}
	}
	if l.running {
		return
	}
	l.running, l.batch = true, nil
	l.place, l.tx = l.next, s.durable.Load()
	go s.publish()
}

func (s *Store) removeWatcher(w *watcher) {
	l := &s.changes
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.watchers, w)
	if !w.opts.OmitManifest {
		l.manifests--
	}
	if w.opts.Pods == nil {
		l.all--
	}
	for _, name := range w.opts.Pods {
		if delete(l.byName[name], w); len(l.byName[name]) == 0 {
			delete(l.byName, name)
		}
	}
	nudge(l.work)
}

// list yields all that is watched, and then what changed meanwhile, which makes it
// one moment.
func (s *Store) list(ctx context.Context, w *watcher, resync bool, yield func(store.Batch) bool) (more bool, err error) {
	opts := store.ReadOptions{OmitManifest: w.opts.OmitManifest, OmitReclaimed: true}
	for {
		place := s.changes.now()
		names := w.opts.Pods
		if names == nil {
			if names, err = s.List(ctx); err != nil && !errors.Is(err, store.ErrCorrupt) {
				return false, err
			}
		}
		for len(names) > 0 || resync {
			if err := ctx.Err(); err != nil {
				return false, err
			}
			b := store.Batch{Resync: resync}
			err := s.view("watch", "", func(tx *bolt.Tx) error {
				size := 0
				for len(names) > 0 && len(b.Events) < listPods && size < listBytes {
					if e := s.event(tx, names[0], opts); e.Metadata != nil || e.Err != nil {
						b.Events = append(b.Events, e)
						if e.Metadata != nil {
							size += len(e.Metadata.Manifest)
						}
					}
					names = names[1:]
				}
				return nil
			})
			if err != nil {
				return false, err
			}
			if (len(b.Events) > 0 || resync) && !yield(b) {
				return false, nil
			}
			resync = false
		}
		b, ok, err := s.changedSince(w, place)
		if err != nil {
			return false, err
		}
		if ok {
			b.Synced = true
			return yield(b), nil
		}
		resync = true // more changed meanwhile than the log keeps
	}
}

// changedSince is what changed since a place in the log, as at one moment, to which it
// moves the watcher. It reports false where that is too much.
func (s *Store) changedSince(w *watcher, place uint64) (b store.Batch, ok bool, err error) {
	opts := store.ReadOptions{OmitManifest: w.opts.OmitManifest, OmitReclaimed: true}
	err = s.view("watch", "", func(tx *bolt.Tx) error {
		var names []string
		names, place, ok = s.changes.since(place, int64(tx.ID()))
		size := 0
		for _, name := range names {
			if w.opts.Pods != nil && !slices.Contains(w.opts.Pods, name) {
				continue
			}
			e := s.event(tx, name, opts)
			if e.Metadata != nil {
				size += len(e.Metadata.Manifest)
			}
			b.Events = append(b.Events, e)
		}
		ok = ok && size <= batchBytes
		b.Number = s.numberOf(int64(tx.ID()))
		return nil
	})
	s.changes.mu.Lock()
	w.idle, w.place = false, place
	s.changes.mu.Unlock()
	return b, ok, err
}

// next waits for what changes. It reports false where the watcher is to list again.
func (s *Store) next(ctx context.Context, w *watcher) (b store.Batch, ok bool, err error) {
	l := &s.changes
	for {
		l.mu.Lock()
		p := l.batch
		take := !w.idle && p != nil && w.place == p.from
		behind := !w.idle && !take && w.place < l.place
		place := w.place
		b = store.Batch{Number: s.numberOf(l.tx)}
		bookmark := false
		switch {
		case take:
			w.place = p.to
		case !behind && !w.idle && w.place == l.place:
			w.idle = true
			fallthrough
		case w.idle:
			bookmark, w.bookmark = w.bookmark, false
		}
		l.mu.Unlock()
		switch {
		case take && p.tooLarge:
			return b, false, nil
		case take:
			if b.Events = p.eventsFor(w); len(b.Events) > 0 {
				return b, true, nil
			}
			continue
		case behind:
			if b, ok, err = s.changedSince(w, place); err != nil || !ok || len(b.Events) > 0 {
				return b, ok, err
			}
			continue
		case bookmark:
			return b, true, nil
		}
		if err := s.usable("watch", ""); err != nil {
			return b, false, err
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return b, false, ctx.Err()
		}
	}
}

// eventsFor are the events that a watcher asked for.
func (p *published) eventsFor(w *watcher) []store.Event {
	events := p.events
	if w.opts.OmitManifest {
		events = p.bare
	}
	if w.opts.Pods == nil {
		return slices.Clone(events)
	}
	var some []store.Event
	for _, name := range w.opts.Pods {
		if i, ok := p.index[name]; ok {
			some = append(some, events[i])
		}
	}
	return some
}

// event is a Pod as a transaction has it.
func (s *Store) event(tx *bolt.Tx, name string, opts store.ReadOptions) store.Event {
	e := store.Event{Pod: name}
	var p stored
	err := s.load(tx, name, &p)
	if err == nil {
		e.Metadata, err = p.metadata(tx, name, opts)
	}
	if err != nil && !errors.Is(err, errMissing) {
		e.Metadata, e.Err = nil, s.readErr("watch", name, err)
	}
	return e
}
