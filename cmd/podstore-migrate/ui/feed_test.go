package main

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"podstore/store"
	"podstore/store/memstore"
)

// restarting is a store whose server is away for a time, during which each call waits
// and then fails. It is watched, or not.
type restarting struct {
	*memstore.Store
	from, until time.Time
	watched     bool
	reads       atomic.Int32
}

func (s *restarting) away() error {
	if now := time.Now(); now.Before(s.from) || now.After(s.until) {
		return nil
	}
	time.Sleep(10 * time.Second)
	return &store.Error{Op: "list", Kind: store.ErrUnavailable}
}

func (s *restarting) All(ctx context.Context, opts store.ReadOptions) iter.Seq2[*store.Metadata, error] {
	return func(yield func(*store.Metadata, error) bool) {
		s.reads.Add(1)
		time.Sleep(time.Second)
		if err := s.away(); err != nil {
			yield(nil, err)
			return
		}
		store.All(ctx, s.Store, opts)(yield)
	}
}

func (s *restarting) Watch(ctx context.Context, opts store.WatchOptions) iter.Seq2[store.Batch, error] {
	return func(yield func(store.Batch, error) bool) {
		if !s.watched {
			yield(store.Batch{}, errors.ErrUnsupported)
			return
		}
		if err := s.away(); err != nil {
			yield(store.Batch{}, err)
			return
		}
		if time.Now().Before(s.from) { // until it goes away
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, s.from)
			defer cancel()
		}
		s.Store.Watch(ctx, opts)(yield)
	}
}

// TestServerRestarts has a store away for a minute. What is shown is current again soon
// after, what was deleted meanwhile is gone, and a store that reads slowly is left alone
// most of the time.
func TestServerRestarts(t *testing.T) {
	for _, watched := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			s := &restarting{Store: memstore.New(), watched: watched}
			s.from, s.until = time.Now().Add(time.Minute), time.Now().Add(2*time.Minute)
			for _, name := range []string{"stays", "goes"} {
				if err := store.Write(ctx, s.Store, &store.Metadata{PodName: name}); err != nil {
					t.Fatal(err)
				}
			}
			m, in := newModel("x", true), newInbox()
			take := func() {
				synctest.Wait()
				b, polls, err := in.take()
				m.polls = polls
				if err == nil || len(b.Events) > 0 {
					m.take(b, time.Now())
				}
				m.err = err
			}
			ended := make(chan struct{})
			go func() { in.follow(ctx, s); close(ended) }()

			time.Sleep(30 * time.Second)
			if take(); drawn(m.rows) != "goes\nstays\n" || m.err != nil || m.polls == watched {
				t.Errorf("watched %t: at first %q, %v", watched, drawn(m.rows), m.err)
			}
			if n := s.reads.Load(); n > 4 {
				t.Errorf("%d readings of a second each in half a minute", n)
			}
			time.Sleep(75 * time.Second)
			if take(); m.err == nil || drawn(m.rows) != "goes\nstays\n" {
				t.Errorf("watched %t: while it is away %q, %v", watched, drawn(m.rows), m.err)
			}
			if err := store.Do(ctx, s.Store, "goes", store.Delete{}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Until(s.until) + 15*time.Second)
			if take(); m.err != nil || drawn(m.rows) != "stays\n" {
				t.Errorf("watched %t: afterwards %q, %v", watched, drawn(m.rows), m.err)
			}
			cancel()
			<-ended
		})
	}
}
