package socketstore_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/socketstore"
)

// The server is killed under load again and again. What it acknowledged is there, and
// the clients go on by themselves.
func TestServerKilledUnderLoad(t *testing.T) {
	kills, each := 4, int64(150)
	if long() {
		kills, each = 100, 1000
	}
	s := openServed(t, startSupervisor(t))
	ctx := t.Context()
	if err := createLoadPods(ctx, s); err != nil {
		t.Fatal(err)
	}
	var made, unsure atomic.Int64
	var stop atomic.Bool
	var wg sync.WaitGroup
	all := make([]peers, 16)
	for g := range all {
		client, err := socketstore.Dial(background, s.socket(), &socketstore.Options{Patience: 2 * time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			w := newWorker(client, fmt.Sprint("w", g), uint64(g))
			defer func() { all[g] = w.mine }()
			for i := 0; !stop.Load(); i++ {
				step := w.step
				if i%2 == 0 {
					step = w.stepOnce
				}
				switch err := step(ctx, i); {
				case err == nil:
					made.Add(1)
				case errors.Is(err, store.ErrUnknown):
					unsure.Add(1)
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	for range kills {
		for want := made.Load() + each; made.Load() < want && !t.Failed(); {
			time.Sleep(time.Millisecond)
		}
		if err := s.by.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = s.by.cmd.Wait()
		s.by = startSupervisor(t)
		s.by.do(t, "open", s.db(), s.socket())
	}
	stop.Store(true)
	wg.Wait()
	pods, err := momentOf(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(checkLoad(pods, all), checkOnce(ctx, s, pods, all)); err != nil {
		t.Error(err)
	}
	if n := unsure.Load(); n > made.Load()/10_000 {
		t.Errorf("of %d changes nobody can tell", n)
	}
	t.Logf("%d kills, %d changes acknowledged, %d unknown", kills, made.Load(), unsure.Load())
	s.close(t)
	checkFile(t, s.db())
}

// Clients are killed at any moment. Their changes are made whole or not at all, and the
// server goes on serving the others.
func TestClientKilled(t *testing.T) {
	rounds := 6
	if long() {
		rounds = 200
	}
	s := openServed(t, startSupervisor(t))
	ctx := t.Context()
	if err := createLoadPods(ctx, s); err != nil {
		t.Fatal(err)
	}
	for i := range rounds {
		cmd := child(t, "load", s.socket(), fmt.Sprint("victim", i), "1000000")
		cmd.Stdin = nil
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := in.Write([]byte("\n")); err != nil {
			t.Fatal(err)
		}
		before, err := s.Read(ctx, loadPod(0))
		if err != nil {
			t.Fatal(err)
		}
		for m := before; m.Equal(before); { // until it is at work
			if m, err = s.Read(ctx, loadPod(0)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Duration(i*i%7) * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if _, err := momentOf(ctx, s); err != nil {
			t.Error(err)
		}
		if err := store.LinkPeers(ctx, s, loadPod(0), loadPod(1)); err != nil {
			t.Error(err)
		}
		if err := store.UnlinkPeers(ctx, s, loadPod(0), loadPod(1)); err != nil {
			t.Error(err)
		}
	}
	s.close(t)
	checkFile(t, s.db())
}
