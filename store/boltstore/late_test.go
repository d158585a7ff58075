package boltstore

import (
	"context"
	"errors"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/storetest"
)

func TestLateSendings(t *testing.T) {
	storetest.LateSendings(t, func(t *testing.T) store.MetadataStore { return openNew(t) })
}

// failingGroup runs requests in one group, in order, whose commit fails for want of space,
// and returns their errors.
func failingGroup(t *testing.T, s *Store, requests ...func() error) []error {
	t.Helper()
	begun, goOn := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	go func() {
		first <- s.submit(context.Background(), "hold", "", func(*txn, *request) error { close(begun); <-goOn; return nil })
	}()
	<-begun
	queued := func(n int) {
		for {
			s.mu.Lock()
			now := len(s.queue)
			s.mu.Unlock()
			if now >= n {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
	requests = append(requests, func() error {
		return s.submit(context.Background(), "fail", "", func(g *txn, _ *request) error {
			// As commit does after onlyGrowth, but before the commit.
			g.fail(&store.Error{Op: "commit", Path: s.path, Kind: store.ErrNoSpace})
			return nil
		})
	})
	errs := make([]chan error, len(requests))
	for i, r := range requests {
		errs[i] = make(chan error, 1)
		go func() { errs[i] <- r() }()
		queued(i + 1)
	}
	close(goOn)
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	var result []error
	for _, c := range errs[:len(errs)-1] {
		result = append(result, <-c)
	}
	<-errs[len(errs)-1]
	return result
}

// A refusal that came from a change of the same commit, which failed, is no answer: its
// caller got ErrNoSpace. It must not be the answer later.
func TestRefusalOfAFailedCommit(t *testing.T) {
	s := openNew(t)
	request := []store.Change{{Pod: "a", Op: entry(1), If: store.Missing}}
	o := &store.ApplyOptions{ID: requestID(1), Resent: true}
	errs := failingGroup(t, s,
		func() error {
			_, err := s.Apply(context.Background(), []store.Change{{Pod: "a", Op: store.SetPeers{}}}, nil)
			return err
		},
		func() error { _, err := s.Apply(context.Background(), request, o); return err })
	if !errors.Is(errs[1], store.ErrNoSpace) {
		t.Fatal(errs)
	}
	if _, err := s.Apply(t.Context(), request, o); err != nil {
		t.Errorf("the Pod was never there: %v", err)
	}
}

// After ErrNoSpace, which says that nothing was changed, a caller frees space and tries
// again under its ID. As far as it knows nothing was sent with an unknown result, so it
// does not set Resent.
func TestAgainAfterNoSpace(t *testing.T) {
	s := openNew(t)
	request := []store.Change{{Pod: "a", Op: entry(1)}}
	errs := failingGroup(t, s, func() error {
		_, err := s.Apply(context.Background(), request, &store.ApplyOptions{ID: requestID(1), Resent: true})
		return err
	})
	if !errors.Is(errs[0], store.ErrNoSpace) {
		t.Fatal(errs)
	}
	if _, err := s.Apply(t.Context(), request, &store.ApplyOptions{ID: requestID(1)}); err != nil {
		t.Errorf("said that it was answered, which it was not: %v", err)
	}
}

// The results of a large request are not kept. A late sending of it changes nothing, and
// the store does not know its results.
func TestLateSendingOfManyPods(t *testing.T) {
	s := openNew(t)
	var changes []store.Change
	for i := range mostKept + 1 {
		changes = append(changes, store.Change{Pod: podName(i), Op: peer(1), If: store.SkipMissing})
	}
	o := &store.ApplyOptions{ID: requestID(1), Resent: true}
	if _, err := s.Apply(t.Context(), changes, o); err != nil {
		t.Fatal(err)
	}
	if err := store.Do(t.Context(), s, podName(0), store.SetPeers{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(t.Context(), changes, o); !errors.Is(err, store.ErrUnknown) {
		t.Error(err)
	}
	if m, err := s.Read(t.Context(), podName(0)); err != nil || len(m.Peers) != 0 {
		t.Errorf("made: %v, %v", m, err)
	}
}
