package boltstore_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"podstore/store"
	"podstore/store/boltstore"
)

var queueSeed = flag.Uint64("queue.seed", 0, "seed of the calls of TestQueue; 0 picks one")

// bubble opens a store in a bubble of time: an edit that runs for a minute takes no
// time, and a call that waits for ever fails the test.
func bubble(t *testing.T, f func(t *testing.T, s *boltstore.Store, log *strings.Builder)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pods.db")
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		s, err := boltstore.Open(path, &boltstore.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		f(t, s, &log)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := boltstore.Check(context.Background(), path, nil, func(f boltstore.Finding) { t.Errorf("check finds: %s %s", f.Pod, f.Reason) }); err != nil {
		t.Error(err)
	}
}

// slowly returns an edit that takes its time and adds a peer.
func slowly(d time.Duration, peer string) func(*store.Metadata) error {
	return func(m *store.Metadata) error {
		time.Sleep(d)
		return m.AddPeer(peer)
	}
}

// A change that waits behind a slow edit leaves at once when its context ends, and is
// not made. A change that its leader has taken is made, whatever its context says.
func TestQueueIsLeftWithTheContext(t *testing.T) {
	bubble(t, func(t *testing.T, s *boltstore.Store, log *strings.Builder) {
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := s.Update(ctx, "a", slowly(time.Minute, "slow")); err != nil {
				t.Errorf("an edit that had begun when its context ended: %v", err)
			}
		})
		synctest.Wait()
		for i := range 50 {
			wg.Go(func() {
				limit := time.Duration(1+i) * time.Second
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				if err := store.Do(ctx, s, "a", store.AddPeer{PodName: fmt.Sprint("gone-", i)}); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("a change that waited: %v", err)
				}
				if took := time.Since(start); took != limit {
					t.Errorf("it left after %v, its context ended after %v", took, limit)
				}
			})
		}
		wg.Go(func() {
			if err := store.Do(t.Context(), s, "a", store.AddPeer{PodName: "patient"}); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		if took := time.Since(start); took < time.Minute || took > time.Minute+time.Second {
			t.Errorf("all was done after %v", took)
		}
		m, err := s.Read(t.Context(), "a")
		if err != nil || len(m.Peers) != 2 || !m.HasPeer("slow") || !m.HasPeer("patient") {
			t.Error(m, err)
		}
		synctest.Wait() // for the goroutine that wrote the log
		if said := log.String(); strings.Count(said, "runs for long") != 1 || !strings.Contains(said, `pod \"a\"`) {
			t.Errorf("the log: %s", said)
		}
	})
}

// Close waits for a group that runs and for what is queued behind it.
func TestCloseWaitsForTheQueue(t *testing.T) {
	bubble(t, func(t *testing.T, s *boltstore.Store, _ *strings.Builder) {
		results := make(chan error, 2)
		go func() {
			_, err := s.Update(t.Context(), "a", slowly(time.Minute, "x"))
			results <- err
		}()
		synctest.Wait()
		go func() { results <- store.Do(t.Context(), s, "b", store.AddPeer{PodName: "x"}) }()
		synctest.Wait()
		start := time.Now()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took < time.Minute || took > 2*time.Minute {
			t.Errorf("Close took %v", took)
		}
		for range 2 {
			if err := <-results; err != nil && !errors.Is(err, store.ErrClosed) {
				t.Error(err)
			}
		}
		if err := store.Do(t.Context(), s, "b", store.AddPeer{PodName: "x"}); !errors.Is(err, store.ErrClosed) {
			t.Errorf("a change after Close: %v", err)
		}
	})
}

// Callers have random contexts, and edits that take long, fail, panic or end their
// goroutine. Every call returns. What was acknowledged is there once, and nothing else
// is.
func TestQueue(t *testing.T) {
	rounds := 40
	if os.Getenv("PODSTORE_LONG") != "" {
		rounds = 2000
	}
	seed := *queueSeed
	for seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("to make the same calls: -run '^%s$' -queue.seed=%d", t.Name(), seed)
	bubble(t, func(t *testing.T, s *boltstore.Store, _ *strings.Builder) {
		r := rand.New(rand.NewPCG(seed, 0))
		for round := range rounds {
			pod := fmt.Sprint("pod-", round%4)
			if err := store.Do(t.Context(), s, pod, store.Delete{}); err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			made := map[string]bool{}
			var wg sync.WaitGroup
			callers := 1 + r.IntN(20)
			for i := range callers {
				peer := fmt.Sprint("peer-", i)
				arrives, limit := time.Duration(r.IntN(3000))*time.Millisecond, time.Duration(r.IntN(6000))*time.Millisecond
				takes, how := time.Duration(r.IntN(1000))*time.Millisecond, r.IntN(8)
				wg.Go(func() {
					time.Sleep(arrives)
					ctx, cancel := context.WithTimeout(t.Context(), limit)
					defer cancel()
					err := queueCall(ctx, s, pod, peer, takes, how)
					ok := err == nil
					mu.Lock()
					defer mu.Unlock()
					made[peer] = ok
					if !ok && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, errQueueCall) {
						t.Errorf("round %d, caller %d: %v", round, i, err)
					}
				})
			}
			wg.Wait()
			m, err := s.Read(t.Context(), pod)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				t.Fatal(err)
			}
			for peer, ok := range made {
				if there := m != nil && m.HasPeer(peer); there != ok {
					t.Errorf("round %d: %s was acknowledged %v, and is there %v", round, peer, ok, there)
				}
			}
			if len(made) != callers {
				t.Errorf("round %d: %d of %d calls returned", round, len(made), callers)
			}
		}
	})
}

var errQueueCall = errors.New("this edit fails")

// queueCall adds a peer in one of several ways, or fails to.
func queueCall(ctx context.Context, s *boltstore.Store, pod, peer string, takes time.Duration, how int) (err error) {
	if how < 3 {
		return store.Do(ctx, s, pod, store.AddPeer{PodName: peer})
	}
	edit := slowly(takes, peer)
	switch how {
	case 3:
		edit = func(m *store.Metadata) error { time.Sleep(takes); m.Peers = nil; return errQueueCall }
	case 4:
		edit = func(m *store.Metadata) error { time.Sleep(takes); m.Peers = nil; panic(errQueueCall) }
		defer func() {
			if p := recover(); p != nil {
				err = p.(error)
			}
		}()
	}
	_, err = s.Update(ctx, pod, edit)
	return err
}
