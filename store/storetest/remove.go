package storetest

import (
	"encoding/json"
	"errors"
	"fmt"

	"podstore/store"
)

// removes reports whether the store can remove a Pod with what refers to it.
func (s *subject) removes() bool {
	s.Helper()
	err := store.Do(background, s, "probe", store.Remove{})
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		s.Fatalf("Remove of a missing Pod: %v", err)
	}
	return err == nil
}

// referring is a Pod that refers to name in every way, among others.
func referring(pod, name string) *store.Metadata {
	m := full(pod)
	m.Peers = peers(name, "peer", name)
	m.Children = []store.SpawnedChild{{PodName: name, SocketPath: "/1"}, {PodName: "worker"}, {PodName: name, SocketPath: "/2"}}
	m.Reclaimed = []store.ReclaimedChild{{PodName: name}, {PodName: "worker"}}
	m.Manifest = json.RawMessage(fmt.Sprintf("%q", name))
	return m
}

// freed is what remains of it when name is removed.
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
	for i := range 5 {
		s.put(minimal("hub"))
		s.inParallel(writers, func(w int) error {
			if w == 0 {
				return store.Do(background, s, "hub", store.Remove{})
			}
			pod := fmt.Sprint("pod-", w)
			if err := store.Do(background, s, pod, peer(fmt.Sprint("round-", i))); err != nil {
				return err
			}
			err := store.LinkPeers(background, s, pod, "hub")
			if w%2 == 0 {
				_, err = s.Apply(background, []store.Change{
					{Pod: pod, Op: store.AddChild{Child: store.SpawnedChild{PodName: "hub"}}}, {Pod: "hub", If: store.Exists},
				}, nil)
			}
			if errors.Is(err, store.ErrNotFound) {
				return nil
			}
			return err
		})
		s.absent("hub")
		for name, m := range s.state() {
			if m.RefersTo("hub") {
				s.Fatalf("%q refers to a Pod that was removed: %s", name, show(m, ""))
			}
		}
	}
}}
