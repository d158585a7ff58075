package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"podstore/store"
)

// removes reports whether the store can remove a Pod together with the references to
// it.
func (s *subject) removes() bool {
	s.Helper()
	err := store.Do(background, s, "probe", store.Remove{})
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		s.Fatalf("Remove of a missing Pod: %v", err)
	}
	return err == nil
}

// referring returns a Pod that refers to name in every way, and to other Pods.
func referring(pod, name string) *store.Metadata {
	m := full(pod)
	m.Peers = peers(name, "peer", name)
	m.Children = []store.SpawnedChild{{PodName: name, SocketPath: "/1"}, {PodName: "worker"}, {PodName: name, SocketPath: "/2"}}
	m.Reclaimed = []store.ReclaimedChild{{PodName: name}, {PodName: "worker"}}
	m.Manifest = json.RawMessage(fmt.Sprintf("%q", name))
	return m
}

// freed returns what remains of that Pod when name is removed.
func freed(pod, name string) *store.Metadata {
	m := referring(pod, name)
	m.Peers, m.Children = peers("peer"), []store.SpawnedChild{{PodName: "worker"}}
	return m
}

var removeTests = skipping("the store removes no references", (*subject).removes, []test{
	{"takes the Pod and every reference to it, and leaves the history", func(s *subject) {
		s.put(referring("a", "b"), full("b"), referring("c", "b"), full("other"), referring("longer", "b2"), withPeers("peer", "b"))
		other, longer := s.get("other").Version, s.get("longer").Version
		a := s.get("a").Version
		s.do("b", store.Remove{})
		s.expect(freed("a", "b"), freed("c", "b"), minimal("peer"), full("other"), referring("longer", "b2"))
		s.expectNames("a", "c", "longer", "other", "peer")
		if s.get("other").Version != other || s.get("longer").Version != longer {
			s.Error("a Pod that does not refer to the one that was removed has another version")
		}
		if s.get("a").Version == a {
			s.Error("a Pod that lost its references has the same version")
		}
	}},
	{"of a missing Pod takes the references to it", func(s *subject) {
		s.put(referring("a", "b"))
		s.do("b", store.Remove{})
		s.expect(freed("a", "b"))
		s.expectNames("a")
		s.writesNothing("Remove of what is not there", func() { s.do("b", store.Remove{}) })
	}},
	{"of a Pod that refers to itself", func(s *subject) {
		s.put(referring("a", "a"))
		s.do("a", store.Remove{})
		s.expectNames()
	}},
	{"keeps conditions", func(s *subject) {
		s.put(referring("a", "b"))
		s.refuses(store.ErrNotFound, store.Change{Pod: "b", Op: store.Remove{}, If: store.Exists})
		s.refuses(store.ErrExists, store.Change{Pod: "a", Op: store.Remove{}, If: store.Missing})
		s.refuses(store.ErrConflict, store.Change{Pod: "a", Op: store.Remove{}, If: store.AtRevision(stale)})
		s.refuses(store.ErrNotFound, store.Change{Pod: "b", Op: store.Remove{}}, store.Change{Pod: "b", If: store.Exists})
		s.writesNothing("Remove that is left out", func() { s.apply(store.Change{Pod: "b", Op: store.Remove{}, If: store.SkipMissing}) })
		s.put(full("b"))
		s.apply(store.Change{Pod: "b", Op: store.Remove{}, If: s.at("b")})
		s.expect(freed("a", "b"))
		s.expectNames("a")
	}},
	{"and made anew as it was, makes no revision", func(s *subject) {
		for what, gone := range map[string]store.Op{"deleted": store.Delete{}, "removed": store.Remove{}} {
			s.put(minimal("a"))
			was := s.get("a").Version
			s.apply(store.Change{Pod: "a", Op: gone}, store.Change{Pod: "a", Op: store.RemovePeer{PodName: "none"}})
			s.expect(minimal("a"))
			if now := s.get("a").Version; now != was {
				s.Errorf("%s and made anew as it was, it has version %v, want %v", what, now, was)
			}
		}
	}},
	{"among other changes has its place", func(s *subject) {
		s.put(referring("a", "b"), full("b"))
		applied := s.applyFor(&store.ApplyOptions{Metadata: true},
			store.Change{Pod: "c", Op: peer("b")}, // taken back
			store.Change{Pod: "b", Op: store.Remove{}},
			store.Change{Pod: "b", Op: peer("again"), If: store.Missing},
			store.Change{Pod: "d", Op: peer("b")})
		a := freed("a", "b")
		s.expect(a, withPeers("b", "again"), minimal("c"), withPeers("d", "b"))
		n := applied[0].Version.Revision.Number
		for _, name := range []string{"a", "b", "d"} {
			if got := s.get(name).Version.Revision.Number; got != n {
				s.Errorf("one Apply gave %q number %d, and %q number %d", "c", n, name, got)
			}
		}
	}},
	{"of several Pods at once", func(s *subject) {
		a := full("a")
		a.Peers = peers("b", "c", "d")
		s.put(a, withPeers("b", "c", "a"), withPeers("c", "b", "a"))
		s.apply(store.Change{Pod: "b", Op: store.Remove{}}, store.Change{Pod: "c", Op: store.Remove{}})
		a.Peers = peers("d")
		s.expect(a)
		s.expectNames("a")
	}},
	{"reaches every one of many", func(s *subject) {
		var changes []store.Change
		for i := range 100 {
			name := fmt.Sprintf("pod-%03d", i)
			changes = append(changes, store.Change{Pod: name, Op: store.Put{Metadata: referring(name, "hub")}})
		}
		s.apply(changes...)
		s.put(full("hub"))
		s.do("hub", store.Remove{})
		for name, m := range s.state() {
			if why := mismatch(m, freed(name, "hub")); why != "" {
				s.Errorf("%q: %s", name, why)
			}
		}
		if n := len(s.list()); n != 100 {
			s.Errorf("%d Pods are left of 100", n)
		}
	}},
})

var concurrentRemoves = test{"no link or child under a condition outlives a Pod that is removed", func(s *subject) {
	if !s.removes() {
		s.Skip("the store removes no references")
	}
	RaceRemoves(s.T, s.MetadataStore, 500)
}}

// RaceRemoves removes Pods while others link to them and take them as children, on
// condition that they exist. It does so at least the given number of times. It fails
// the test if a reference to a missing Pod is left, or half a link.
func RaceRemoves(t *testing.T, s store.MetadataStore, races int) {
	t.Helper()
	const hubs, others = 8, 4 // of each hub
	made := map[bool]int{}    // counts references made, and refused
	for done := 0; done < races; done += hubs * others {
		var changes []store.Change
		for hub := range hubs {
			changes = append(changes, store.Change{Pod: fmt.Sprint("hub-", hub), Op: peer(fmt.Sprint("round-", done))})
			for i := range others {
				changes = append(changes, store.Change{Pod: fmt.Sprintf("pod-%d-%d", hub, i), Op: store.SetField{Field: "round", Value: fmt.Append(nil, done)}})
			}
		}
		if _, err := s.Apply(background, changes, nil); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		var mu sync.Mutex
		for h := range hubs {
			hub := fmt.Sprint("hub-", h)
			all.Go(func() {
				if err := store.Do(background, s, hub, store.Remove{}); err != nil {
					t.Errorf("Remove: %v", err)
				}
			})
			for i := range others {
				all.Go(func() {
					err := refer(s, fmt.Sprintf("pod-%d-%d", h, i), hub, (i+h+done)%others)
					if err != nil && !errors.Is(err, store.ErrNotFound) {
						t.Errorf("a reference to a Pod that is removed: %v", err)
					}
					mu.Lock()
					defer mu.Unlock()
					made[err == nil]++
				})
			}
		}
		all.Wait()
		for ref, err := range store.BrokenReferences(background, s) {
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(ref.To, "round-") { // an AddPeer without a condition may dangle
				t.Fatalf("after %d races there is left: %+v", done, ref)
			}
		}
		names, err := s.List(background)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasPrefix(name, "hub-") {
				t.Fatalf("%q was removed and is there", name)
			}
		}
	}
	t.Logf("of %d references %d were made before the Pod was removed", made[true]+made[false], made[true])
}

// refer makes a reference, in one of four ways, on condition that the Pod exists.
func refer(s store.MetadataStore, pod, to string, way int) error {
	child := store.AddChild{Child: store.SpawnedChild{PodName: to}}
	var err error
	switch way {
	case 0:
		return store.LinkPeers(background, s, to, pod)
	case 1:
		_, err = s.Apply(background, []store.Change{{Pod: pod, Op: child}, {Pod: to, If: store.Exists}}, nil)
	case 2:
		_, err = s.Apply(background, []store.Change{{Pod: to, Op: store.SetField{Field: "parent", Value: []byte(`1`)}, If: store.Exists}, {Pod: pod, Op: child}}, nil)
	default:
		_, err = store.UpdatePods(background, s, []string{pod, to}, func(pods []*store.Metadata) error {
			if pods[1] == nil {
				return store.ErrNotFound
			}
			pods[0].Peers, pods[1].Peers = append(pods[0].Peers, peers(to)...), append(pods[1].Peers, peers(pod)...)
			return nil
		})
		if errors.Is(err, errors.ErrUnsupported) {
			return store.LinkPeers(background, s, pod, to)
		}
	}
	return err
}
