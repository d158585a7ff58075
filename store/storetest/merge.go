package storetest

import (
	"encoding/json"
	"slices"
	"strings"

	"podstore/store"
)

// merge is one merge operation with an argument, and what it does to one field.
type merge struct {
	name string
	op   store.Op
	want func(m *store.Metadata)
}

var merges = []merge{
	{"SetActive with a segment and a manifest", store.SetActive{Active: store.ActiveIn(store.SessionID{7}, store.SegmentID{8}), Manifest: json.RawMessage(` {"b":1,"a":2} `)}, func(m *store.Metadata) {
		m.Active, m.Manifest = store.ActiveIn(store.SessionID{7}, store.SegmentID{8}), json.RawMessage(`{"a":2,"b":1}`)
	}},
	{"SetActive without a segment", store.SetActive{Active: store.PendingSegment(store.SessionID{7}), Manifest: json.RawMessage(`1`)}, func(m *store.Metadata) {
		m.Active, m.Manifest = store.PendingSegment(store.SessionID{7}), json.RawMessage(`1`)
	}},
	{"SetActive without a manifest clears it", store.SetActive{Active: store.PendingSegment(store.SessionID{7}), Manifest: nil}, func(m *store.Metadata) { m.Active, m.Manifest = store.PendingSegment(store.SessionID{7}), nil }},
	{"SetActive with nothing but a manifest", store.SetActive{Active: nil, Manifest: json.RawMessage(`"m"`)}, func(m *store.Metadata) { m.Active, m.Manifest = nil, json.RawMessage(`"m"`) }},
	{"SetActive with nothing clears both", store.SetActive{Active: nil, Manifest: json.RawMessage("null")}, func(m *store.Metadata) { m.Active, m.Manifest = nil, nil }},
	{"SetChildren keeps order and repeated names", store.SetChildren{Children: newChildren()}, func(m *store.Metadata) { m.Children = newChildren() }},
	{"SetChildren with none clears them", store.SetChildren{Children: []store.SpawnedChild{}}, func(m *store.Metadata) { m.Children = nil }},
	{"SetPeers keeps order and repeated names", store.SetPeers{Peers: peers("z", "a", "z", "m")}, func(m *store.Metadata) { m.Peers = peers("z", "a", "z", "m") }},
	{"SetPeers with none clears them", store.SetPeers{Peers: nil}, func(m *store.Metadata) { m.Peers = nil }},
	{"AddPeer inserts and sorts by name", store.AddPeer{PodName: "peer-b"}, func(m *store.Metadata) {
		m.Peers = append(m.Peers, store.Peer{PodName: "peer-b"})
		slices.SortFunc(m.Peers, func(a, b store.Peer) int { return strings.Compare(a.PodName, b.PodName) })
	}},
	{"RemovePeer removes every peer of the name", store.RemovePeer{PodName: "peer-c"}, func(m *store.Metadata) {
		if len(m.Peers) > 0 {
			m.Peers = peers("peer-a")
		}
	}},
	{"RemovePeer of what is not listed changes nothing", store.RemovePeer{PodName: "peer"}, func(*store.Metadata) {}},
	{"Reclaim drops by name and appends to the history", store.Reclaim{Reclaimed: reclaimed()}, func(m *store.Metadata) {
		if len(m.Children) > 0 {
			m.Children = m.Children[1:2] // "auditor" alone is not reclaimed
		}
		m.Reclaimed = append(m.Reclaimed, reclaimed()...)
	}},
	{"Reclaim of nothing changes nothing", store.Reclaim{Reclaimed: nil}, func(*store.Metadata) {}},
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

// reclaimed names a child that full has twice, and one that nobody spawned.
func reclaimed() []store.ReclaimedChild {
	return []store.ReclaimedChild{
		{PodName: "worker", ScopeDelegated: []store.ScopeRule{{Target: "/srv/data", Permission: "write"}}},
		{PodName: "unheard of"},
		{PodName: "worker"},
	}
}

var mergeTests = append([]test{
	{"AddPeer of what is listed changes nothing, not even the order", func(s *subject) {
		s.put(full("agent"))
		s.unchanged("AddPeer", func() {
			for range 2 {
				m, err := store.DoAndRead(background, s.MetadataStore, "agent", store.AddPeer{PodName: "peer-a"})
				if err != nil {
					s.Fatal(err)
				}
				s.same("AddPeer", m, full("agent"))
			}
		})
	}},
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
	{"a bad name inside is refused and nothing is changed", func(s *subject) {
		s.put(full("agent"))
		s.unchanged("a bad name", func() {
			for _, bad := range badNames {
				for _, pod := range []string{"agent", "missing"} {
					err := store.Do(background, s.MetadataStore, pod, store.AddPeer{PodName: bad})
					s.is("AddPeer", err, store.ErrInvalidName)
					err = store.Do(background, s.MetadataStore, pod, store.SetPeers{Peers: peers("ok", bad)})
					s.is("SetPeers", err, store.ErrInvalidName)
					err = store.Do(background, s.MetadataStore, pod, store.SetChildren{Children: []store.SpawnedChild{{PodName: "ok"}, {PodName: bad}}})
					s.is("SetChildren", err, store.ErrInvalidName)
					err = store.Do(background, s.MetadataStore, pod, store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: "worker"}, {PodName: bad}}})
					s.is("Reclaim", err, store.ErrInvalidName)
				}
			}
		})
	}},
	{"a manifest that is not JSON is refused and nothing is changed", func(s *subject) {
		s.put(full("agent"))
		s.unchanged("SetActive", func() {
			err := store.Do(background, s.MetadataStore, "agent", store.SetActive{Active: nil, Manifest: json.RawMessage(`{`)})
			s.is("SetActive", err, store.ErrInvalid)
		})
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
}, eachMerge()...)

// eachMerge proves of every merge operation what is said of all: it leaves every
// other field alone, creates a missing Pod, and returns the resulting metadata.
func eachMerge() (tests []test) {
	for _, op := range merges {
		tests = append(tests, test{op.name, func(s *subject) {
			s.put(full("agent"), full("other"), minimal("bare"))
			for _, before := range []*store.Metadata{full("agent"), minimal("bare"), minimal("missing")} {
				want := before.Clone()
				op.want(want)
				got, err := store.DoAndRead(background, s.MetadataStore, before.PodName, op.op)
				if err != nil {
					s.Fatal(err)
				}
				s.same("result", got, want)
				s.expect(want)
			}
			s.expect(full("other"))
			s.expectNames("agent", "bare", "missing", "other")
		}})
	}
	return tests
}
