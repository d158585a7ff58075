package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"

	"podstore/store"
)

func peerNames(m *store.Metadata) (names []string) {
	for _, p := range m.Peers {
		names = append(names, p.PodName)
	}
	return names
}

func TestSetActiveSetsBoth(t *testing.T) {
	m := whole()
	active := store.PendingSegment(store.SessionID{9})
	m.SetActive(active, json.RawMessage(`2`))
	want := whole()
	want.Active, want.Manifest = store.PendingSegment(store.SessionID{9}), json.RawMessage(`2`)
	if !reflect.DeepEqual(m, want) {
		t.Errorf("SetActive: got %+v, want %+v", m, want)
	}
	m.SetActive(nil, nil)
	want.Active, want.Manifest = nil, nil
	if !reflect.DeepEqual(m, want) {
		t.Errorf("SetActive of nothing: got %+v, want %+v", m, want)
	}
}

func TestSetChildrenCopies(t *testing.T) {
	children := []store.SpawnedChild{
		{PodName: "z", ScopeDelegated: []store.ScopeRule{{Target: "/t"}}}, {PodName: "a"}, {PodName: "z"},
	}
	m := whole()
	if err := m.SetChildren(children); err != nil {
		t.Fatal(err)
	}
	children[0].ScopeDelegated[0].Target, children[1].PodName = "changed", "changed"
	want := whole()
	want.Children = []store.SpawnedChild{
		{PodName: "z", ScopeDelegated: []store.ScopeRule{{Target: "/t"}}}, {PodName: "a"}, {PodName: "z"},
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("SetChildren: got %+v, want %+v", m, want)
	}
}

func TestSetPeersCopiesAndKeepsOrder(t *testing.T) {
	peers := []store.Peer{{PodName: "z"}, {PodName: "a"}, {PodName: "z"}}
	m := whole()
	if err := m.SetPeers(peers); err != nil {
		t.Fatal(err)
	}
	peers[0].PodName = "changed"
	want := whole()
	want.Peers = []store.Peer{{PodName: "z"}, {PodName: "a"}, {PodName: "z"}}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("SetPeers: got %+v, want %+v", m, want)
	}
}

func TestAddAndRemovePeer(t *testing.T) {
	m := &store.Metadata{PodName: "agent"}
	for _, step := range []struct {
		add, remove string
		want        []string
	}{
		{add: "b", want: []string{"b"}},
		{add: "a", want: []string{"a", "b"}},
		{add: "a", want: []string{"a", "b"}},
		{add: "日本", want: []string{"a", "b", "日本"}},
		{add: "B", want: []string{"B", "a", "b", "日本"}},
		{remove: "a", want: []string{"B", "b", "日本"}},
		{remove: "a", want: []string{"B", "b", "日本"}},
		{remove: "x/y", want: []string{"B", "b", "日本"}},
	} {
		if step.add != "" {
			if err := m.AddPeer(step.add); err != nil {
				t.Fatal(err)
			}
			if !m.HasPeer(step.add) {
				t.Errorf("no peer %q after it was added", step.add)
			}
		} else {
			m.RemovePeer(step.remove)
			if m.HasPeer(step.remove) {
				t.Errorf("peer %q after it was removed", step.remove)
			}
		}
		if got := peerNames(m); !slices.Equal(got, step.want) {
			t.Errorf("%+v: got %q", step, got)
		}
	}

	// What is there already is not sorted until something is inserted.
	m.Peers = []store.Peer{{PodName: "z"}, {PodName: "a"}, {PodName: "z"}}
	if err := m.AddPeer("a"); err != nil {
		t.Fatal(err)
	}
	if got := peerNames(m); !slices.Equal(got, []string{"z", "a", "z"}) {
		t.Errorf("AddPeer of what is there: %q", got)
	}
	if err := m.AddPeer("b"); err != nil {
		t.Fatal(err)
	}
	if got := peerNames(m); !slices.Equal(got, []string{"a", "b", "z", "z"}) {
		t.Errorf("AddPeer: %q", got)
	}
	if m.RemovePeer("z"); len(m.Peers) != 2 {
		t.Errorf("RemovePeer: %q", peerNames(m))
	}
}

func TestReclaim(t *testing.T) {
	m := whole()
	m.Children = append(m.Children, store.SpawnedChild{PodName: "worker", SocketPath: "/second"})
	reclaimed := []store.ReclaimedChild{
		{PodName: "worker", ScopeDelegated: []store.ScopeRule{{Target: "/t"}}}, {PodName: "unknown"}, {PodName: "worker"},
	}
	if err := m.Reclaim(reclaimed); err != nil {
		t.Fatal(err)
	}
	reclaimed[0].ScopeDelegated[0].Target = "changed"
	want := whole()
	want.Children = []store.SpawnedChild{{PodName: "auditor"}}
	want.Reclaimed = append(want.Reclaimed, store.ReclaimedChild{PodName: "worker", ScopeDelegated: []store.ScopeRule{{Target: "/t"}}},
		store.ReclaimedChild{PodName: "unknown"}, store.ReclaimedChild{PodName: "worker"})
	if !reflect.DeepEqual(m, want) {
		t.Errorf("Reclaim: got %+v, want %+v", m, want)
	}
}

func TestMergeRulesRefuseBadNames(t *testing.T) {
	for _, bad := range []string{"", ".", "..", "a/b", "a\x00", "\xff"} {
		for op, apply := range map[string]func(m *store.Metadata) error{
			"SetChildren": func(m *store.Metadata) error {
				return m.SetChildren([]store.SpawnedChild{{PodName: "ok"}, {PodName: bad}})
			},
			"SetPeers": func(m *store.Metadata) error { return m.SetPeers([]store.Peer{{PodName: "ok"}, {PodName: bad}}) },
			"AddPeer":  func(m *store.Metadata) error { return m.AddPeer(bad) },
			"Reclaim": func(m *store.Metadata) error {
				return m.Reclaim([]store.ReclaimedChild{{PodName: "worker"}, {PodName: bad}})
			},
		} {
			m := whole()
			err := apply(m)
			var e *store.Error
			if !errors.Is(err, store.ErrInvalidName) || !errors.As(err, &e) || e.Op == "" {
				t.Errorf("%s %q: got error %v, want an operation and ErrInvalidName", op, bad, err)
			}
			if !reflect.DeepEqual(m, whole()) {
				t.Errorf("%s %q changed the metadata", op, bad)
			}
		}
	}
}

// The operations over a store are the rules, and each is one Update.
func TestMergeOperations(t *testing.T) {
	ctx := context.Background()
	s := openPodsDB(t)
	for op, c := range map[string]struct {
		apply func(pod string) (*store.Metadata, error)
		rule  func(m *store.Metadata) error
	}{
		"SetActive": {
			func(pod string) (*store.Metadata, error) {
				return store.SetActive(ctx, s, pod, store.PendingSegment(store.SessionID{9}), json.RawMessage(`2`))
			},
			func(m *store.Metadata) error {
				m.SetActive(store.PendingSegment(store.SessionID{9}), json.RawMessage(`2`))
				return nil
			},
		},
		"SetChildren": {
			func(pod string) (*store.Metadata, error) {
				return store.SetChildren(ctx, s, pod, []store.SpawnedChild{{PodName: "x"}})
			},
			func(m *store.Metadata) error { return m.SetChildren([]store.SpawnedChild{{PodName: "x"}}) },
		},
		"SetPeers": {
			func(pod string) (*store.Metadata, error) {
				return store.SetPeers(ctx, s, pod, []store.Peer{{PodName: "x"}})
			},
			func(m *store.Metadata) error { return m.SetPeers([]store.Peer{{PodName: "x"}}) },
		},
		"AddPeer": {
			func(pod string) (*store.Metadata, error) { return store.AddPeer(ctx, s, pod, "x") },
			func(m *store.Metadata) error { return m.AddPeer("x") },
		},
		"RemovePeer": {
			func(pod string) (*store.Metadata, error) { return store.RemovePeer(ctx, s, pod, "a") },
			func(m *store.Metadata) error { m.RemovePeer("a"); return nil },
		},
		"Reclaim": {
			func(pod string) (*store.Metadata, error) {
				return store.Reclaim(ctx, s, pod, []store.ReclaimedChild{{PodName: "worker"}})
			},
			func(m *store.Metadata) error { return m.Reclaim([]store.ReclaimedChild{{PodName: "worker"}}) },
		},
	} {
		for _, before := range []*store.Metadata{whole(), {PodName: "missing"}} {
			if err := s.Delete(ctx, before.PodName); err != nil {
				t.Fatal(err)
			}
			if before.PodName == "agent" {
				if err := s.Write(ctx, before); err != nil {
					t.Fatal(err)
				}
			}
			got, err := c.apply(before.PodName)
			if err != nil {
				t.Fatalf("%s: %v", op, err)
			}
			if err := c.rule(before); err != nil {
				t.Fatal(err)
			}
			if !got.Equal(before) {
				t.Errorf("%s: returned %+v, want %+v", op, got, before)
			}
			if stored, err := s.Read(ctx, before.PodName); err != nil || !stored.Equal(before) {
				t.Errorf("%s: stored %+v, %v, want %+v", op, stored, err, before)
			}
		}
	}
}

func TestLinkPeers(t *testing.T) {
	ctx := context.Background()
	s := openPodsDB(t)
	for _, name := range []string{"a", "b"} {
		if err := s.Write(ctx, &store.Metadata{PodName: name}); err != nil {
			t.Fatal(err)
		}
	}
	linked := func() [2]bool {
		a, errA := s.Read(ctx, "a")
		b, errB := s.Read(ctx, "b")
		if err := errors.Join(errA, errB); err != nil {
			t.Fatal(err)
		}
		return [2]bool{a.HasPeer("b"), b.HasPeer("a")}
	}
	if err := store.LinkPeers(ctx, s, "a", "b"); err != nil || linked() != [2]bool{true, true} {
		t.Errorf("LinkPeers: %v, %v", err, linked())
	}
	for _, c := range []struct {
		a, b string
		want error
	}{
		{"a", "a", store.ErrInvalid}, {"a", "missing", store.ErrNotFound}, {"missing", "b", store.ErrNotFound},
		{"a", "x/y", store.ErrInvalidName}, {"..", "..", store.ErrInvalidName},
	} {
		if err := store.LinkPeers(ctx, s, c.a, c.b); !errors.Is(err, c.want) {
			t.Errorf("LinkPeers %q, %q: got error %v, want %v", c.a, c.b, err, c.want)
		}
		if err := store.UnlinkPeers(ctx, s, c.a, c.b); !errors.Is(err, c.want) {
			t.Errorf("UnlinkPeers %q, %q: got error %v, want %v", c.a, c.b, err, c.want)
		}
	}
	if linked() != [2]bool{true, true} {
		t.Errorf("after errors: %v", linked())
	}
	if err := store.UnlinkPeers(ctx, s, "b", "a"); err != nil || linked() != [2]bool{} {
		t.Errorf("UnlinkPeers: %v, %v", err, linked())
	}
}
