package boltstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"podstore/store"
)

// follow keeps a copy of what is watched until the context ends.
func follow(t *testing.T, ctx context.Context, s *Store, opts store.WatchOptions, each func(pods map[string]store.Event, b store.Batch) bool) {
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

// A watcher that the log passes lists again, and has the last state.
func TestWatchFallsBehind(t *testing.T) {
	s := openNew(t)
	ctx := t.Context()
	const pods = 300
	resyncs := 0
	n := 0
	want := map[string]store.Revision{}
	follow(t, ctx, s, store.WatchOptions{}, func(got map[string]store.Event, b store.Batch) bool {
		if n++; n == 1 {
			for len(want) < pods || s.changes.now() < 2*logEntries {
				changes := make([]store.Change, 100)
				for i := range changes {
					changes[i] = store.Change{Pod: fmt.Sprint(rand.IntN(pods)), Op: store.SetField{Field: "n", Value: fmt.Appendf(nil, "%d", rand.Uint32())}}
				}
				applied, err := s.Apply(ctx, changes, nil)
				if err != nil {
					t.Fatal(err)
				}
				for _, a := range applied {
					want[a.Pod] = a.Version.Revision
				}
			}
			return true
		}
		if b.Resync || n == 2 {
			resyncs++
		}
		if len(got) < len(want) {
			return true
		}
		for name, r := range want {
			if got[name].Metadata.Version.Revision != r {
				return true
			}
		}
		return false
	})
	if resyncs == 0 {
		t.Error("the watcher never listed again")
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
