package etcdstore_test

import (
	"errors"
	"fmt"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"podstore/store"
	"podstore/store/etcdstore"
)

// once returns a request whose changes would show if they were made twice.
type once struct {
	t       *testing.T
	changes []store.Change
	opts    store.ApplyOptions
	applied []store.Applied
}

// ask makes the changes for the first time.
func ask(t *testing.T, s store.MetadataStore, seen uint64, changes ...store.Change) *once {
	t.Helper()
	o := &once{t: t, changes: changes, opts: store.ApplyOptions{ID: store.NewRequestID(), Seen: seen}}
	var err error
	if o.applied, err = s.Apply(background, changes, &o.opts); err != nil {
		t.Fatal(err)
	}
	return o
}

// again repeats the request after others have made changes.
func (o *once) again(what string, s store.MetadataStore, resent bool, want error) {
	o.t.Helper()
	opts := o.opts
	opts.Resent = resent
	applied, err := s.Apply(background, o.changes, &opts)
	if !errors.Is(err, want) {
		o.t.Errorf("%s, resent %v: %v, expected %v", what, resent, err, want)
		return
	}
	for i := range applied {
		if got, want := applied[i].Version.Revision.Number, o.applied[i].Version.Revision.Number; want != 0 && got != want {
			o.t.Errorf("%s, resent %v: %s has number %d, expected %d", what, resent, applied[i].Pod, got, want)
		}
	}
}

func reclaim(pod, child string) store.Change {
	return store.Change{Pod: pod, Op: store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: child}}}}
}

func history(t *testing.T, s store.MetadataStore, pod string) int {
	t.Helper()
	return len(mustRead(t, s, pod).Reclaimed)
}

// A request is made once, whichever Store repeats it. As long as etcd keeps its
// history, that holds even if the Pod no longer keeps the ID.
func TestRequestIDs(t *testing.T) {
	_, s, _, direct := onWire(t, nil)
	restarted, err := etcdstore.New(direct, s.Prefix(), nil)
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, &store.Metadata{PodName: "a"}, &store.Metadata{PodName: "b"})
	seen := mustRead(t, s, "b").Version.Revision.Number
	o := ask(t, s, seen, reclaim("a", "x"), reclaim("b", "x"))
	for _, resent := range []bool{false, true} {
		o.again("at once", restarted, resent, nil)
	}
	if a := o.applied[0].Version; a != mustRead(t, s, "a").Version {
		t.Errorf("version %+v, stored is %+v", a, mustRead(t, s, "a").Version)
	}
	other := store.ApplyOptions{ID: o.opts.ID}
	if _, err := s.Apply(background, []store.Change{reclaim("a", "y")}, &other); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("other changes under the same ID: %v", err)
	}
	for i := range 40 { // more than IDs are kept of
		for _, pod := range []string{"a", "b"} {
			if err := store.Do(background, s, pod, store.AddPeer{PodName: fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	o.again("after many changes", restarted, true, nil)
	for _, pod := range []string{"a", "b"} {
		if err := store.Do(background, s, pod, store.Delete{}); err != nil {
			t.Fatal(err)
		}
	}
	o.again("after the Pods were deleted", restarted, true, nil)
	put(t, s, &store.Metadata{PodName: "a"}, &store.Metadata{PodName: "b"})
	o.again("after they were created again", restarted, true, nil)
	if n := history(t, s, "a"); n != 0 {
		t.Errorf("it was made %d times again", n)
	}
	o.opts.Metadata = true
	opts := o.opts
	opts.Resent = true
	if applied, err := s.Apply(background, o.changes, &opts); err != nil || applied[1].Metadata != nil {
		t.Errorf("the metadata of now is given as that of then: %+v, %v", applied, err)
	}

	resp, err := direct.Get(background, "x")
	if err == nil {
		_, err = direct.Compact(background, resp.Header.Revision)
	}
	if err != nil {
		t.Fatal(err)
	}
	o.again("after history was compacted", restarted, true, store.ErrUnknown)
	o.opts.Seen = uint64(resp.Header.Revision) + 1000
	o.again("of a store that is older", restarted, true, store.ErrUnknown)
	check(t, s)
}

// A request that deletes is made once too, although the Pod is missing afterwards.
func TestRequestIDsOfDeletions(t *testing.T) {
	_, s, _, _ := onWire(t, nil)
	put(t, s, &store.Metadata{PodName: "a"}, &store.Metadata{PodName: "b", Peers: []store.Peer{{PodName: "a"}, {PodName: "gone"}}})
	seen := mustRead(t, s, "b").Version.Revision.Number
	removed := ask(t, s, seen, store.Change{Pod: "gone", Op: store.Remove{}})
	deleted := ask(t, s, seen, store.Change{Pod: "a", Op: store.Delete{}, If: store.Exists})
	for range 3 {
		for _, resent := range []bool{false, true} {
			removed.again("removed", s, resent, nil)
			deleted.again("deleted", s, resent, nil)
		}
		if err := store.Do(background, s, "b", store.AddPeer{PodName: "gone"}); err != nil {
			t.Fatal(err)
		}
		put(t, s, &store.Metadata{PodName: "a"})
	}
	if m := mustRead(t, s, "b"); !m.HasPeer("gone") {
		t.Error("a reference was removed again")
	}
	mustRead(t, s, "a")
}

// Remove removes a Pod together with all references to it. That includes a reference
// made during the search, on condition that the Pod exists.
func TestRemove(t *testing.T) {
	child := store.AddChild{Child: store.SpawnedChild{PodName: "x"}}
	there := store.Change{Pod: "x", If: store.Exists}
	for name, meanwhile := range map[string]func(s store.MetadataStore) error{
		"nothing": func(store.MetadataStore) error { return nil },
		"a link":  func(s store.MetadataStore) error { return store.LinkPeers(background, s, "late", "x") },
		"half a link": func(s store.MetadataStore) error {
			return errors.Join(store.Do(background, s, "x", store.AddPeer{PodName: "late"}), store.LinkPeers(background, s, "late", "x"))
		},
		"a child": func(s store.MetadataStore) error {
			_, err := s.Apply(background, []store.Change{{Pod: "late", Op: child}, there}, nil)
			return err
		},
		"a child, in the other order": func(s store.MetadataStore) error {
			_, err := s.Apply(background, []store.Change{there, {Pod: "late", Op: child}}, nil)
			return err
		},
		"a referrer changed": func(s store.MetadataStore) error {
			return store.Do(background, s, "parent", store.AddPeer{PodName: "p"})
		},
		"a referrer is gone": func(s store.MetadataStore) error { return store.Do(background, s, "peer", store.Delete{}) },
		"others changed":     func(s store.MetadataStore) error { return store.Do(background, s, "late", store.AddPeer{PodName: "p"}) },
	} {
		t.Run(name, func(t *testing.T) {
			w, s, beside, direct := onWire(t, nil)
			parent := bulky("parent")
			parent.Children = append(parent.Children, child.Child)
			parent.Reclaimed = append(parent.Reclaimed, store.ReclaimedChild{PodName: "x"})
			put(t, s, bulky("x"), parent, bulky("peer"), bulky("late"), bulky("damaged"))
			if err := store.LinkPeers(background, s, "x", "peer"); err != nil {
				t.Fatal(err)
			}
			flipBit(t, direct, s.Prefix()+"values/damaged/peers")
			w.set(first(fate{before: func() {
				if err := meanwhile(beside); err != nil {
					t.Error(err)
				}
			}}))
			applied, err := s.Apply(background, []store.Change{{Pod: "x", Op: store.Remove{}}}, nil)
			if err != nil || len(applied) != 1 || applied[0].Version.Revision.Number == 0 {
				t.Fatalf("%+v, %v", applied, err)
			}
			if _, err := s.Read(background, "x"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("Read: %v", err)
			}
			for m, err := range s.All(background, store.ReadOptions{}) {
				if err != nil {
					continue // the damaged one
				}
				if m.RefersTo("x") {
					t.Errorf("%s refers to it", m.PodName)
				}
				if len(m.Manifest) == 0 {
					t.Errorf("%s lost its manifest", m.PodName)
				}
			}
			if n := history(t, s, "parent"); n != 2 {
				t.Errorf("the parent's history has %d entries", n)
			}
		})
	}
}

// Remove refuses a Pod with more references than one transaction can hold.
func TestRemoveWithinLimits(t *testing.T) {
	_, s, _, _ := onWire(t, nil)
	refer := func(i int) {
		t.Helper()
		put(t, s, &store.Metadata{PodName: fmt.Sprintf("peer-%02d", i), Peers: []store.Peer{{PodName: "x"}}})
	}
	put(t, s, bulky("x"))
	for i := range 63 {
		refer(i)
	}
	err := store.Do(background, s, "x", store.Remove{})
	if e, ok := errors.AsType[*store.Error](err); !errors.Is(err, store.ErrTooLarge) || !ok || e.Pod != "x" {
		t.Errorf("63 references: %v", err)
	}
	if m := mustRead(t, s, "peer-00"); !m.HasPeer("x") {
		t.Error("a reference was removed alone")
	}
	if err := store.Do(background, s, "peer-00", store.Delete{}); err != nil {
		t.Fatal(err)
	}
	if err := store.Do(background, s, "x", store.Remove{}); err != nil {
		t.Errorf("62 references: %v", err)
	}
	for m, err := range s.All(background, store.ReadOptions{}) {
		if err != nil || m.RefersTo("x") {
			t.Errorf("%v, %v", m, err)
		}
	}
	check(t, s)
}

// The store does not read what a caller does not ask for: it may be damaged.
func TestPartsAreReadApart(t *testing.T) {
	_, s, _, direct := onWire(t, nil)
	for sub, opts := range map[string]store.ReadOptions{"manifest": {OmitManifest: true}, "reclaimed": {OmitReclaimed: true}} {
		put(t, s, bulky(sub))
		flipBit(t, direct, s.Prefix()+"values/"+sub+"/"+sub)
		if _, err := s.Read(background, sub); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("Read without %s: %v", sub, err)
		}
		m, err := s.ReadPart(background, sub, opts)
		if err != nil || m.Omitted != opts || m.Version.Revision.IsZero() {
			t.Errorf("ReadPart without %s: %+v, %v", sub, m, err)
		}
		n := 0
		for m, err := range s.All(background, opts) {
			if n++; err == nil && m.PodName == sub && m.Omitted != opts {
				t.Errorf("All without %s: %+v", sub, m)
			}
		}
		before, err := direct.Get(background, s.Prefix()+"values/"+sub+"/"+sub)
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Do(background, s, sub, store.AddPeer{PodName: "new"}); err != nil {
			t.Errorf("add peer without %s: %v", sub, err)
		}
		if after, err := direct.Get(background, s.Prefix()+"values/"+sub+"/"+sub, clientv3.WithSerializable()); err != nil || after.Kvs[0].ModRevision != before.Kvs[0].ModRevision {
			t.Errorf("add peer changed %s, %v", sub, err)
		}
		// What deletes and creates the Pod in one Apply leaves nothing of it, read or not.
		if _, err := s.Apply(background, []store.Change{{Pod: sub, Op: store.Delete{}}, {Pod: sub, Op: store.AddPeer{PodName: "new"}}}, nil); err != nil {
			t.Fatal(err)
		}
		if m := mustRead(t, s, sub); m.Diff(&store.Metadata{PodName: sub, Peers: []store.Peer{{PodName: "new"}}}) != "" {
			t.Errorf("deleted and created again, the Pod is %+v", m)
		}
		// Neither where what was read is the same.
		like := bulky(sub)
		like.Active, like.Children, like.Extra = nil, nil, nil
		put(t, s, like)
		if _, err := s.Apply(background, []store.Change{{Pod: sub, Op: store.Delete{}}, {Pod: sub, Op: store.AddPeer{PodName: "peer"}}}, nil); err != nil {
			t.Fatal(err)
		}
		if m := mustRead(t, s, sub); m.Diff(&store.Metadata{PodName: sub, Peers: []store.Peer{{PodName: "peer"}}}) != "" {
			t.Errorf("deleted and created again, the Pod is %+v", m)
		}
	}
	check(t, s)
}
