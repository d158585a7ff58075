package socketstore_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/socketstore"
	"podstore/store/storetest"
)

// served here, so that what both ends hold can be counted.
func serveHere(t *testing.T, opts *socketstore.ServerOptions) *socketstore.Client {
	t.Helper()
	dir := shortDir(t)
	stop, err := serve(filepath.Join(dir, "pods.db"), filepath.Join(dir, "s"), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return dial(t, filepath.Join(dir, "s"), nil)
}

// watchOnce begins a watch and ends it: when it is synced, or while it waits.
func watchOnce(t *testing.T, c *socketstore.Client, waiting bool) {
	ctx, cancel := context.WithCancel(background)
	defer cancel()
	for _, err := range c.Watch(ctx, store.WatchOptions{}) {
		switch {
		case err != nil && ctx.Err() == nil:
			t.Error(err)
		case waiting:
			cancel()
		default:
			return
		}
	}
}

// Watches that have begun and ended leave nothing behind, on neither side.
func TestWatchesLeaveNothing(t *testing.T) {
	many := 1000
	if long() {
		many = 10_000
	}
	c := serveHere(t, nil)
	if err := store.Do(background, c, "agent", store.AddPeer{PodName: "x"}); err != nil {
		t.Fatal(err)
	}
	watchOnce(t, c, true)
	settle := func(what func() int, before int) (after int) {
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if after = what(); after <= before || time.Now().After(deadline) {
				return after
			}
		}
	}
	goroutines := func() int { return runtime.NumGoroutine() }
	files := func() int {
		entries, _ := os.ReadDir("/proc/self/fd") // none where the system does not tell
		return len(entries)
	}
	time.Sleep(100 * time.Millisecond)
	n, f := goroutines(), files()
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range many / 4 {
				watchOnce(t, c, (i+g)%2 == 0)
			}
		})
	}
	all.Wait()
	if after := settle(goroutines, n); after > n {
		t.Errorf("%d goroutines, before %d watches %d", after, many, n)
	}
	if after := settle(files, f); after > f {
		t.Errorf("%d descriptors, before %d watches %d", after, many, f)
	}
}

// What a thousand watchers that sleep cost, both ends together.
func TestSleepingWatchers(t *testing.T) {
	const n = 1000
	c := serveHere(t, &socketstore.ServerOptions{MaxConns: n + 10, MaxWatches: n})
	storetest.SleepingWatchers(t, c, n)
}
