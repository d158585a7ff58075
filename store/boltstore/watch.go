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

// Watch yields every Pod, then what changes: see [store.Watcher]. Changes within some
// milliseconds come in one batch. A receiver that has missed more than 2,048 of the Pods
// that it watches, or 8 MiB of manifests, gets a Resync and all Pods again. So does one
// that did not receive while more than 16,384 Pods of the store changed, watched or not.
func (s *Store) Watch(ctx context.Context, opts store.WatchOptions) iter.Seq2[store.Batch, error] {
	return func(yield func(store.Batch, error) bool) {
		if err := s.watch(ctx, opts, func(b store.Batch) bool { return yield(b, nil) }); err != nil {
			yield(store.Batch{}, err)
		}
	}
}

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
	if opts.Pods != nil {
		w.names = make(map[string]bool, len(opts.Pods))
		for _, name := range opts.Pods {
			w.names[name] = true
		}
	}
	s.addWatcher(w)
	defer s.removeWatcher(w)
	more, err := s.list(ctx, w, false, yield)
	for more && err == nil {
		var b store.Batch
		var ok bool
		switch b, ok, err = s.next(ctx, w); {
		case err != nil:
		case ok:
			more = yield(b)
		default:
			more, err = s.list(ctx, w, true, yield)
		}
	}
	return err
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
	if !l.running {
		l.running, l.batch, l.place = true, nil, l.start(s)
		go s.publish()
	}
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
	if len(l.watchers) == 0 {
		nudge(l.work)
	}
}

// list yields all watched Pods, in pieces. Then it yields what changed meanwhile, in
// pieces as long as that is much. The last batch completes one moment.
func (s *Store) list(ctx context.Context, w *watcher, resync bool, yield func(store.Batch) bool) (more bool, err error) {
	for {
		place := s.changes.begin(s)
		names, lost, err := s.watchedNames(ctx, w)
		if err != nil {
			return false, err
		}
		for known := false; ; known = true {
			for len(names) > 0 || resync {
				var b store.Batch
				if b, names, err = s.piece(ctx, w, names, known); err != nil {
					return false, err
				}
				b.Resync, resync = resync, false
				if (len(b.Events) > 0 || b.Resync) && !yield(b) {
					return false, nil
				}
			}
			var b store.Batch
			if b, names, err = s.changedSince(w, place); err == errLogTooShort {
				break
			} else if err != nil {
				return false, err
			}
			if len(names) == 0 {
				b.Synced = true
				if lost != nil {
					b.Events = append(b.Events, store.Event{Err: lost})
				}
				return yield(b), nil
			}
			s.changes.mu.Lock()
			place = w.place
			s.changes.mu.Unlock()
		}
		resync = true
	}
}

// watchedNames returns the names to list, and the error for Pods that have vanished
// from the file.
func (s *Store) watchedNames(ctx context.Context, w *watcher) (names []string, lost, err error) {
	if w.opts.Pods != nil {
		if s.recordErr != nil {
			lost = &store.Error{Op: "watch", Path: s.path, Kind: store.ErrCorrupt, Err: s.recordErr}
		}
		return w.opts.Pods, lost, nil
	}
	names, err = s.List(ctx)
	if errors.Is(err, store.ErrCorrupt) {
		return names, err, nil
	}
	return names, nil, err
}

// piece reads some of the names and returns the rest. It leaves out a Pod that does not
// exist, unless the watcher may have it already.
func (s *Store) piece(ctx context.Context, w *watcher, names []string, known bool) (b store.Batch, rest []string, err error) {
	if err := ctx.Err(); err != nil {
		return b, nil, err
	}
	err = s.view("watch", "", func(tx *bolt.Tx) error {
		size := 0
		for len(names) > 0 && len(b.Events) < listPods && size < listBytes {
			e := s.event(tx, names[0], w.readOptions())
			if names = names[1:]; known || e.Metadata != nil || e.Err != nil {
				b.Events = append(b.Events, e)
			}
			if e.Metadata != nil {
				size += len(e.Metadata.Manifest)
			}
		}
		return nil
	})
	return b, names, err
}

// changedSince returns what changed behind a place, as of one moment, and moves the
// watcher there. If that is too much for one batch, it returns the names instead.
func (s *Store) changedSince(w *watcher, place int64) (b store.Batch, names []string, err error) {
	err = s.view("watch", "", func(tx *bolt.Tx) error {
		var ok bool
		if names, ok = s.changes.since(place, w.wants); !ok {
			return errLogTooShort
		}
		if b.Events, ok = s.changed(tx, names, place, w.readOptions()); ok {
			names = nil
		}
		place = int64(tx.ID())
		return nil
	})
	b.Number = s.numberOf(place)
	s.changes.mu.Lock()
	w.place = place
	s.changes.mu.Unlock()
	return b, names, err
}

// next waits for changes. It reports false if the watcher must list again.
func (s *Store) next(ctx context.Context, w *watcher) (b store.Batch, ok bool, err error) {
	l := &s.changes
	for {
		l.mu.Lock()
		p, place, bookmark, err := l.batch, w.place, false, w.err
		take := p != nil && p.from == place && !p.tooLarge
		behind := !take && place < l.place
		switch {
		case take:
			w.place = p.to
		case !behind && w.bookmark:
			w.bookmark, bookmark = false, true
		case !behind:
			w.idle = true
		}
		l.mu.Unlock()
		switch {
		case err != nil:
			return b, false, err
		case take:
			b = store.Batch{Events: p.eventsFor(w), Synced: true, Number: s.numberOf(p.to)}
		case behind:
			var names []string
			if b, names, err = s.changedSince(w, place); err == errLogTooShort || len(names) > 0 {
				return b, false, nil
			} else if err != nil {
				return b, false, err
			}
			b.Synced = true
		case bookmark:
			return store.Batch{Synced: true, Number: s.numberOf(place)}, true, nil
		default:
			select {
			case <-w.wake:
			case <-ctx.Done():
				return b, false, ctx.Err()
			}
			continue
		}
		if len(b.Events) > 0 {
			return b, true, nil
		}
	}
}

// eventsFor returns those events that a watcher asked for.
func (p *published) eventsFor(w *watcher) []store.Event {
	events := p.events
	if w.opts.OmitManifest {
		events = p.bare
	}
	if w.names == nil {
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
