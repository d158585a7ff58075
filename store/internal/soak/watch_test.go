//go:build linux

package soak

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"podstore/store"
)

// watcher watches a store, and believes what the batches say.
type watcher struct {
	*place
	what           string
	opts           store.WatchOptions
	slow, restless bool
	r              *rand.Rand
	ending         chan struct{}

	mu      sync.Mutex
	pods    map[string]*store.Metadata
	listing bool
	named   map[string]bool // in the list so far
	number  uint64
}

// watch watches one Pod and all Pods of s. Some watchers are slow, others are cancelled
// or leave, again and again. The result ends them: first each must believe what s holds.
// By then nobody may change s, except for some moment now and then.
func (p *place) watch(what string, s store.MetadataStore, one string) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ending := make(chan struct{})
	var watchers []*watcher
	var running sync.WaitGroup
	for _, pods := range [][]string{nil, {one}} {
		for kind := range 4 {
			w := &watcher{place: p, opts: store.WatchOptions{Pods: pods}, slow: kind == 1, restless: kind == 2, r: p.random(), ending: ending}
			w.opts.OmitManifest = w.r.IntN(2) == 0
			w.what = fmt.Sprintf("%s: a watch %+v, slow: %v, restless: %v", what, w.opts, w.slow, w.restless)
			watchers = append(watchers, w)
			running.Go(func() { w.run(ctx, s) })
		}
	}
	return func() {
		close(ending)
		for _, w := range watchers {
			w.compare(s)
		}
		cancel()
		running.Wait()
	}
}

func (w *watcher) run(ctx context.Context, s store.MetadataStore) {
	for ctx.Err() == nil {
		w.count.watches.Add(1)
		err := w.once(ctx, s)
		if errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnusable) { // until the next server
			w.pause(ctx, 100*time.Millisecond)
		} else if err != nil && ctx.Err() == nil {
			w.wrong("%s ended: %v", w.what, err)
			return
		}
	}
}

// once watches until the context ends. A restless watcher is cancelled at any moment
// before, or leaves.
func (w *watcher) once(ctx context.Context, s store.MetadataStore) error {
	left := -1
	if w.restless && !w.ends() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(w.r.IntN(3000))*time.Millisecond)
		defer cancel()
		if w.r.IntN(2) == 0 {
			left = 1 + w.r.IntN(20)
		}
	}
	w.mu.Lock()
	w.pods, w.listing, w.named, w.number = map[string]*store.Metadata{}, true, map[string]bool{}, 0
	w.mu.Unlock()
	for b, err := range store.Watch(ctx, s, w.opts) {
		if err != nil {
			if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
				err = nil
			}
			return err
		}
		w.take(b)
		if w.slow {
			w.pause(ctx, time.Second)
		}
		if left--; left == 0 {
			return nil
		}
	}
	if ctx.Err() == nil {
		w.wrong("%s ended without an error", w.what)
	}
	return nil
}

func (w *watcher) ends() bool {
	select {
	case <-w.ending:
		return true
	default:
		return false
	}
}

// pause sleeps for most often much less than d, but no longer at the end.
func (w *watcher) pause(ctx context.Context, d time.Duration) {
	if w.r.IntN(10) == 0 {
		d *= 5
	}
	select {
	case <-time.After(time.Duration(w.r.Int64N(int64(d)))):
	case <-w.ending:
	case <-ctx.Done():
	}
}

func (w *watcher) take(b store.Batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count.batches.Add(1)
	if b.Resync {
		w.count.resyncs.Add(1)
		w.listing, w.named, w.number = true, map[string]bool{}, 0
	}
	for _, e := range b.Events {
		w.named[e.Pod] = true
		was := w.pods[e.Pod]
		switch {
		case e.Err != nil:
			w.wrong("%s gives an error: %v", w.what, e.Err)
		case e.Metadata == nil:
			delete(w.pods, e.Pod)
			continue
		case !w.listing && was != nil && e.Metadata.Version.Revision.Number < was.Version.Revision.Number:
			w.wrong("%s gives %q with number %d after %d", w.what, e.Pod, e.Metadata.Version.Revision.Number, was.Version.Revision.Number)
		}
		w.pods[e.Pod] = e.Metadata
	}
	if !b.Synced {
		return
	}
	if w.listing {
		maps.DeleteFunc(w.pods, func(name string, _ *store.Metadata) bool { return !w.named[name] })
	}
	if b.Number < w.number {
		w.wrong("%s says number %d after %d", w.what, b.Number, w.number)
	}
	w.listing, w.number = false, b.Number
}

// compare waits until the watcher believes what s holds.
func (w *watcher) compare(s store.MetadataStore) {
	var differ string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		held := map[string]*store.Metadata{}
		for m, err := range store.All(context.Background(), s, store.ReadOptions{OmitManifest: w.opts.OmitManifest, OmitReclaimed: true}) {
			if err != nil {
				w.wrong("%s: %v", w.what, err)
				return
			}
			if w.opts.Pods == nil || w.opts.Pods[0] == m.PodName {
				held[m.PodName] = m
			}
		}
		w.mu.Lock()
		differ = different(w.pods, held)
		if w.listing {
			differ = "the list is not complete"
		}
		w.mu.Unlock()
		if differ == "" {
			w.count.believed.Add(int64(len(held)))
			return
		}
	}
	w.wrong("%s: for a minute it differs from the store: %s", w.what, differ)
}

func different(believed, held map[string]*store.Metadata) string {
	for name, m := range held {
		switch b := believed[name]; {
		case b == nil:
			return fmt.Sprintf("%q is missing", name)
		case !b.Equal(m):
			return fmt.Sprintf("%q differs in %s", name, b.Diff(m))
		case b.Version.Revision != m.Version.Revision:
			return fmt.Sprintf("%q is at revision %v, not %v", name, b.Version.Revision, m.Version.Revision)
		}
	}
	for name := range believed {
		if held[name] == nil {
			return fmt.Sprintf("%q is gone", name)
		}
	}
	return ""
}

// atMost fails the soak if for half a minute there are more than so many.
func (p *place) atMost(most int, what string, count func() int) {
	n := 0
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if n = count(); n <= most {
			return
		}
	}
	p.wrong("%d %s are left, expected at most %d", n, what, most)
}

// descriptors counts what a process has open, of one kind or of all.
func descriptors(pid any, kind string) int {
	n := 0
	paths, _ := filepath.Glob(fmt.Sprintf("/proc/%v/fd/*", pid))
	for _, path := range paths {
		if to, err := os.Readlink(path); err == nil && strings.HasPrefix(to, kind) {
			n++
		}
	}
	return n
}
