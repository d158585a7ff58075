package store_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"podstore/store"
)

// operations has each operation once, with arguments in no normal form where they
// can have one.
func operations() []store.Op {
	scope := []store.ScopeRule{{Target: "/new"}}
	put := whole()
	put.Manifest, put.Peers = json.RawMessage(` { "b" : 1.50, "a" : null } `), []store.Peer{}
	put.Children[1].ScopeDelegated = []store.ScopeRule{}
	return []store.Op{
		store.Put{Metadata: put, Changed: time.Unix(1, 0)},
		store.Delete{},
		store.Remove{},
		store.SetActive{Active: store.ActiveIn(store.SessionID{7}, store.SegmentID{8}), Manifest: json.RawMessage(` [ 1e2 ] `)},
		store.SetSegment{Active: store.ActiveIn(store.SessionID{7}, store.SegmentID{9})},
		store.SetChildren{Children: []store.SpawnedChild{{PodName: "new", ScopeDelegated: scope}, {PodName: "worker", ScopeDelegated: []store.ScopeRule{}}}},
		store.AddChild{Child: store.SpawnedChild{PodName: "worker", SocketPath: "/new", ScopeDelegated: []store.ScopeRule{}}},
		store.RemoveChild{PodName: "auditor"},
		store.SetPeers{Peers: []store.Peer{{PodName: "z"}, {PodName: "a"}}},
		store.AddPeer{PodName: "aa"},
		store.RemovePeer{PodName: "b"},
		store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: "worker", ScopeDelegated: scope}, {PodName: "x", ScopeDelegated: []store.ScopeRule{}}}},
		store.TrimReclaimed{Keep: 1},
		store.SetField{Field: "later", Value: json.RawMessage(` {"y":1,"x":2.50} `)},
		store.ClearField{Field: "future"},
	}
}

// prepared is one operation as every backend gets it.
func prepared(t *testing.T, op store.Op) store.Op {
	t.Helper()
	changes, err := store.Prepare([]store.Change{{Pod: "agent", Op: op}})
	if err != nil {
		t.Fatalf("%s: %v", op.Name(), err)
	}
	return changes[0].Op
}

// fields are those of two Pods that differ.
func fields(a, b *store.Metadata) (set store.FieldSet) {
	for field, differs := range map[store.Field]bool{
		store.FieldActive: !reflect.DeepEqual(a.Active, b.Active), store.FieldChildren: !reflect.DeepEqual(a.Children, b.Children),
		store.FieldExtra: !reflect.DeepEqual(a.Extra, b.Extra), store.FieldManifest: !reflect.DeepEqual(a.Manifest, b.Manifest),
		store.FieldPeers: !reflect.DeepEqual(a.Peers, b.Peers), store.FieldReclaimed: !reflect.DeepEqual(a.Reclaimed, b.Reclaimed),
	} {
		if differs {
			set |= store.Fields(field)
		}
	}
	return set
}

// only leaves of a Pod the fields of a set.
func only(m *store.Metadata, set store.FieldSet) *store.Metadata {
	part := &store.Metadata{PodName: m.PodName}
	for field, take := range map[store.Field]func(){
		store.FieldActive: func() { part.Active = m.Active }, store.FieldChildren: func() { part.Children = m.Children },
		store.FieldExtra: func() { part.Extra = m.Extra }, store.FieldManifest: func() { part.Manifest = m.Manifest },
		store.FieldPeers: func() { part.Peers = m.Peers }, store.FieldReclaimed: func() { part.Reclaimed = m.Reclaimed },
	} {
		if set.Has(field) {
			take()
		}
	}
	return part.Clone()
}

// A backend reads and writes what an operation touches, and nothing else. That must
// be enough: on a Pod of which nothing else is known the operation does the same.
func TestOperationsTouchWhatTheySay(t *testing.T) {
	long := whole()
	long.Reclaimed = append(long.Reclaimed, store.ReclaimedChild{PodName: "older"}, store.ReclaimedChild{PodName: "newer"})
	for _, op := range operations() {
		op := prepared(t, op)
		touches := op.Touches()
		switch op.(type) {
		case store.Reclaim, store.TrimReclaimed:
			touches |= store.Fields(store.FieldReclaimed)
		}
		for _, before := range []*store.Metadata{long, {PodName: "agent"}} {
			after := before.Clone()
			op.Apply(after)
			if changed := fields(before, after); changed&^touches != 0 {
				t.Errorf("%s touches %b and changed %b", op.Name(), touches, changed)
			}
			part := only(before, touches)
			op.Apply(part)
			if got := only(after, touches); fields(part, got) != 0 {
				t.Errorf("%s of a part gave %+v, of the whole %+v", op.Name(), part, got)
			}
			normal := after.Clone()
			if err := normal.Normalize(); err != nil || !reflect.DeepEqual(normal, after) {
				t.Errorf("%s left no normal form: %+v, %v", op.Name(), after, err)
			}
		}
	}
	// Reclaim needs nothing of the history that is there.
	m := &store.Metadata{PodName: "agent", Children: whole().Children}
	reclaim := store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: "worker"}}}
	prepared(t, reclaim).Apply(m)
	if len(m.Children) != 1 || !reflect.DeepEqual(m.Reclaimed, reclaim.Reclaimed) {
		t.Errorf("Reclaim: %+v", m)
	}
}

// The name is what an operation is called in JSON, in messages and in the log.
func TestOperationNames(t *testing.T) {
	want := []string{
		"put", "delete", "remove", "set_active", "set_segment", "set_children", "add_child", "remove_child", "set_peers", "add_peer", "remove_peer",
		"reclaim", "trim_reclaimed", "set_field", "clear_field",
	}
	var got []string
	for _, op := range operations() {
		got = append(got, op.Name())
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Prepare leaves what it is given as it was, and what it returns shares no memory
// with that.
func TestPrepareCopies(t *testing.T) {
	changes := func() (list []store.Change) {
		for _, op := range operations() {
			list = append(list, store.Change{Pod: "agent", Op: op, If: store.Exists})
		}
		return list
	}
	given := changes()
	got, err := store.Prepare(given)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(given, changes()) {
		t.Error("Prepare changed what it was given")
	}
	want, err := store.Prepare(changes())
	if err != nil {
		t.Fatal(err)
	}
	scope := []store.ScopeRule{{Target: "changed"}}
	for _, c := range given {
		switch op := c.Op.(type) {
		case store.Put:
			op.Metadata.Manifest[1], op.Metadata.Active.SegmentID[0], op.Metadata.Extra["future"][0] = '#', 99, '#'
			op.Metadata.Children[0].ScopeDelegated[0], op.Metadata.Reclaimed[0].PodName = scope[0], "changed"
		case store.SetActive:
			op.Manifest[1], op.Active.SegmentID[0] = '#', 99
		case store.SetSegment:
			op.Active.SegmentID[0] = 99
		case store.SetChildren:
			op.Children[0].ScopeDelegated[0], op.Children[1].PodName = scope[0], "changed"
		case store.SetPeers:
			op.Peers[0].PodName = "changed"
		case store.Reclaim:
			op.Reclaimed[0].ScopeDelegated[0], op.Reclaimed[1].PodName = scope[0], "changed"
		case store.SetField:
			op.Value[1] = '#'
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("what Prepare returned shares memory with what it was given: %+v", got)
	}
	for i := range got {
		if got[i].If != store.Exists || got[i].Pod != "agent" {
			t.Errorf("change %d is %+v", i, got[i])
		}
	}
}

func TestPrepareNormalizes(t *testing.T) {
	m := &store.Metadata{PodName: "agent"}
	for _, op := range []store.Op{
		store.SetActive{Manifest: json.RawMessage(` {"b":1.50,"a":1e2} `)},
		store.SetChildren{Children: []store.SpawnedChild{{PodName: "c", ScopeDelegated: []store.ScopeRule{}}}},
		store.AddChild{Child: store.SpawnedChild{PodName: "d", ScopeDelegated: []store.ScopeRule{}}},
		store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: "r", ScopeDelegated: []store.ScopeRule{}}}},
		store.SetPeers{Peers: []store.Peer{}},
		store.SetField{Field: "future", Value: json.RawMessage(` 1e0 `)},
	} {
		prepared(t, op).Apply(m)
	}
	want := &store.Metadata{
		PodName: "agent", Manifest: json.RawMessage(`{"a":100.0,"b":1.5}`), Children: []store.SpawnedChild{{PodName: "c"}, {PodName: "d"}},
		Reclaimed: []store.ReclaimedChild{{PodName: "r"}}, Extra: map[string]json.RawMessage{"future": json.RawMessage(`1.0`)},
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got %+v, want %+v", m, want)
	}
	for _, op := range []store.Op{store.SetActive{Manifest: json.RawMessage(" null")}, store.SetChildren{Children: []store.SpawnedChild{}}, store.ClearField{Field: "future"}, store.TrimReclaimed{}} {
		prepared(t, op).Apply(m)
	}
	if !reflect.DeepEqual(m, &store.Metadata{PodName: "agent"}) {
		t.Errorf("cleared: %+v", m)
	}
	// A version is the store's, so a Put has none.
	versioned := whole()
	versioned.Version.Revision.Number = 7
	if got := prepared(t, store.Put{Metadata: versioned}).(store.Put); got.Metadata.Version != (store.Version{}) || versioned.Version.Revision.Number != 7 {
		t.Errorf("Put keeps version %v, was given %v", got.Metadata.Version, versioned.Version)
	}
}

func TestPrepareRefuses(t *testing.T) {
	part := whole()
	part.Omitted.OmitManifest = true
	for _, c := range []struct {
		change store.Change
		op     string
		kind   error
	}{
		{store.Change{Pod: "agent"}, "check", store.ErrInvalid},
		{store.Change{Pod: "a/b", If: store.Exists}, "check", store.ErrInvalidName},
		{store.Change{Pod: "", Op: store.Delete{}}, "delete", store.ErrInvalidName},
		{store.Change{Pod: "..", Op: store.SetActive{}}, "set active", store.ErrInvalidName},
		{store.Change{Pod: "agent", Op: store.Delete{}, If: store.AtRevision(store.Revision{})}, "delete", store.ErrInvalid},
		{store.Change{Pod: "agent", Op: store.Put{}}, "put", store.ErrInvalid},
		{store.Change{Pod: "other", Op: store.Put{Metadata: whole()}}, "put", store.ErrInvalid},
		{store.Change{Pod: "agent", Op: store.Put{Metadata: part}}, "put", store.ErrInvalid},
		{store.Change{Pod: "agent", Op: store.AddPeer{PodName: "x/y"}}, "add peer", store.ErrInvalidName},
		{store.Change{Pod: "agent", Op: store.SetChildren{Children: []store.SpawnedChild{{PodName: "x/y"}}}}, "set children", store.ErrInvalidName},
		{store.Change{Pod: "agent", Op: store.SetChildren{Children: []store.SpawnedChild{{PodName: "x", SocketPath: "\xff"}}}}, "set children", store.ErrInvalid},
		{store.Change{Pod: "agent", Op: store.AddChild{Child: store.SpawnedChild{PodName: ".."}}}, "add child", store.ErrInvalidName},
		{store.Change{Pod: "agent", Op: store.AddChild{Child: store.SpawnedChild{PodName: "x", CallbackAddress: "\xff"}}}, "add child", store.ErrInvalid},
		{store.Change{Pod: "agent", Op: store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: ""}}}}, "reclaim", store.ErrInvalidName},
		{store.Change{Pod: "agent", Op: store.TrimReclaimed{Keep: -1}}, "trim reclaimed", store.ErrInvalid},
		{store.Change{Pod: "agent", Op: store.SetField{Field: "peers", Value: json.RawMessage(`[]`)}}, "set field", store.ErrInvalid},
		{store.Change{Pod: "agent", Op: store.SetField{Field: "future"}}, "set field", store.ErrInvalid},
		{store.Change{Pod: "agent", Op: store.ClearField{Field: "active"}}, "clear field", store.ErrInvalid},
		{store.Change{Pod: "agent", Op: store.RemovePeer{PodName: "\xff"}}, "remove peer", store.ErrInvalid},
		{store.Change{Pod: "agent", Op: store.RemoveChild{PodName: "\xff"}}, "remove child", store.ErrInvalid},
	} {
		good := store.Change{Pod: "agent", Op: store.Delete{}}
		for _, changes := range [][]store.Change{{c.change}, {good, c.change, good}} {
			pod := c.change.Pod
			if store.ValidateName(pod) != nil {
				pod = "" // the message quotes it
			}
			got, err := store.Prepare(changes)
			var e *store.Error
			if got != nil || !errors.Is(err, c.kind) || !errors.As(err, &e) || e.Op != c.op || e.Pod != pod {
				t.Errorf("%+v: got %v, %v, want an error of %q that matches %q", c.change, got, err, c.op, c.kind)
			}
		}
	}
	if _, err := store.Prepare(nil); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("no change: %v", err)
	}
}
