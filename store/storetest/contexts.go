package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"podstore/store"
)

// byName returns every operation that takes the name of a Pod. With what the tests pass
// in, none of them ever calls its edit.
func (s *subject) byName() map[string]func(ctx context.Context, name string) error {
	untouched := func(*store.Metadata) error {
		s.Error("edit was called")
		return nil
	}
	pod := func(_ *store.Metadata, err error) error { return err }
	calls := map[string]func(ctx context.Context, name string) error{
		"Write": func(ctx context.Context, name string) error {
			return store.Write(ctx, s, &store.Metadata{PodName: name, Peers: []store.Peer{{PodName: "new"}}})
		},
		"Read": func(ctx context.Context, name string) error { return pod(s.Read(ctx, name)) },
		"ReadPart": func(ctx context.Context, name string) error {
			return pod(store.ReadPart(ctx, s.MetadataStore, name, store.ReadOptions{OmitReclaimed: true}))
		},
		"Update": func(ctx context.Context, name string) error { return pod(s.Update(ctx, name, untouched)) },
		"a condition": func(ctx context.Context, name string) error {
			_, err := s.Apply(ctx, []store.Change{{Pod: name, If: store.SkipMissing}}, nil)
			return err
		},
		"DoAndRead": func(ctx context.Context, name string) error {
			return pod(store.DoAndRead(ctx, s, name, store.AddPeer{PodName: "new"}, store.SetPeers{}))
		},
	}
	for _, op := range []store.Op{
		store.Delete{}, store.SetActive{}, store.SetSegment{}, store.SetChildren{}, store.AddChild{Child: store.SpawnedChild{PodName: "new"}},
		store.RemoveChild{PodName: "worker"}, store.SetPeers{}, store.AddPeer{PodName: "new"}, store.RemovePeer{PodName: "peer-a"},
		store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: "worker"}}}, store.TrimReclaimed{},
		store.SetField{Field: "new", Value: json.RawMessage("1")}, store.ClearField{Field: "nothing"},
	} {
		calls[op.Name()] = func(ctx context.Context, name string) error { return store.Do(ctx, s, name, op) }
	}
	if s.removes() {
		calls["remove"] = func(ctx context.Context, name string) error { return store.Do(ctx, s, name, store.Remove{}) }
	}
	if s.appliesSeveral() {
		for place := range 2 {
			calls[fmt.Sprintf("Apply to two, at %d", place)] = func(ctx context.Context, name string) error {
				changes := []store.Change{{Pod: "other", Op: store.AddPeer{PodName: "new"}}, {Pod: "other", Op: store.Delete{}}}
				changes[place].Pod = name
				_, err := s.Apply(ctx, changes, nil)
				return err
			}
		}
	}
	if s.updatesPods() {
		for _, names := range []func(string) []string{
			func(name string) []string { return []string{name} },
			func(name string) []string { return []string{"other", name} },
			func(name string) []string { return []string{name, "other"} },
		} {
			calls[fmt.Sprintf("UpdatePods %q", names("NAME"))] = func(ctx context.Context, name string) error {
				_, err := store.UpdatePods(ctx, s.MetadataStore, names(name), func([]*store.Metadata) error { return untouched(nil) })
				return err
			}
		}
		calls["LinkPeers"] = func(ctx context.Context, name string) error {
			return store.LinkPeers(ctx, s.MetadataStore, name, "a")
		}
		calls["UnlinkPeers"] = func(ctx context.Context, name string) error {
			return store.UnlinkPeers(ctx, s.MetadataStore, "a", name)
		}
	}
	if b, ok := s.MetadataStore.(store.BatchWriter); ok {
		calls["WriteBatch"] = func(ctx context.Context, name string) error {
			errs := b.WriteBatch(ctx, puts(&store.Metadata{PodName: name, Peers: []store.Peer{{PodName: "new"}}}))
			if len(errs) != 1 {
				s.Fatalf("WriteBatch of one Pod returned %d errors", len(errs))
			}
			return errs[0]
		}
	}
	return calls
}

// wholesale returns every operation on the whole store.
func (s *subject) wholesale() map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"List": func(ctx context.Context) error { _, err := s.List(ctx); return err },
		"All": func(ctx context.Context) (last error) {
			for _, last = range store.All(ctx, s.MetadataStore, store.ReadOptions{}) {
			}
			return last
		},
		"Snapshot": func(ctx context.Context) error {
			sn, ok := s.MetadataStore.(store.Snapshotter)
			if !ok {
				return ctx.Err()
			}
			_, closer, err := sn.Snapshot(ctx)
			switch {
			case errors.Is(err, errors.ErrUnsupported):
				return ctx.Err()
			case err == nil:
				err = closer.Close()
			}
			return err
		},
	}
}

var contextTests = []test{
	{"one that has ended is the error and nothing is changed", func(s *subject) {
		s.put(full("agent"), full("a"))
		cancelled, cancel := context.WithCancel(background)
		cancel()
		expired, cancel := context.WithDeadline(background, time.Unix(0, 0))
		defer cancel()
		for _, ctx := range []context.Context{cancelled, expired} {
			s.unchanged("a context that has ended", func() {
				for method, call := range s.byName() {
					s.is(method, call(ctx, "agent"), ctx.Err())
				}
				for method, call := range s.wholesale() {
					s.is(method, call(ctx), ctx.Err())
				}
			})
		}
	}},
	{"one that has ended creates nothing", func(s *subject) {
		ctx, cancel := context.WithCancel(background)
		cancel()
		for _, call := range s.byName() {
			_ = call(ctx, "agent")
		}
		s.expectNames()
	}},
	{"is honoured while waiting for another change", func(s *subject) {
		s.put(minimal("agent"))
		inEdit, release := make(chan struct{}), make(chan struct{})
		var started, released sync.Once
		defer released.Do(func() { close(release) })
		first := inBackground(func() error {
			_, err := s.Update(background, "agent", func(m *store.Metadata) error {
				started.Do(func() { close(inEdit) })
				<-release
				return m.AddPeer("first")
			})
			return err
		})
		<-inEdit
		want := minimal("agent")
		for _, peer := range []string{"second", "third"} {
			ctx, cancel := context.WithTimeout(background, 20*time.Millisecond)
			second := inBackground(func() error {
				err := store.Do(ctx, s.MetadataStore, "agent", store.AddPeer{PodName: peer})
				return err
			})
			err := s.await(second, "Update did not return when its context ended while another change was going on")
			cancel()
			switch {
			case err == nil: // the store lets writers race, and this one won
				want.Peers = append(want.Peers, store.Peer{PodName: peer})
			case !errors.Is(err, context.DeadlineExceeded):
				s.Errorf("Update whose context ended while it waited: %v", err)
			}
		}
		released.Do(func() { close(release) })
		if err := s.await(first, "Update did not return after its edit"); err != nil {
			s.Errorf("Update: %v", err)
		}
		if err := want.AddPeer("first"); err != nil {
			s.Fatal(err)
		}
		got := s.get("agent")
		if len(got.Peers) != len(want.Peers) {
			s.Errorf("peers are %v, want %v: a change whose context ended while it waited was made, or one was lost", got.Peers, want.Peers)
		}
	}},
	{"is honoured by every method while another change goes on", func(s *subject) {
		s.put(full("agent"), full("a"))
		calls := s.byName()
		inEdit, release := make(chan struct{}), make(chan struct{})
		var started, released sync.Once
		defer released.Do(func() { close(release) })
		first := inBackground(func() error {
			_, err := s.Update(background, "agent", func(m *store.Metadata) error {
				started.Do(func() { close(inEdit) })
				<-release
				return m.AddPeer("first")
			})
			return err
		})
		<-inEdit
		raced := false
		for method, call := range calls {
			if strings.HasPrefix(method, "Update") {
				continue // their edits must not be called
			}
			ctx, cancel := context.WithTimeout(background, 10*time.Millisecond)
			err := s.await(inBackground(func() error { return call(ctx, "agent") }),
				method+" did not return when its context ended while another change was going on")
			cancel()
			switch {
			case err == nil: // the store lets writers race, and this one won
				raced = raced || !strings.HasPrefix(method, "Read")
			case errors.Is(err, context.DeadlineExceeded):
			case raced && errors.Is(err, store.ErrNotFound): // Delete came first
			default:
				s.Errorf("%s whose context ended while it waited: %v", method, err)
			}
		}
		released.Do(func() { close(release) })
		if err := s.await(first, "Update did not return after its edit"); err != nil {
			s.Errorf("Update: %v", err)
		}
		if !raced {
			want := full("agent")
			if err := want.AddPeer("first"); err != nil {
				s.Fatal(err)
			}
			s.expect(want, full("a"))
		}
	}},
	{"one that ends in the edit gives the change's own result", func(s *subject) {
		s.put(full("agent"))
		ctx, cancel := context.WithCancel(background)
		defer cancel()
		_, err := s.Update(ctx, "agent", func(m *store.Metadata) error {
			cancel()
			return m.AddPeer("new")
		})
		switch {
		case err == nil && !s.get("agent").HasPeer("new"):
			s.Error("Update returned nil and changed nothing")
		case err != nil && s.get("agent").HasPeer("new"):
			s.Errorf("Update returned %v and changed the Pod", err)
		case err != nil:
			s.is("Update", err, context.Canceled)
		}
	}},
	{"one that ends during All never makes the rest look absent", func(s *subject) {
		for _, name := range oddNames {
			s.put(minimal(name))
		}
		ctx, cancel := context.WithCancel(background)
		defer cancel()
		seen := 0
		var last error
		for m, err := range store.All(ctx, s.MetadataStore, store.ReadOptions{}) {
			cancel()
			if last = err; err == nil && m != nil {
				seen++
			}
		}
		if seen != len(oddNames) && !errors.Is(last, context.Canceled) {
			s.Errorf("All ended after %d of %d Pods with error %v, want all Pods or the context's error at the end", seen, len(oddNames), last)
		}
	}},
	{"ending at any time tells what was changed", func(s *subject) {
		const writers, rounds = 6, 25
		s.put(minimal("agent"), minimal("other"))
		var mu sync.Mutex
		want := map[string]bool{}
		s.inParallel(writers, func(w int) error {
			for i := range rounds {
				peer := fmt.Sprintf("peer-%d-%d", w, i)
				ctx, cancel := context.WithTimeout(background, time.Duration(i*i)*5*time.Microsecond)
				err := store.Do(ctx, s.MetadataStore, "agent", store.AddPeer{PodName: peer})
				cancel()
				switch {
				case err == nil:
					mu.Lock()
					want[peer] = true
					mu.Unlock()
				case !errors.Is(err, context.DeadlineExceeded):
					return err
				}
			}
			return nil
		})
		got := s.get("agent")
		for _, p := range got.Peers {
			if !want[p.PodName] {
				s.Errorf("%s was added although AddPeer returned the context's error", p.PodName)
			}
			delete(want, p.PodName)
		}
		if len(want) > 0 {
			s.Errorf("%q were not added although AddPeer returned nil", sortedKeys(want))
		}
		s.expect(minimal("other"))
	}},
}
