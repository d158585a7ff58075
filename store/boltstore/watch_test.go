package boltstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
	"podstore/store/storetest"
)

// follow keeps a copy of what is watched until the context ends.
func follow(t *testing.T, ctx context.Context, s *Store, opts store.WatchOptions, each func(pods map[string]store.Event, b store.Batch) bool, every ...func(b store.Batch)) {
	t.Helper()
	pods := map[string]store.Event{}
	list := true
	named := map[string]bool{}
	for b, err := range s.Watch(ctx, opts) {
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			return
		}
		for _, f := range every {
			f(b)
		}
		if b.Resync {
			list, named = true, map[string]bool{}
		}
		for _, e := range b.Events {
			named[e.Pod] = true
			if pods[e.Pod] = e; e.Metadata == nil && e.Err == nil {
				delete(pods, e.Pod)
			}
		}
		if b.Synced && list {
			for name := range pods {
				if !named[name] {
					delete(pods, name)
				}
			}
			list = false
		}
		if !list && !each(pods, b) {
			return
		}
	}
}

// Writers keep two Pods equal in one Apply; no watcher may see them differ, and each
// sees the last state.
func TestWatchSeesMoments(t *testing.T) {
	s := openNew(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var watchers, writers sync.WaitGroup
	const pairs, rounds = 8, 200
	for i := range 6 {
		opts := store.WatchOptions{OmitManifest: i%2 == 0}
		if i > 2 {
			opts.Pods = []string{"0-a", "0-b", "3-a", "3-b", "none"}
		}
		watchers.Go(func() {
			follow(t, ctx, s, opts, func(pods map[string]store.Event, b store.Batch) bool {
				last := true
				for p := range pairs {
					x, y := pods[fmt.Sprint(p, "-a")].Metadata, pods[fmt.Sprint(p, "-b")].Metadata
					if opts.Pods != nil && p != 0 && p != 3 {
						continue
					}
					if (x == nil) != (y == nil) || x != nil && x.Active.SessionID != y.Active.SessionID {
						t.Errorf("watcher sees half of a change: %v %v", x, y)
						return false
					}
					last = last && x != nil && x.Active.SessionID == store.SessionID{255}
				}
				return !last
			})
		})
	}
	for p := range pairs {
		writers.Go(func() {
			for n := range rounds {
				op := store.Op(store.SetSegment{Active: store.PendingSegment(store.SessionID{byte(n)})})
				if n%10 == 9 {
					op = store.Delete{}
				}
				if n == rounds-1 {
					op = store.SetSegment{Active: store.PendingSegment(store.SessionID{255})}
				}
				changes := []store.Change{{Pod: fmt.Sprint(p, "-a"), Op: op}, {Pod: fmt.Sprint(p, "-b"), Op: op}}
				if _, err := s.Apply(ctx, changes, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	watchers.Wait()
}

// A watcher that falls behind by more than a batch, or further than the log reaches
// back, lists again and has the last state. A watcher of a few names goes on. If no
// more Pods change than a batch holds, no number of changes makes anyone list again.
func TestWatchFallsBehind(t *testing.T) {
	for _, c := range []struct {
		name          string
		pods, changes int
		all, some     bool // list again
	}{
		{"few Pods", 300, 3 * logNames, false, false},
		{"more than a batch", batchEvents + 100, batchEvents + 100, true, false},
		{"more than the log", 2*logNames + 100, 2*logNames + 100, true, true},
	} {
		for _, watched := range [][]string{nil, {"1", "2"}} {
			if watched == nil && c.all && c.some {
				continue // that is the case before
			}
			t.Run(fmt.Sprint(c.name, watched), func(t *testing.T) {
				s := openNew(t)
				want := map[string]store.Revision{}
				overtake := func() {
					for done := 0; done < c.changes; {
						changes := make([]store.Change, min(c.pods, 4000))
						for i := range changes {
							changes[i] = store.Change{Pod: fmt.Sprint(done % c.pods), Op: store.SetField{Field: "n", Value: fmt.Append(nil, done)}}
							done++
						}
						applied, err := s.Apply(t.Context(), changes, nil)
						if err != nil {
							t.Fatal(err)
						}
						for _, a := range applied {
							want[a.Pod] = a.Version.Revision
						}
					}
				}
				n, again := 0, false
				follow(t, t.Context(), s, store.WatchOptions{Pods: watched}, func(got map[string]store.Event, b store.Batch) bool {
					if n++; n == 1 {
						overtake()
						return true
					}
					names := watched
					if names == nil {
						names = slices.Collect(maps.Keys(want))
					}
					for _, name := range names {
						if m := got[name].Metadata; m == nil || m.Version.Revision != want[name] {
							return true
						}
					}
					return false
				}, func(b store.Batch) { again = again || b.Resync })
				if expected := map[bool]bool{true: c.all, false: c.some}[watched == nil]; again != expected {
					t.Errorf("it listed again: %v, expected %v", again, expected)
				}
			})
		}
	}
}

func TestWatchEnds(t *testing.T) {
	s := openNew(t)
	if err := store.Do(t.Context(), s, "a", store.AddPeer{PodName: "b"}); err != nil {
		t.Fatal(err)
	}
	for b, err := range s.Watch(t.Context(), store.WatchOptions{Pods: []string{"a/b"}}) {
		if !errors.Is(err, store.ErrInvalidName) {
			t.Errorf("%v %v", b, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for b, err := range s.Watch(ctx, store.WatchOptions{}) {
		if last = err; b.Synced {
			cancel()
		}
	}
	if !errors.Is(last, context.Canceled) {
		t.Error(last)
	}
	for b, err := range s.Watch(t.Context(), store.WatchOptions{}) {
		if last = err; b.Synced {
			go s.Close()
		}
	}
	if !errors.Is(last, store.ErrClosed) {
		t.Error(last)
	}
}

// A damaged Pod is an event, and so is that Pods have vanished.
func TestWatchOfADamagedFile(t *testing.T) {
	s := open(t, spoiled(t, func(tx *bolt.Tx) error {
		return errors.Join(tx.DeleteBucket([]byte("b")), flip("a", "peers")(tx))
	}), nil)
	for _, pods := range [][]string{nil, {"a", "b", "c"}} {
		follow(t, t.Context(), s, store.WatchOptions{Pods: pods}, func(got map[string]store.Event, b store.Batch) bool {
			if err := got["a"].Err; !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("a is %v", err)
			}
			if got["c"].Metadata == nil {
				t.Error("c is not given")
			}
			if err := got[""].Err; !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("nothing says that a Pod has vanished, but %v", err)
			}
			return false
		})
	}
}

// A commit that fails ends the watches, and is not shown.
func TestWatchOfAFailedCommit(t *testing.T) {
	s := openNew(t)
	ctx := t.Context()
	if err := store.Do(ctx, s, "a", store.AddPeer{PodName: "b"}); err != nil {
		t.Fatal(err)
	}
	var last error
	for b, err := range s.Watch(ctx, store.WatchOptions{}) {
		last = err
		for _, e := range b.Events {
			if e.Metadata != nil && e.Metadata.HasPeer("x") {
				t.Error("a change that failed is shown")
			}
		}
		if b.Synced {
			s.file.Close() // every write of bbolt now fails
			if err := store.Do(ctx, s, "a", store.AddPeer{PodName: "x"}); !errors.Is(err, store.ErrUnusable) {
				t.Error(err)
			}
		}
	}
	if !errors.Is(last, store.ErrUnusable) {
		t.Errorf("the watch ended with %v", last)
	}
	closes(t, s)
}

// Watches begin and end while others write. Each gets every change without the help of
// a bookmark. When all have ended, nothing of them is left.
func TestWatchesComeAndGo(t *testing.T) {
	defer func(pause time.Duration) { bookmarkPause = pause }(bookmarkPause)
	bookmarkPause = time.Hour
	const watchers = 2
	rounds := 50
	if os.Getenv("PODSTORE_LONG") != "" {
		rounds = 10_000 / watchers
	}
	s := openNew(t)
	goroutines, files := runtime.NumGoroutine(), openFiles()
	var all sync.WaitGroup
	for i := range watchers {
		all.Go(func() {
			pod := fmt.Sprint("pod-", i)
			opts := store.WatchOptions{OmitManifest: i%2 == 0}
			if i%3 > 0 {
				opts.Pods = []string{pod}
			}
			for n := range rounds {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				var wrote store.Revision
				follow(t, ctx, s, opts, func(pods map[string]store.Event, _ store.Batch) bool {
					if wrote.IsZero() {
						applied, err := s.Apply(ctx, []store.Change{{Pod: pod, Op: store.SetField{Field: "n", Value: fmt.Append(nil, n)}}}, nil)
						if err != nil {
							t.Error(err)
							return false
						}
						wrote = applied[0].Version.Revision
						return true
					}
					m := pods[pod].Metadata
					return m == nil || m.Version.Revision != wrote
				})
				if ctx.Err() != nil {
					t.Error("a watcher is not woken")
				}
				cancel()
			}
		})
	}
	all.Wait()
	l := &s.changes
	left := func() string {
		l.mu.Lock()
		defer l.mu.Unlock()
		if n := runtime.NumGoroutine(); n > goroutines || l.running || l.batch != nil || len(l.watchers)+len(l.byName)+l.all+l.manifests > 0 {
			return fmt.Sprintf("%d goroutines instead of %d, that of the publisher %v, a batch %v, %d watchers, %d names, %d of all, %d with manifests",
				n, goroutines, l.running, l.batch, len(l.watchers), len(l.byName), l.all, l.manifests)
		}
		return ""
	}
	for deadline := time.Now().Add(10 * time.Second); left() != ""; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("left are", left())
		}
	}
	if n := openFiles(); n > files {
		t.Errorf("%d descriptors are open, before there were %d", n, files)
	}
}

// openFiles returns the number of descriptors of the process, or 0 if the system does
// not tell.
func openFiles() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}

// A watcher that sleeps costs its own goroutine and little else.
func TestSleepingWatchers(t *testing.T) { storetest.SleepingWatchers(t, openNew(t), 1000) }
