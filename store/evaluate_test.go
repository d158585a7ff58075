package store_test

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"testing"

	"podstore/store"
)

// pods are Pods by name.
func pods(list ...*store.Metadata) map[string]*store.Metadata {
	byName := map[string]*store.Metadata{}
	for _, m := range list {
		byName[m.PodName] = m
	}
	return byName
}

func clones(before map[string]*store.Metadata) map[string]*store.Metadata {
	c := maps.Clone(before)
	for name, m := range c {
		c[name] = m.Clone()
	}
	return c
}

// evaluate prepares and evaluates, and makes sure that before is left alone.
func evaluate(t *testing.T, before map[string]*store.Metadata, damaged map[string]error, changes ...store.Change) (map[string]*store.Metadata, error) {
	t.Helper()
	changes, err := store.Prepare(changes)
	if err != nil {
		t.Fatal(err)
	}
	was, wasDamaged := clones(before), maps.Clone(damaged)
	after, err := store.Evaluate(changes, before, damaged)
	if !reflect.DeepEqual(before, was) || !reflect.DeepEqual(damaged, wasDamaged) {
		t.Errorf("Evaluate changed what it was given: %v, %v", before, damaged)
	}
	return after, err
}

func withPeers(pod string, names ...string) *store.Metadata {
	m := &store.Metadata{PodName: pod}
	for _, name := range names {
		m.Peers = append(m.Peers, store.Peer{PodName: name})
	}
	return m
}

func TestEvaluateGivesWhatWasNamed(t *testing.T) {
	before := pods(whole(), withPeers("same", "x"), withPeers("gone"), withPeers("unnamed"))
	after, err := evaluate(t, before, nil,
		store.Change{Pod: "agent", Op: store.AddPeer{PodName: "c"}},
		store.Change{Pod: "agent", Op: store.SetField{Field: "later", Value: []byte("1")}},
		store.Change{Pod: "same", If: store.Exists},
		store.Change{Pod: "gone", Op: store.Delete{}},
		store.Change{Pod: "new", Op: store.AddPeer{PodName: "x"}, If: store.Missing},
		store.Change{Pod: "missing", Op: store.AddPeer{PodName: "x"}, If: store.SkipMissing},
		store.Change{Pod: "never", Op: store.Delete{}})
	if err != nil {
		t.Fatal(err)
	}
	agent := whole()
	agent.Peers = withPeers("", "a", "b", "c").Peers
	agent.Extra["later"] = []byte("1")
	want := map[string]*store.Metadata{"agent": agent, "same": before["same"], "gone": nil, "new": withPeers("new", "x"), "missing": nil, "never": nil}
	if !reflect.DeepEqual(after, want) {
		t.Errorf("got %v, want %v", after, want)
	}
	if after["same"] != before["same"] {
		t.Error("a Pod to which nothing was done is not the one that was given")
	}
	// A backend keeps what it gets, and gives callers what it had.
	was := clones(before)
	m := after["agent"]
	m.Active.SegmentID[0], m.Manifest[1], m.Extra["future"][1] = 99, '#', '#'
	m.Children[0].ScopeDelegated[0].Target, m.Reclaimed[0].ScopeDelegated[0].Target, m.Peers[0].PodName = "x", "x", "x"
	if !reflect.DeepEqual(before, was) {
		t.Error("the result shares memory with what was given")
	}
}

func TestEvaluateRemove(t *testing.T) {
	child := func(m *store.Metadata, name string) *store.Metadata {
		m.Children = append(m.Children, store.SpawnedChild{PodName: name})
		m.Reclaimed = append(m.Reclaimed, store.ReclaimedChild{PodName: name})
		return m
	}
	before := pods(child(withPeers("a", "gone", "b"), "gone"), withPeers("b", "a"), withPeers("gone", "a"))
	after, err := evaluate(t, before, nil,
		store.Change{Pod: "early", Op: store.AddPeer{PodName: "gone"}},
		store.Change{Pod: "gone", Op: store.Remove{}},
		store.Change{Pod: "late", Op: store.AddPeer{PodName: "gone"}})
	if err != nil {
		t.Fatal(err)
	}
	a := withPeers("a", "b")
	a.Reclaimed = []store.ReclaimedChild{{PodName: "gone"}}
	want := map[string]*store.Metadata{"a": a, "gone": nil, "early": withPeers("early"), "late": withPeers("late", "gone")}
	if !reflect.DeepEqual(after, want) {
		t.Errorf("got %v, want %v", after, want)
	}
	// Of a missing Pod, and beside one that cannot be read.
	damaged := map[string]error{"b": &store.Error{Pod: "b", Kind: store.ErrCorrupt}}
	after, err = evaluate(t, pods(withPeers("a", "gone"), withPeers("b", "gone")), damaged, store.Change{Pod: "gone", Op: store.Remove{}})
	if want := map[string]*store.Metadata{"a": withPeers("a"), "gone": nil}; err != nil || !reflect.DeepEqual(after, want) {
		t.Errorf("beside damage: got %v, %v, want %v", after, err, want)
	}
}

func TestEvaluateDamage(t *testing.T) {
	corrupt := &store.Error{Pod: "b", Kind: store.ErrCorrupt, Err: errors.New("checksum")}
	put := store.Put{Metadata: withPeers("b", "put")}
	for what, c := range map[string]struct {
		changes []store.Change
		want    *store.Metadata
		err     error
		op      string
	}{
		"put":                   {[]store.Change{{Pod: "b", Op: put}}, withPeers("b", "put"), nil, ""},
		"put where it exists":   {[]store.Change{{Pod: "b", Op: put, If: store.Exists}}, withPeers("b", "put"), nil, ""},
		"put where it does not": {[]store.Change{{Pod: "b", Op: put, If: store.Missing}}, nil, store.ErrExists, "put"},
		"put at a revision":     {[]store.Change{{Pod: "b", Op: put, If: store.AtRevision(store.Revision{Number: 1})}}, nil, store.ErrCorrupt, "put"},
		"put, then more":        {[]store.Change{{Pod: "b", Op: put}, {Pod: "b", Op: store.AddPeer{PodName: "a"}, If: store.Exists}}, withPeers("b", "a", "put"), nil, ""},
		"more, then put":        {[]store.Change{{Pod: "b", Op: store.AddPeer{PodName: "a"}}, {Pod: "b", Op: put}}, nil, store.ErrCorrupt, "add peer"},
		"delete":                {[]store.Change{{Pod: "b", Op: store.Delete{}, If: store.SkipMissing}}, nil, nil, ""},
		"delete, then more":     {[]store.Change{{Pod: "b", Op: store.Delete{}}, {Pod: "b", Op: store.AddPeer{PodName: "a"}, If: store.Missing}}, withPeers("b", "a"), nil, ""},
		"remove":                {[]store.Change{{Pod: "b", Op: store.Remove{}}}, nil, nil, ""},
		"another operation":     {[]store.Change{{Pod: "b", Op: store.SetPeers{}}}, nil, store.ErrCorrupt, "set peers"},
		"a condition":           {[]store.Change{{Pod: "b", If: store.Exists}}, nil, store.ErrCorrupt, "check"},
	} {
		for _, before := range []map[string]*store.Metadata{nil, pods(withPeers("b", "old"))} { // a backend may know what it was
			after, err := evaluate(t, before, map[string]error{"b": corrupt}, c.changes...)
			if !errors.Is(err, c.err) || err == nil && !reflect.DeepEqual(after["b"], c.want) {
				t.Errorf("%s: got %v, %v", what, after["b"], err)
			}
			var e *store.Error
			if err != nil && (!errors.As(err, &e) || e.Op != c.op || e.Pod != "b") {
				t.Errorf("%s: error %v, want one of %q that names the Pod", what, err, c.op)
			}
		}
	}
	if corrupt.Op != "" {
		t.Error("the error that was passed in has changed")
	}
}

func TestEvaluateStopsAtTheFirstError(t *testing.T) {
	after, err := evaluate(t, pods(whole()), nil,
		store.Change{Pod: "agent", Op: store.SetPeers{}},
		store.Change{Pod: "missing", Op: store.AddPeer{PodName: "x"}, If: store.Exists},
		store.Change{Pod: "agent", If: store.Missing})
	var e *store.Error
	if after != nil || !errors.Is(err, store.ErrNotFound) || !errors.As(err, &e) || e.Op != "add peer" || e.Pod != "missing" {
		t.Errorf("got %v, %v", slices.Collect(maps.Keys(after)), err)
	}
}
