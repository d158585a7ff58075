package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"podstore/store"
)

// WatchRun makes a random history on a store while others watch it. Afterwards it
// checks what they got: all of what happened, and in that order. The store must keep
// numbers, change several Pods at once, remove references, and be watchable.
//
//	run := storetest.NewWatchRun(t, pods, rand.New(rand.NewPCG(seed, 0)))
//	run.Watch(pods, 5)
//	run.Write([]store.MetadataStore{pods}, 4, 100) // meanwhile the test may disturb the store
//	run.End()
//
// The number of each change puts the history in order, so writers and watchers may use
// different handles of the same data.
type WatchRun struct {
	// Unsure: a change may return an error although the store makes it, now or later.
	// The writers then find out and go on. Without Unsure, such an error fails the
	// test.
	Unsure bool
	// Dangling is Backend.Dangling. With it, the writers remove no references.
	Dangling bool

	t       testing.TB
	rand    *rand.Rand
	began   uint64 // the number of the first moment: histories of one store differ in it
	moments []moment
	running sync.WaitGroup
	ending  chan struct{}

	mu        sync.Mutex
	acked     uint64 // the highest number that a change of this epoch has returned
	made      []madeChange
	watchers  []*runWatcher
	nextWrite int
}

// moment is the store after a change. Numbers rise within an epoch. It ends when
// someone puts older data back.
type moment struct {
	epoch  int
	number uint64
	pods   map[string]*store.Metadata // each with the number that it must have
}

// madeChange is an Apply that was made. An edit counts as the Apply that does the same.
type madeChange struct {
	number    uint64
	changes   []store.Change
	revisions map[string]store.Revision // as returned
}

// runWatcher is one loop and the batches that it got.
type runWatcher struct {
	opts  store.WatchOptions
	epoch int    // the epoch in which it began
	acked uint64 // WatchRun.acked when it began
	what  string

	mu      sync.Mutex
	batches []store.Batch
	current *receiver
	over    bool
}

// NewWatchRun begins with what s holds. Nobody else may change anything in s until End
// has returned.
func NewWatchRun(t testing.TB, s store.MetadataStore, r *rand.Rand) *WatchRun {
	t.Helper()
	first := moment{pods: map[string]*store.Metadata{}}
	for m, err := range store.All(background, s, store.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		first.pods[m.PodName] = m
		first.number = max(first.number, m.Version.Revision.Number)
	}
	return &WatchRun{t: t, rand: r, began: first.number, moments: []moment{first}, acked: first.number, ending: make(chan struct{})}
}

// Watch begins n watches of s, each of another kind: of all Pods or of some, with or
// without manifests, slow or quick. Some end and begin again and again.
func (w *WatchRun) Watch(s store.MetadataStore, n int) {
	for range n {
		opts := store.WatchOptions{OmitManifest: w.rand.IntN(2) == 0}
		if w.rand.IntN(2) == 0 {
			for _, name := range append(watchedPods, "writer-0", "none") {
				if w.rand.IntN(3) > 0 {
					opts.Pods = append(opts.Pods, name)
				}
			}
		}
		slow, restless := w.rand.IntN(3) == 0, w.rand.IntN(3) == 0
		r := rand.New(rand.NewPCG(w.rand.Uint64(), 0))
		w.running.Go(func() {
			for w.watchOnce(s, opts, slow, restless, r) {
			}
		})
	}
}

// watchOnce makes one watch. A restless one ends after some batches. It reports whether
// to begin another one.
func (w *WatchRun) watchOnce(s store.MetadataStore, opts store.WatchOptions, slow, restless bool, r *rand.Rand) bool {
	ctx, cancel := context.WithCancel(background)
	defer cancel()
	rw := &runWatcher{opts: opts, what: fmt.Sprintf("of %q, without manifests: %v, slow: %v", opts.Pods, opts.OmitManifest, slow), current: newReceiver(opts)}
	w.mu.Lock()
	select {
	case <-w.ending:
		w.mu.Unlock()
		return false // the run ends; the other watchers see the last state
	default:
	}
	rw.epoch, rw.acked = w.moments[len(w.moments)-1].epoch, w.acked
	w.watchers = append(w.watchers, rw)
	w.mu.Unlock()
	go func() { // so that End need not wait for the next batch
		select {
		case <-w.ending:
		case <-ctx.Done():
		}
		cancel()
	}()
	left := -1
	if restless {
		left = 1 + r.IntN(20)
	}
	for b, err := range store.Watch(ctx, s, opts) {
		if err != nil {
			if ctx.Err() == nil || !errors.Is(err, context.Canceled) {
				w.t.Errorf("a watch %s ended: %v", rw.what, err)
			}
			break
		}
		rw.take(w.t, b)
		if slow {
			time.Sleep(time.Duration(r.IntN(8)) * time.Millisecond)
		}
		if left--; left == 0 {
			cancel()
		}
	}
	rw.mu.Lock()
	defer rw.mu.Unlock()
	rw.over = true
	return restless
}

func (rw *runWatcher) take(t testing.TB, b store.Batch) {
	rw.mu.Lock()
	defer rw.mu.Unlock()
	rw.batches = append(rw.batches, b)
	if err := rw.current.take(b); err != nil {
		t.Errorf("a watch %s: %v", rw.what, err)
	}
}

// Write makes so many writers make so many changes each through the stores. It returns
// when they are done.
func (w *WatchRun) Write(stores []store.MetadataStore, writers, changes int) {
	w.t.Helper()
	var all sync.WaitGroup
	for range writers {
		wr := &writer{run: w, s: stores[w.nextWrite%len(stores)], Rand: rand.New(rand.NewPCG(w.rand.Uint64(), 0)), id: w.nextWrite, pending: map[string]madeChange{}}
		w.nextWrite++
		all.Go(func() {
			for range changes {
				if !wr.change() {
					return
				}
			}
			if w.Unsure {
				wr.settle()
			}
		})
	}
	all.Wait()
	w.replay()
}

// Moment returns the index of the store's present state.
func (w *WatchRun) Moment() int { return len(w.moments) - 1 }

// Restored tells the run that the store was put back to a former moment, as by an older
// file. Nobody may be writing.
func (w *WatchRun) Restored(to int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.moments[to]
	m.epoch = w.moments[len(w.moments)-1].epoch + 1
	w.moments = append(w.moments, m)
	w.acked = m.number
}

// End waits until every watch has the last state, and ends them. It fails the test if
// they got anything that was not so.
func (w *WatchRun) End() {
	w.t.Helper()
	final := w.moments[len(w.moments)-1]
	deadline := time.Now().Add(patience)
	w.mu.Lock()
	watchers := slices.Clone(w.watchers)
	w.mu.Unlock()
	for _, rw := range watchers {
		for !rw.has(final) {
			if time.Now().After(deadline) {
				rw.mu.Lock()
				w.t.Errorf("a watch %s has not got the last state: %s", rw.what, difference(rw.current, final))
				rw.mu.Unlock()
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	w.mu.Lock()
	close(w.ending)
	w.mu.Unlock()
	w.running.Wait()
	for _, rw := range w.watchers {
		if err := w.check(rw); err != nil {
			w.t.Errorf("a watch %s: %v", rw.what, err)
		}
	}
}

func (w *WatchRun) add(c madeChange) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.made = append(w.made, c)
	w.acked = max(w.acked, c.number)
}
