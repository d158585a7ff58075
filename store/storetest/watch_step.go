package storetest

import (
	"context"
	"iter"
	"slices"
	"time"

	"podstore/store"
)

// watching is a watch that a test takes batch by batch.
type watching struct {
	*subject
	*receiver
	cancel context.CancelFunc
	next   func() (store.Batch, error, bool)
	waits  bool // next is running
}

// watch begins a watch that ends with the test.
func (s *subject) watch(opts store.WatchOptions) *watching {
	ctx, cancel := context.WithCancel(background)
	w := &watching{subject: s, receiver: newReceiver(opts), cancel: cancel}
	var stop func()
	w.next, stop = iter.Pull2(store.Watch(ctx, s.MetadataStore, opts))
	s.atEnd = append(s.atEnd, func() {
		if cancel(); !w.waits {
			stop()
		}
	})
	return w
}

// pull waits for the next batch, error or end.
func (w *watching) pull() (b store.Batch, err error, ok bool) {
	w.Helper()
	w.waits = true
	stuck := w.await(inBackground(func() error { b, err, ok = w.next(); return nil }), "a watcher is given nothing any more")
	w.waits = false
	if stuck != nil {
		w.Fatal(stuck)
	}
	return b, err, ok
}

func (w *watching) batch() store.Batch {
	w.Helper()
	b, err, ok := w.pull()
	if !ok || err != nil {
		w.Fatalf("the watch ended: %v", err)
	}
	if err := w.take(b); err != nil {
		w.Errorf("a watcher is given what it should not be: %v", err)
	}
	return b
}

// sync takes batches until the watcher has one moment, and returns the events.
func (w *watching) sync() (events []store.Event) {
	w.Helper()
	for {
		b := w.batch()
		if events = append(events, b.Events...); b.Synced {
			return events
		}
	}
}

// until takes batches until a condition holds. It calls met only when the watcher has
// one moment.
func (w *watching) until(met func() bool) {
	w.Helper()
	for deadline := time.Now().Add(patience); w.listing || !met(); w.sync() {
		if time.Now().After(deadline) {
			w.Fatalf("the watcher is at number %d, with Pods %.300q, and is not given what it waits for", w.number, sortedKeys(w.pods))
		}
	}
}

// reach takes batches until the watcher has reached the number. It then compares the
// watcher with the store.
func (w *watching) reach(number uint64) {
	w.Helper()
	w.until(func() bool { return w.number >= number })
	w.isStore()
}

// isStore compares the watcher with the store.
func (w *watching) isStore() {
	w.Helper()
	want := map[string]*store.Metadata{}
	for name, m := range w.all(store.ReadOptions{OmitManifest: w.opts.OmitManifest, OmitReclaimed: true}) {
		if w.opts.Pods == nil || slices.Contains(w.opts.Pods, name) {
			want[name] = m
		}
	}
	if got := sortedKeys(w.pods); !slices.Equal(got, sortedKeys(want)) {
		w.Errorf("the watcher has Pods %.500q, the store %.500q", got, sortedKeys(want))
		return
	}
	for name, e := range w.pods {
		if why := mismatch(e.Metadata, want[name]); why != "" {
			w.Errorf("the watcher's %.80q: %s", name, why)
		} else if e.Metadata.Version != want[name].Version {
			w.Errorf("the watcher's %.80q has version %v, the store's %v", name, e.Metadata.Version, want[name].Version)
		}
	}
}

// isAt reports whether the watcher has a Pod at a revision.
func (w *watching) isAt(pod string, r store.Revision) bool {
	m := w.pods[pod].Metadata
	return m != nil && m.Version.Revision == r
}

// lacks reports whether the watcher has no such Pod.
func (w *watching) lacks(pod string) bool {
	_, ok := w.pods[pod]
	return !ok
}

// over takes the next batch or error. It reports whether the watch has ended; the only
// error allowed is want.
func (w *watching) over(want error) bool {
	w.Helper()
	b, err, ok := w.pull()
	switch {
	case !ok:
		w.Fatalf("the watch ended without an error, want %v", want)
	case err == nil:
		if err := w.take(b); err != nil {
			w.Error(err)
		}
		return false
	}
	w.is("the watch", err, want)
	if _, _, ok := w.pull(); ok {
		w.Error("the watch goes on after an error")
	}
	return true
}

// ends takes the next item, which must be the error that ends the watch.
func (w *watching) ends(want error) {
	w.Helper()
	if !w.over(want) {
		w.Errorf("the watch does not end with %v", want)
	}
}

// last returns the highest number among results.
func last(applied []store.Applied) (number uint64) {
	for _, a := range applied {
		number = max(number, a.Version.Revision.Number)
	}
	return number
}
