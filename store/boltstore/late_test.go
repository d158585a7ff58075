package boltstore

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/memstore"
)

// keepers are the stores that keep request IDs in this process.
func keepers(t *testing.T) map[string]store.MetadataStore {
	return map[string]store.MetadataStore{"file": open(t, filepath.Join(t.TempDir(), "pods.db"), nil), "memory": memstore.New()}
}

// Sendings 1 and 2 are under way, 3 is answered with success and changed nothing. What
// arrives later is not made.
func TestLateAfterNothingChanged(t *testing.T) {
	for name, s := range keepers(t) {
		for i, late := range []store.ApplyOptions{{}, {Resent: true}} {
			late.ID = requestID(i)
			pod := string(rune('a' + i))
			request := []store.Change{{Pod: pod, Op: entry(1), If: store.SkipMissing}}
			if _, err := s.Apply(t.Context(), request, &store.ApplyOptions{ID: requestID(i), Resent: true}); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Apply(t.Context(), []store.Change{{Pod: pod, Op: store.SetPeers{}}}, nil); err != nil {
				t.Fatal(err)
			}
			_, err := s.Apply(t.Context(), request, &late)
			if m, e := s.Read(t.Context(), pod); e != nil || len(m.Reclaimed) != 0 {
				t.Errorf("%s: late, Resent=%v: made, after success without it was answered; %v %v", name, late.Resent, err, e)
			}
		}
	}
}

// The same with a value that was there already, and that another caller replaced later.
func TestLateAfterSameValue(t *testing.T) {
	for name, s := range keepers(t) {
		do := func(peer string, o *store.ApplyOptions) uint64 {
			applied, err := s.Apply(t.Context(), []store.Change{{Pod: "a", Op: store.SetPeers{Peers: []store.Peer{{PodName: peer}}}}}, o)
			if err != nil {
				t.Log(name, err)
				return 0
			}
			return applied[0].Version.Revision.Number
		}
		seen := do("x", nil)
		do("x", &store.ApplyOptions{ID: requestID(1), Resent: true, Seen: seen})
		do("y", nil)
		do("x", &store.ApplyOptions{ID: requestID(1), Resent: true, Seen: seen})
		if m, err := s.Read(t.Context(), "a"); err != nil || !m.HasPeer("y") {
			t.Errorf("%s: the late sending undid what another caller wrote after the answer: %+v %v", name, m.Peers, err)
		}
	}
}

// A refusal is kept, and is the answer again, even if IDs were forgotten meanwhile.
func TestRefusedIsKnown(t *testing.T) {
	for name, s := range keepers(t) {
		request := []store.Change{{Pod: "a", Op: entry(1), If: store.Exists}}
		o := &store.ApplyOptions{ID: requestID(1), Resent: true}
		if _, err := s.Apply(t.Context(), request, o); !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
		for _, op := range []store.Op{store.SetPeers{}, store.Delete{}} {
			if _, err := s.Apply(t.Context(), []store.Change{{Pod: "a", Op: op}}, nil); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Apply(t.Context(), request, o); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The answers are not one object.
func TestRefusalIsNotShared(t *testing.T) {
	for name, s := range keepers(t) {
		request := []store.Change{{Pod: "a", Op: entry(1), If: store.Exists}}
		o := &store.ApplyOptions{ID: requestID(1), Resent: true}
		_, err := s.Apply(t.Context(), request, o)
		_, again := s.Apply(t.Context(), request, o)
		if err == again {
			t.Errorf("%s: two callers got one *store.Error", name)
		}
	}
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
	s := open(t, filepath.Join(t.TempDir(), "pods.db"), nil)
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
	s := open(t, filepath.Join(t.TempDir(), "pods.db"), nil)
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

// TestLateSending: a sending of a request arrives after the request was sent again and
// answered. It is not made, whatever the answer was, even if the Pod does not have the ID
// any more.
func TestLateSending(t *testing.T) {
	for name, s := range keepers(t) {
		request := []store.Change{{Pod: "a", Op: entry(1), If: store.Exists}}
		seen := uint64(0)
		do := func(op store.Op) {
			t.Helper()
			applied, err := s.Apply(t.Context(), []store.Change{{Pod: "a", Op: op}}, nil)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			seen = applied[0].Version.Revision.Number
		}
		for id, there := range []bool{true, false} {
			if there {
				do(store.SetPeers{})
			}
			before := seen
			_, err := s.Apply(t.Context(), request, &store.ApplyOptions{ID: requestID(id), Resent: true, Seen: before})
			if there && err != nil || !there && !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s: sent again: %v", name, err)
			}
			do(store.Delete{})
			do(store.SetPeers{})
			for _, late := range []store.ApplyOptions{{ID: requestID(id)}, {ID: requestID(id), Resent: true, Seen: before}} {
				_, err = s.Apply(t.Context(), request, &late)
				if err != nil && !errors.Is(err, store.ErrUnknown) && !errors.Is(err, store.ErrNotFound) {
					t.Errorf("%s: a sending that is late: %v", name, err)
				}
				if m, err := s.Read(t.Context(), "a"); err != nil || len(m.Reclaimed) != 0 {
					t.Errorf("%s: a sending that is late (%v) was made, where the Pod was there: %v; %v", name, late, there, err)
				}
			}
			do(store.Delete{})
		}
	}
}
