package storetest

import (
	"encoding/json"
	"slices"
	"strings"

	"podstore/store"
)

// operation is an operation with an argument, and an edit that does the same.
type operation struct {
	name string
	op   store.Op
	twin func(m *store.Metadata)
}

// on returns the operation for one Pod.
func (o operation) on(pod string) store.Op {
	if put, ok := o.op.(store.Put); ok {
		m := put.Metadata.Clone()
		m.PodName = pod
		return store.Put{Metadata: m}
	}
	return o.op
}

var operations = []operation{
	{"SetActive with a segment and a manifest",
		store.SetActive{Active: store.ActiveIn(store.SessionID{7}, store.SegmentID{8}), Manifest: json.RawMessage(` {"b":1,"a":2} `)},
		func(m *store.Metadata) {
			m.Active, m.Manifest = store.ActiveIn(store.SessionID{7}, store.SegmentID{8}), json.RawMessage(`{"a":2,"b":1}`)
		}},
	{"SetActive without a segment",
		store.SetActive{Active: store.PendingSegment(store.SessionID{7}), Manifest: json.RawMessage(`1`)},
		func(m *store.Metadata) {
			m.Active, m.Manifest = store.PendingSegment(store.SessionID{7}), json.RawMessage(`1`)
		}},
	{"SetActive without a manifest clears it",
		store.SetActive{Active: store.PendingSegment(store.SessionID{7})},
		func(m *store.Metadata) { m.Active, m.Manifest = store.PendingSegment(store.SessionID{7}), nil }},
	{"SetActive with nothing but a manifest",
		store.SetActive{Manifest: json.RawMessage(`"m"`)},
		func(m *store.Metadata) { m.Active, m.Manifest = nil, json.RawMessage(`"m"`) }},
	{"SetActive with nothing clears both",
		store.SetActive{Manifest: json.RawMessage("null")},
		func(m *store.Metadata) { m.Active, m.Manifest = nil, nil }},
	{"SetSegment keeps the manifest",
		store.SetSegment{Active: store.ActiveIn(store.SessionID{7}, store.SegmentID{8})},
		func(m *store.Metadata) { m.Active = store.ActiveIn(store.SessionID{7}, store.SegmentID{8}) }},
	{"SetSegment with no segment yet",
		store.SetSegment{Active: store.PendingSegment(store.SessionID{1, 2, 3})},
		func(m *store.Metadata) { m.Active = store.PendingSegment(store.SessionID{1, 2, 3}) }},
	{"SetSegment with nothing clears the pointer",
		store.SetSegment{},
		func(m *store.Metadata) { m.Active = nil }},
	{"SetChildren keeps order and repeated names",
		store.SetChildren{Children: newChildren()},
		func(m *store.Metadata) { m.Children = newChildren() }},
	{"SetChildren with none clears them",
		store.SetChildren{Children: []store.SpawnedChild{}},
		func(m *store.Metadata) { m.Children = nil }},
	{"AddChild appends one of a new name",
		store.AddChild{Child: newChildren()[0]},
		func(m *store.Metadata) { m.Children = append(m.Children, newChildren()[0]) }},
	{"AddChild replaces the first of its name and drops the others",
		store.AddChild{Child: store.SpawnedChild{PodName: "worker", SocketPath: "/new", ScopeDelegated: []store.ScopeRule{}}},
		func(m *store.Metadata) {
			m.Children = append([]store.SpawnedChild{{PodName: "worker", SocketPath: "/new"}}, notWorkers(m.Children)...)
		}},
	{"RemoveChild removes every child of the name and keeps the history",
		store.RemoveChild{PodName: "worker"},
		func(m *store.Metadata) { m.Children = notWorkers(m.Children) }},
	{"RemoveChild of what is not listed changes nothing",
		store.RemoveChild{PodName: "past"},
		func(*store.Metadata) {}},
	{"RemoveChild of a name that is not valid changes nothing",
		store.RemoveChild{PodName: "a/b"},
		func(*store.Metadata) {}},
	{"SetPeers keeps order and repeated names",
		store.SetPeers{Peers: peers("z", "a", "z", "m")},
		func(m *store.Metadata) { m.Peers = peers("z", "a", "z", "m") }},
	{"SetPeers with none clears them",
		store.SetPeers{},
		func(m *store.Metadata) { m.Peers = nil }},
	{"AddPeer inserts and sorts by name",
		store.AddPeer{PodName: "peer-b"},
		func(m *store.Metadata) {
			m.Peers = append(m.Peers, store.Peer{PodName: "peer-b"})
			slices.SortFunc(m.Peers, func(a, b store.Peer) int { return strings.Compare(a.PodName, b.PodName) })
		}},
	{"AddPeer of what is listed changes nothing, not even the order",
		store.AddPeer{PodName: "peer-a"},
		func(m *store.Metadata) {
			if len(m.Peers) == 0 {
				m.Peers = peers("peer-a")
			}
		}},
	{"RemovePeer removes every peer of the name",
		store.RemovePeer{PodName: "peer-c"},
		func(m *store.Metadata) {
			if len(m.Peers) > 0 {
				m.Peers = peers("peer-a")
			}
		}},
	{"RemovePeer of what is not listed changes nothing",
		store.RemovePeer{PodName: "peer"},
		func(*store.Metadata) {}},
	{"Reclaim drops by name and appends to the history",
		store.Reclaim{Reclaimed: reclaimed()},
		func(m *store.Metadata) {
			m.Children = notWorkers(m.Children)
			m.Reclaimed = append(m.Reclaimed, reclaimed()...)
		}},
	{"Reclaim of nothing changes nothing",
		store.Reclaim{},
		func(*store.Metadata) {}},
	{"TrimReclaimed keeps the newest",
		store.TrimReclaimed{Keep: 1},
		func(m *store.Metadata) { m.Reclaimed = m.Reclaimed[max(0, len(m.Reclaimed)-1):] }},
	{"TrimReclaimed to nothing clears the history",
		store.TrimReclaimed{},
		func(m *store.Metadata) { m.Reclaimed = nil }},
	{"TrimReclaimed to what is there changes nothing",
		store.TrimReclaimed{Keep: len(full("").Reclaimed)},
		func(*store.Metadata) {}},
	{"SetField adds an unknown field",
		store.SetField{Field: "future", Value: json.RawMessage(` {"y":1.50,"x":null} `)},
		func(m *store.Metadata) { setExtra(m, "future", `{"x":null,"y":1.5}`) }},
	{"SetField replaces an unknown field, also that without a name",
		store.SetField{Field: "", Value: json.RawMessage(`[1]`)},
		func(m *store.Metadata) { setExtra(m, "", `[1]`) }},
	{"SetField to null keeps the field",
		store.SetField{Field: "a future one", Value: json.RawMessage(` null`)},
		func(m *store.Metadata) { setExtra(m, "a future one", `null`) }},
	{"ClearField drops one unknown field",
		store.ClearField{Field: "nothing"},
		func(m *store.Metadata) { delete(m.Extra, "nothing") }},
	{"ClearField of what is not there changes nothing",
		store.ClearField{Field: "future"},
		func(*store.Metadata) {}},
	{"Put replaces everything",
		store.Put{Metadata: full("")},
		func(m *store.Metadata) { *m = *full(m.PodName); m.Manifest = full("").Manifest }},
	{"Put of nothing but the name clears everything",
		store.Put{Metadata: minimal("")},
		func(m *store.Metadata) { *m = *minimal(m.PodName) }},
}

// notWorkers returns the child of full that is not a worker.
func notWorkers(children []store.SpawnedChild) []store.SpawnedChild {
	return slices.DeleteFunc(children, func(c store.SpawnedChild) bool { return c.PodName == "worker" })
}

func peers(names ...string) (list []store.Peer) {
	for _, name := range names {
		list = append(list, store.Peer{PodName: name})
	}
	return list
}

func newChildren() []store.SpawnedChild {
	return []store.SpawnedChild{
		{PodName: "z", SocketPath: "/z", ScopeDelegated: []store.ScopeRule{{Target: "/t", Permission: "read", Recursive: true}}},
		{PodName: "a", CallbackAddress: "/cb"},
		{PodName: "z"},
	}
}

// reclaimed has a child that full has twice, and one that nobody spawned.
func reclaimed() []store.ReclaimedChild {
	return []store.ReclaimedChild{
		{PodName: "worker", ScopeDelegated: []store.ScopeRule{{Target: "/srv/data", Permission: "write"}}},
		{PodName: "unheard of"},
		{PodName: "worker"},
	}
}

var operationTests = append([]test{
	{"peers added in any order are sorted and there once", func(s *subject) {
		for _, name := range []string{"peer-b", "日本", "peer-a", "Z", "peer-b", "peer-a"} {
			if err := store.Do(background, s.MetadataStore, "agent", store.AddPeer{PodName: name}); err != nil {
				s.Fatal(err)
			}
		}
		m := minimal("agent")
		m.Peers = peers("Z", "peer-a", "peer-b", "日本")
		s.expect(m)
		for _, name := range []string{"Z", "peer-a", "peer-b", "日本", "日本"} {
			if err := store.Do(background, s.MetadataStore, "agent", store.RemovePeer{PodName: name}); err != nil {
				s.Fatal(err)
			}
		}
		s.expect(minimal("agent"))
	}},
	{"a peer whose name is not valid can be removed", func(s *subject) {
		m := minimal("agent")
		m.Peers = peers("a/b", "", "ok")
		s.put(m)
		for _, name := range []string{"a/b", ""} {
			if err := store.Do(background, s.MetadataStore, "agent", store.RemovePeer{PodName: name}); err != nil {
				s.Errorf("RemovePeer %q: %v", name, err)
			}
		}
		m.Peers = peers("ok")
		s.expect(m)
	}},
	{"a child whose name is not valid can be removed", func(s *subject) {
		m := minimal("agent")
		m.Children = []store.SpawnedChild{{PodName: "a/b"}, {PodName: "ok"}, {PodName: ""}, {PodName: "a/b"}}
		s.put(m)
		for _, name := range []string{"a/b", ""} {
			s.do("agent", store.RemoveChild{PodName: name})
		}
		m.Children = []store.SpawnedChild{{PodName: "ok"}}
		s.expect(m)
	}},
	{"Delete leaves what refers to the Pod", func(s *subject) {
		a := minimal("a")
		a.Peers, a.Children, a.Reclaimed = peers("b"), []store.SpawnedChild{{PodName: "b"}}, []store.ReclaimedChild{{PodName: "b"}}
		s.put(a, full("b"))
		s.do("b", store.Delete{})
		s.expectNames("a")
		s.expect(a)
	}},
	{"a life of a Pod", func(s *subject) {
		// What a supervisor does: start, spawn, meet, resume, reclaim.
		session, segment := store.NewSessionID(), store.NewSegmentID()
		manifest := json.RawMessage(`{"pod":{"name":"agent"},"profile":{"source":{"kind":"path","path":"/profiles/coder.lua"}}}`)
		s.do("agent", store.SetActive{Active: store.PendingSegment(session), Manifest: manifest})
		s.do("agent", store.SetChildren{Children: full("").Children})
		s.do("agent", store.AddPeer{PodName: "peer"})
		s.do("agent", store.SetActive{Active: store.ActiveIn(session, segment), Manifest: manifest})
		s.do("agent", store.Reclaim{Reclaimed: reclaimed()[:1]})
		s.do("agent", store.Reclaim{Reclaimed: reclaimed()[:1]})
		want := minimal("agent")
		want.Active, want.Manifest = store.ActiveIn(session, segment), manifest
		want.Children = full("").Children[1:2]
		want.Reclaimed = []store.ReclaimedChild{reclaimed()[0], reclaimed()[0]}
		want.Peers = peers("peer")
		s.expect(want)
	}},
}, eachOperation()...)

// eachOperation proves what holds for every operation: it does the same as its edit in
// an Update, leaves every other field alone, creates a missing Pod, and writes nothing
// if it changes nothing.
func eachOperation() (tests []test) {
	for _, o := range operations {
		tests = append(tests, test{o.name, func(s *subject) {
			s.put(full("other"))
			for _, before := range []*store.Metadata{full("agent"), minimal("bare"), nil} {
				name, want := "missing", minimal("missing")
				if before != nil {
					name, want = before.PodName, before.Clone()
					s.put(before)
				}
				o.twin(want)
				change := func() []store.Applied {
					return s.applyFor(&store.ApplyOptions{Metadata: true}, store.Change{Pod: name, Op: o.on(name)})
				}
				var applied []store.Applied
				if before != nil && before.Equal(want) {
					s.writesNothing(o.name, func() { applied = change() })
				} else {
					var at store.Revision
					if before != nil {
						at = s.get(name).Version.Revision
					}
					if applied = change(); applied[0].Version.Revision == at {
						s.Errorf("the Pod was changed and is still at revision %v", at)
					}
				}
				s.same("result", applied[0].Metadata, want)
				s.expect(want)
				s.writesNothing(o.name+", for the second time", func() {
					if o.op.Name() != "reclaim" {
						change()
					}
				})
				if before != nil {
					s.put(before)
				} else {
					s.do(name, store.Delete{})
				}
				s.same("its twin in an Update", s.update(name, func(m *store.Metadata) error { o.twin(m); return nil }), want)
				s.expect(want)
			}
			s.expect(full("other"))
			s.expectNames("agent", "bare", "missing", "other")
		}})
	}
	return tests
}
