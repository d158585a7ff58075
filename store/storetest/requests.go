package storetest

import (
	"errors"
	"fmt"
	"sync"

	"podstore/store"
)

// keepsIDs reports whether the store makes the changes of an ID only once.
func (s *subject) keepsIDs() bool {
	s.Helper()
	_, err := s.Apply(background, []store.Change{{Pod: "probe", Op: store.Delete{}}}, &store.ApplyOptions{ID: store.NewRequestID()})
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		s.Fatalf("Apply with an ID: %v", err)
	}
	return err == nil
}

// again repeats a request. It fails the test unless the answer has the revisions of
// then and nothing changes. For a Pod that changed since, a store may know only the
// number.
func (s *subject) again(opts *store.ApplyOptions, was []store.Applied, changes ...store.Change) {
	s.Helper()
	what := "the same request again, " + described(changes)
	s.writesNothing(what, func() {
		got, err := s.Apply(background, changes, opts)
		if err != nil || len(got) != len(was) {
			s.Fatalf("%s: %v, %v", what, got, err)
		}
		for i, a := range got {
			revision, want := a.Version.Revision, was[i].Version.Revision
			if m, err := s.Read(background, a.Pod); revision.Digest == 0 && (err != nil || m.Version.Revision != want) {
				want.Digest = 0
			}
			if a.Pod != was[i].Pod || changes[i].Op != nil && revision != want {
				s.Errorf("%s: revision %v of %q, want %v of %q", what, revision, a.Pod, want, was[i].Pod)
			}
			if a.Metadata == nil {
				continue
			}
			if now := s.get(a.Pod); now.Version.Revision != a.Version.Revision {
				s.Errorf("%s gives metadata of %q, which is at another revision meanwhile", what, a.Pod)
			} else if why := mismatch(a.Metadata, now); why != "" {
				s.Errorf("%s: %s", what, why)
			}
		}
	})
}

// resent makes a request that may have been made before. It returns nil or an error
// that matches ErrUnknown, after which nothing may have changed.
func (s *subject) resent(seen uint64, id store.RequestID, changes ...store.Change) (applied []store.Applied, err error) {
	s.Helper()
	opts := &store.ApplyOptions{ID: id, Resent: true, Seen: seen}
	before := s.state()
	if applied, err = s.Apply(background, changes, opts); err != nil {
		s.is("a request that was sent again", err, store.ErrUnknown)
		after := s.state()
		for name, m := range before {
			if after[name] == nil || after[name].Version != m.Version {
				s.Errorf("a request that was answered with %v changed %q", err, name)
			}
		}
	}
	return applied, err
}

// once returns a change that shows if it is made twice.
func once(pod, mark string) store.Change {
	return store.Change{Pod: pod, Op: store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: mark}}}}
}

var requestTests = skipping("the store keeps no request IDs", (*subject).keepsIDs, []test{
	{"are made once", func(s *subject) {
		s.put(full("agent"))
		for _, metadata := range []bool{false, true} {
			opts := &store.ApplyOptions{ID: store.NewRequestID(), Metadata: metadata}
			changes := []store.Change{once("agent", "x"), {Pod: "agent", Op: peer("peer-b")}, {Pod: "agent", Op: store.Delete{}, If: store.AtRevision(s.get("agent").Version.Revision)}, once("agent", "y")}
			was := s.applyFor(opts, changes...)
			s.again(opts, was, changes...)
			s.do("agent", peer("later"))
			s.again(opts, was, changes...)
			s.put(full("agent"))
			s.again(opts, was, changes...)
		}
	}},
	{"may create and delete", func(s *subject) {
		create, remove := &store.ApplyOptions{ID: store.NewRequestID()}, &store.ApplyOptions{ID: store.NewRequestID()}
		made := store.Change{Pod: "agent", Op: store.Put{Metadata: full("agent")}, If: store.Missing}
		was := s.applyFor(create, made)
		s.again(create, was, made) // the condition no longer holds
		s.do("agent", peer("x"))
		s.again(create, was, made)
		gone := store.Change{Pod: "agent", Op: store.Delete{}, If: store.Exists}
		was = s.applyFor(remove, gone)
		s.again(remove, was, gone)
		s.put(minimal("agent"))
		s.again(remove, was, gone)
		s.expect(minimal("agent"))
	}},
	{"of which the Pod is gone do not bring it back", func(s *subject) {
		s.put(minimal("other"))
		id, seen := store.NewRequestID(), s.get("other").Version.Revision.Number
		s.applyFor(&store.ApplyOptions{ID: id}, once("agent", "x"))
		s.do("agent", store.Delete{})
		_, _ = s.resent(seen, id, once("agent", "x"))
		s.absent("agent")
	}},
	{"of which one Pod was made anew since give it no revision that is not theirs", func(s *subject) {
		if !s.appliesSeveral() {
			s.Skip("the store changes one Pod at a time")
		}
		opts := &store.ApplyOptions{ID: store.NewRequestID()}
		changes := []store.Change{once("a", "x"), once("b", "x")}
		was := s.applyFor(opts, changes...)
		s.do("b", store.Delete{})
		s.put(minimal("b"))
		s.again(opts, was, changes...)
	}},
	{"that only drop references to the Pod that they remove are made once", func(s *subject) {
		if !s.removes() {
			s.Skip("the store does not remove references")
		}
		for _, exists := range []bool{false, true} {
			changes := []store.Change{{Pod: "gone", Op: store.Remove{}}}
			if exists { // and is the same afterwards
				s.put(minimal("gone"))
				changes = append(changes, store.Change{Pod: "gone", Op: store.RemovePeer{PodName: "nobody"}})
			}
			s.do("agent", peer("gone"))
			opts := &store.ApplyOptions{ID: store.NewRequestID()}
			s.applyFor(opts, changes...)
			s.do("agent", peer("gone"))
			// The answer may say anything of a Pod that the request did not change.
			s.writesNothing("the same request again, "+described(changes), func() { s.applyFor(opts, changes...) })
		}
	}},
	{"with another ID are made again", func(s *subject) {
		for i := range 3 {
			s.applyFor(&store.ApplyOptions{ID: store.NewRequestID()}, once("agent", "x"))
			if n := len(s.get("agent").Reclaimed); n != i+1 {
				s.Errorf("after %d requests: made %d times", i+1, n)
			}
		}
		s.apply(once("agent", "x"))
		s.apply(once("agent", "x"))
		if n := len(s.get("agent").Reclaimed); n != 5 {
			s.Errorf("two without an ID: made %d times in all, want 5", n)
		}
	}},
	{"with the ID of other changes are refused", func(s *subject) {
		s.put(full("agent"))
		id := &store.ApplyOptions{ID: store.NewRequestID()}
		x := once("agent", "x")
		s.applyFor(id, x)
		for _, other := range [][]store.Change{
			{once("agent", "y")}, {{Pod: "agent", Op: store.Delete{}}}, {{Pod: "agent", Op: x.Op, If: store.Exists}}, {x, x}, {x, {Pod: "agent", If: store.Exists}},
			{{Pod: "agent", Op: store.Put{Metadata: full("agent")}}}, {{Pod: "agent", If: store.Exists}},
		} {
			s.unchanged("other changes under the same ID", func() {
				_, err := s.Apply(background, other, id)
				s.is("Apply "+described(other), err, store.ErrInvalid)
			})
		}
		s.apply(once("agent", "y"))
	}},
	{"that were refused can be made later", func(s *subject) {
		id := &store.ApplyOptions{ID: store.NewRequestID()}
		change := once("agent", "x")
		change.If = store.Exists
		_, err := s.Apply(background, []store.Change{change}, id)
		s.is("Apply", err, store.ErrNotFound)
		s.put(minimal("agent"))
		was := s.applyFor(id, change)
		if n := len(s.get("agent").Reclaimed); n != 1 {
			s.Errorf("made %d times", n)
		}
		s.again(id, was, change)
	}},
	{"of several Pods are made once", func(s *subject) {
		if !s.appliesSeveral() {
			s.Skip("the store changes one Pod at a time")
		}
		s.put(full("a"), full("b"), full("c"))
		id := &store.ApplyOptions{ID: store.NewRequestID(), Metadata: true}
		changes := []store.Change{once("a", "x"), {Pod: "b", Op: store.Delete{}}, {Pod: "c", If: store.Exists}, once("new", "x")}
		was := s.applyFor(id, changes...)
		s.again(id, was, changes...)
		s.do("a", peer("later"))
		s.put(minimal("b"))
		s.again(id, was, changes...)
		s.do("c", store.Delete{})
		s.again(id, was, changes...)
		// A Pod that was deleted and created again does not have the request's ID.
		s.do("new", store.Delete{})
		s.put(full("new"))
		s.again(id, was, changes...)
	}},
	{"are known when the data is opened again", func(s *subject) {
		if s.b.Reopen == nil {
			s.Skip("the backend has no Reopen")
		}
		s.put(full("agent"), full("gone"))
		change, remove := &store.ApplyOptions{ID: store.NewRequestID()}, &store.ApplyOptions{ID: store.NewRequestID()}
		was, wasGone := s.applyFor(change, once("agent", "x")), s.applyFor(remove, store.Change{Pod: "gone", Op: store.Delete{}})
		s.reopen()
		s.again(change, was, once("agent", "x"))
		s.again(remove, wasGone, store.Change{Pod: "gone", Op: store.Delete{}})
	}},
	{"sent again that were never made are made", func(s *subject) {
		s.put(minimal("agent"), minimal("other"))
		seen := s.get("other").Version.Revision.Number
		for _, change := range []store.Change{once("agent", "x"), {Pod: "other", Op: store.Delete{}}, once("new", "x")} {
			id := store.NewRequestID()
			was, err := s.resent(seen, id, change)
			if err != nil {
				s.Fatalf("nothing happened since the client last saw the store: %v", err)
			}
			seen = was[0].Version.Revision.Number
			s.again(&store.ApplyOptions{ID: id, Resent: true, Seen: seen}, was, change)
		}
		s.expectNames("agent", "new")
		for _, pod := range []string{"agent", "new"} {
			if n := len(s.get(pod).Reclaimed); n != 1 {
				s.Errorf("the change of %q was made %d times", pod, n)
			}
		}
	}},
	{"sent again to a store that is behind what the client saw are unknown", func(s *subject) {
		if !s.keepsNumbers() {
			s.Skip("the store keeps no numbers")
		}
		s.put(full("other"), full("agent"))
		last := s.get("agent").Version.Revision.Number
		next := last - s.get("other").Version.Revision.Number // as far as the last change was from that before
		for _, behind := range []uint64{next, 2 * next, 1 << 40} {
			for _, change := range []store.Change{once("agent", "x"), {Pod: "agent", Op: store.Delete{}}, once("new", "x")} {
				if _, err := s.resent(last+behind, store.NewRequestID(), change); err == nil {
					s.Errorf("%s was made, although the client has seen number %d and the store is at %d", described([]store.Change{change}), last+behind, last)
				}
			}
		}
		s.expect(full("agent"), full("other"))
		s.expectNames("agent", "other")
	}},
	{"sent again after many others are not made twice", func(s *subject) {
		s.put(minimal("agent"), minimal("other"))
		id, seen := store.NewRequestID(), s.get("other").Version.Revision.Number
		was := s.applyFor(&store.ApplyOptions{ID: id}, once("agent", "x"))
		for i := range 100 {
			s.applyFor(&store.ApplyOptions{ID: store.NewRequestID()}, once("agent", fmt.Sprint(i)))
			s.apply(once("other", fmt.Sprint(i)))
		}
		if got, err := s.resent(seen, id, once("agent", "x")); err == nil && got[0].Version.Revision != was[0].Version.Revision {
			s.Errorf("revision %v, want %v", got[0].Version.Revision, was[0].Version.Revision)
		}
		if n := len(s.get("agent").Reclaimed); n != 101 {
			s.Errorf("%d changes were made, want 101", n)
		}
		never, err := s.resent(seen, store.NewRequestID(), once("agent", "never"))
		if n := len(s.get("agent").Reclaimed); (n == 102) != (err == nil) {
			s.Errorf("%d changes were made after a request that was answered with %v, %v", n, never, err)
		}
	}},
})

var concurrentRequests = test{"one request sent by many at once is made once", func(s *subject) {
	if !s.keepsIDs() {
		s.Skip("the store keeps no request IDs")
	}
	for i := range 5 {
		opts := &store.ApplyOptions{ID: store.NewRequestID()}
		change := once("agent", fmt.Sprint(i))
		var mu sync.Mutex
		revisions := map[store.Revision]bool{}
		s.inParallel(writers, func(w int) error {
			if err := store.Do(background, s, fmt.Sprint("pod-", w), peer(fmt.Sprint(i))); err != nil {
				return err
			}
			applied, err := s.Apply(background, []store.Change{change}, opts)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			revisions[applied[0].Version.Revision] = true
			return nil
		})
		if n := len(s.get("agent").Reclaimed); n != i+1 || len(revisions) != 1 {
			s.Fatalf("after %d requests: %d changes, the last with revisions %v", i+1, n, revisions)
		}
	}
}}
