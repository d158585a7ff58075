//go:build unix

package etcdstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"podstore/store"
	"podstore/store/etcdstore"
	"podstore/store/storetest"
)

// Members die, freeze and lose their leader, and etcd is compacted. Each watcher gets
// what happened.
func TestWatchMembersFail(t *testing.T) {
	rounds := 1
	if os.Getenv("PODSTORE_LONG") != "" {
		rounds = 10
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	c := newCluster(t, 3, nil)
	opts := &etcdstore.Options{RequestTimeout: time.Second, RetryFor: time.Minute}
	client := newClient(t, nil, c.endpoints...)
	s := newStore(t, client, opts)
	hosts := []store.MetadataStore{s}
	for _, endpoints := range [][]string{c.endpoints, {c.endpoints[0]}, {c.endpoints[1]}} {
		host, err := etcdstore.New(newClient(t, nil, endpoints...), s.Prefix(), opts)
		if err != nil {
			t.Fatal(err)
		}
		hosts = append(hosts, host)
	}
	run := storetest.NewWatchRun(t, s, rand.New(rand.NewPCG(seed, 0)))
	run.Unsure, run.Dangling = true, true
	for _, host := range hosts {
		run.Watch(host, 2)
	}
	meanwhile := func(disturb func()) {
		t.Helper()
		written := make(chan struct{})
		go func() {
			defer close(written)
			run.Write(hosts[:2], 4, 15)
		}()
		time.Sleep(20 * time.Millisecond)
		disturb()
		<-written
	}
	for i := range rounds {
		meanwhile(func() {
			for range 10 {
				compact(t, client)
				time.Sleep(10 * time.Millisecond)
			}
		})
		lead := c.leader(t, client, -1)
		meanwhile(func() {
			c.members[lead].kill()
			compact(t, client)
			c.restart(t, lead)
		})
		lead = c.leader(t, client, -1)
		meanwhile(func() {
			stopProcess(t, c.members[lead])
			defer continueProcess(t, c.members[lead])
			c.leader(t, client, lead)
			compact(t, client)
			time.Sleep(time.Duration(i%4) * time.Second)
		})
		run.Watch(s, 1)
	}
	run.Write(hosts[:2], 2, 5)
	run.End()
	check(t, s)
}

// compact drops all of etcd's history.
func compact(t *testing.T, client *clientv3.Client) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(background, time.Second)
		resp, err := client.Get(ctx, "none")
		if err == nil {
			_, err = client.Compact(ctx, resp.Header.Revision)
		}
		cancel()
		if err == nil || resp != nil && ctx.Err() == nil { // the second: it was compacted already
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// A watcher whose place was compacted while it was away gets the differences.
func TestWatchCompacted(t *testing.T) {
	server := sharedServer(t)
	client := newClient(t, nil, server.endpoints...)
	s := newStore(t, client, nil)
	for i := range 10 {
		put(t, s, &store.Metadata{PodName: fmt.Sprint("pod-", i)})
	}
	ctx, cancel := context.WithTimeout(background, time.Minute)
	defer cancel()
	n := 0
	for b, err := range s.Watch(ctx, store.WatchOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		switch n++; {
		case n == 1:
			if len(b.Events) != 10 || !b.Synced {
				t.Fatalf("the list is %+v", b)
			}
			// While it sleeps, more changes than are kept for it, and nothing is left of
			// them.
			for i := range 100 {
				changes := make([]store.Change, 20)
				for k := range changes {
					changes[k] = store.Change{Pod: fmt.Sprint("more-", i, "-", k), Op: store.AddPeer{PodName: "x"}}
				}
				if _, err := s.Apply(ctx, changes, nil); err != nil {
					t.Fatal(err)
				}
				for k := range changes {
					changes[k].Op = store.Delete{}
				}
				if _, err := s.Apply(ctx, changes, nil); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(store.Do(ctx, s, "pod-3", store.AddPeer{PodName: "x"}), store.Do(ctx, s, "pod-4", store.Delete{})); err != nil {
				t.Fatal(err)
			}
			compact(t, client)
		case b.Resync || len(b.Events) > 2:
			t.Fatalf("batch %d is %d events, resync %v", n, len(b.Events), b.Resync)
		case len(b.Events) > 0:
			if len(b.Events) == 2 {
				return
			}
		}
	}
}

// Watches that have ended leave nothing behind.
func TestWatchesLeaveNothing(t *testing.T) {
	many := 100
	if os.Getenv("PODSTORE_LONG") != "" {
		many = 10_000
	}
	s := newStore(t, newClient(t, nil, sharedServer(t).endpoints...), nil)
	put(t, s, &store.Metadata{PodName: "agent"})
	watch := func(n int) {
		for range n {
			ctx, cancel := context.WithCancel(background)
			for _, err := range s.Watch(ctx, store.WatchOptions{}) {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			cancel()
		}
	}
	watch(10)
	before := runtime.NumGoroutine()
	watch(many)
	for deadline := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > before+5; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines before, %d after %d watches", before, runtime.NumGoroutine(), many)
		}
	}
}
