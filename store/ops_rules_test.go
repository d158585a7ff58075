package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
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
	m.SetActive(store.PendingSegment(store.SessionID{9}), json.RawMessage(`2`))
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

// What a rule is given is copied: a caller may use it again.
func TestRulesCopy(t *testing.T) {
	scope := func() []store.ScopeRule { return []store.ScopeRule{{Target: "/t"}} }
	active, manifest := store.ActiveIn(store.SessionID{1}, store.SegmentID{2}), json.RawMessage(`1`)
	children := []store.SpawnedChild{{PodName: "z", ScopeDelegated: scope()}}
	child := store.SpawnedChild{PodName: "y", ScopeDelegated: scope()}
	peers := []store.Peer{{PodName: "p"}}
	reclaimed := []store.ReclaimedChild{{PodName: "r", ScopeDelegated: scope()}}
	m := &store.Metadata{PodName: "agent"}
	m.SetActive(active, manifest)
	if err := errors.Join(m.SetChildren(children), m.AddChild(child), m.SetPeers(peers), m.Reclaim(reclaimed)); err != nil {
		t.Fatal(err)
	}
	want := m.Clone()
	active.SegmentID[0], manifest[0] = 9, '9'
	children[0].PodName, peers[0].PodName, reclaimed[0].PodName = "x", "x", "x"
	for _, rules := range [][]store.ScopeRule{children[0].ScopeDelegated, child.ScopeDelegated, reclaimed[0].ScopeDelegated} {
		rules[0].Target = "x"
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got %+v, want %+v", m, want)
	}
}

func TestSetChildrenAndPeersKeepOrder(t *testing.T) {
	m := whole()
	children := []store.SpawnedChild{{PodName: "z"}, {PodName: "a"}, {PodName: "z"}}
	peers := []store.Peer{{PodName: "z"}, {PodName: "a"}, {PodName: "z"}}
	if err := errors.Join(m.SetChildren(children), m.SetPeers(peers)); err != nil {
		t.Fatal(err)
	}
	want := whole()
	want.Children, want.Peers = children, peers
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got %+v, want %+v", m, want)
	}
}

func TestAddAndRemoveChild(t *testing.T) {
	child := func(name, socket string) store.SpawnedChild {
		return store.SpawnedChild{PodName: name, SocketPath: socket}
	}
	m := &store.Metadata{PodName: "agent", Reclaimed: []store.ReclaimedChild{{PodName: "b"}}}
	for _, step := range []struct {
		add    store.SpawnedChild
		remove string
		want   []store.SpawnedChild
	}{
		{add: child("b", "1"), want: []store.SpawnedChild{child("b", "1")}},
		{add: child("a", "2"), want: []store.SpawnedChild{child("b", "1"), child("a", "2")}}, // not sorted
		{add: child("b", "3"), want: []store.SpawnedChild{child("b", "3"), child("a", "2")}},
		{remove: "x/y", want: []store.SpawnedChild{child("b", "3"), child("a", "2")}},
		{remove: "b", want: []store.SpawnedChild{child("a", "2")}},
		{remove: "a"},
	} {
		if step.add.PodName != "" {
			if err := m.AddChild(step.add); err != nil {
				t.Fatal(err)
			}
		} else {
			m.RemoveChild(step.remove)
		}
		if !reflect.DeepEqual(m.Children, step.want) {
			t.Errorf("%+v: got %+v", step, m.Children)
		}
	}
	m.Children = []store.SpawnedChild{child("a", "1"), child("b", "1"), child("c", "1"), child("b", "2"), child("d", "1"), child("b", "3")}
	if err := m.AddChild(child("b", "new")); err != nil {
		t.Fatal(err)
	}
	if want := []store.SpawnedChild{child("a", "1"), child("b", "new"), child("c", "1"), child("d", "1")}; !reflect.DeepEqual(m.Children, want) {
		t.Errorf("AddChild of a name that is there three times: %+v", m.Children)
	}
	if len(m.Reclaimed) != 1 {
		t.Errorf("the history is %+v", m.Reclaimed)
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
	for _, step := range []struct {
		add  string
		want []string
	}{{"a", []string{"z", "a", "z"}}, {"b", []string{"a", "b", "z", "z"}}} {
		m.Peers = []store.Peer{{PodName: "z"}, {PodName: "a"}, {PodName: "z"}}
		if err := m.AddPeer(step.add); err != nil {
			t.Fatal(err)
		}
		if got := peerNames(m); !slices.Equal(got, step.want) {
			t.Errorf("AddPeer %q: %q", step.add, got)
		}
	}
	if m.RemovePeer("z"); len(m.Peers) != 2 {
		t.Errorf("RemovePeer: %q", peerNames(m))
	}
}

func TestReclaim(t *testing.T) {
	m := whole()
	m.Children = append(m.Children, store.SpawnedChild{PodName: "worker", SocketPath: "/second"})
	reclaimed := []store.ReclaimedChild{{PodName: "worker", ScopeDelegated: []store.ScopeRule{{Target: "/t"}}}, {PodName: "unknown"}, {PodName: "worker"}}
	if err := m.Reclaim(reclaimed); err != nil {
		t.Fatal(err)
	}
	want := whole()
	want.Children = []store.SpawnedChild{{PodName: "auditor"}}
	want.Reclaimed = append(want.Reclaimed, reclaimed...)
	if !reflect.DeepEqual(m, want) {
		t.Errorf("Reclaim: got %+v, want %+v", m, want)
	}
}

func TestTrimReclaimed(t *testing.T) {
	for keep, want := range map[int]string{-1: "[]", 0: "[]", 1: "[{c []}]", 2: "[{b []} {c []}]", 3: "[{a []} {b []} {c []}]", 4: "[{a []} {b []} {c []}]"} {
		m := &store.Metadata{Reclaimed: []store.ReclaimedChild{{PodName: "a"}, {PodName: "b"}, {PodName: "c"}}}
		m.TrimReclaimed(keep)
		if got := fmt.Sprint(m.Reclaimed); got != want {
			t.Errorf("keep %d: got %s, want %s", keep, got, want)
		}
		if len(m.Reclaimed) == 0 && m.Reclaimed != nil {
			t.Errorf("keep %d: an empty list that is not nil", keep)
		}
	}
}

func TestRefersTo(t *testing.T) {
	m := &store.Metadata{
		PodName: "agent", Peers: []store.Peer{{PodName: "peer"}}, Children: []store.SpawnedChild{{PodName: "child"}}, Reclaimed: []store.ReclaimedChild{{PodName: "past"}},
	}
	for name, want := range map[string]bool{"peer": true, "child": true, "past": false, "agent": false, "": false} {
		if m.RefersTo(name) != want {
			t.Errorf("RefersTo %q: %v", name, !want)
		}
	}
}

func TestRulesRefuseBadNames(t *testing.T) {
	for _, bad := range []string{"", ".", "..", "a/b", "a\x00", "\xff"} {
		for op, apply := range map[string]func(m *store.Metadata) error{
			"SetChildren": func(m *store.Metadata) error {
				return m.SetChildren([]store.SpawnedChild{{PodName: "ok"}, {PodName: bad}})
			},
			"AddChild": func(m *store.Metadata) error { return m.AddChild(store.SpawnedChild{PodName: bad}) },
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
