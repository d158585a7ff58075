package storetest

import (
	"fmt"

	"podstore/store"
)

// stale is a revision that no Pod of a fresh store ever has.
var stale = store.Revision{Number: 1 << 60, Digest: 0x1234567890abcdef}

// at returns the condition that a Pod still has its current revision.
func (s *subject) at(pod string) store.Condition {
	s.Helper()
	return store.AtRevision(s.get(pod).Version.Revision)
}

// conditioned are operations of every kind, and no operation.
func conditioned(pod string) []store.Op {
	return []store.Op{nil, peer("new"), store.Put{Metadata: withPeers(pod, "put")}, store.Delete{}, store.SetActive{}, store.TrimReclaimed{}, store.RemovePeer{PodName: "none"}}
}

var conditionTests = append([]test{
	{"Exists is met by a Pod that exists", func(s *subject) {
		for _, op := range conditioned("agent") {
			s.put(full("agent"))
			s.apply(store.Change{Pod: "agent", Op: op, If: store.Exists})
			s.refuses(store.ErrNotFound, store.Change{Pod: "missing", Op: onPod(op, "missing"), If: store.Exists})
		}
		s.put(full("agent"))
		s.apply(store.Change{Pod: "agent", Op: store.SetPeers{}, If: store.Exists})
		want := full("agent")
		want.Peers = nil
		s.expect(want)
	}},
	{"Missing is met where there is no such Pod", func(s *subject) {
		s.put(full("agent"))
		for _, op := range conditioned("new") {
			s.apply(store.Change{Pod: "new", Op: op, If: store.Missing})
			s.refuses(store.ErrExists, store.Change{Pod: "agent", Op: onPod(op, "agent"), If: store.Missing})
			s.do("new", store.Delete{})
		}
		s.apply(store.Change{Pod: "new", Op: peer("x"), If: store.Missing})
		s.expect(withPeers("new", "x"), full("agent"))
	}},
	{"SkipMissing leaves out the change of a missing Pod and makes the others", func(s *subject) {
		s.put(full("agent"))
		for _, op := range conditioned("missing") {
			s.writesNothing("a change that is left out", func() {
				s.applyFor(&store.ApplyOptions{Metadata: true}, store.Change{Pod: "missing", Op: op, If: store.SkipMissing})
			})
			s.apply(store.Change{Pod: "missing", Op: op, If: store.SkipMissing}, store.Change{Pod: "missing", Op: peer("x")})
			s.expect(withPeers("missing", "x"))
			s.do("missing", store.Delete{})
		}
		s.apply(store.Change{Pod: "agent", Op: store.SetPeers{}, If: store.SkipMissing})
		want := full("agent")
		want.Peers = nil
		s.expect(want)
		s.apply(store.Change{Pod: "agent", Op: store.Delete{}, If: store.SkipMissing}, store.Change{Pod: "agent", Op: peer("x"), If: store.SkipMissing})
		s.absent("agent")
	}},
	{"AtRevision is met by a Pod at that revision", func(s *subject) {
		for _, op := range conditioned("agent") {
			s.put(full("agent"))
			s.apply(store.Change{Pod: "agent", Op: op, If: s.at("agent")})
		}
		s.put(full("agent"), minimal("other"))
		old := s.at("agent")
		s.do("agent", store.SetPeers{})
		for _, op := range conditioned("agent") {
			for _, c := range []store.Condition{old, s.at("other"), store.AtRevision(stale)} {
				s.refuses(store.ErrConflict, store.Change{Pod: "agent", Op: op, If: c})
			}
		}
		s.apply(store.Change{Pod: "agent", Op: peer("x"), If: s.at("agent")})
		want := full("agent")
		want.Peers = peers("x")
		s.expect(want)
		s.refuses(store.ErrConflict, store.Change{Pod: "agent", Op: peer("x"), If: old}) // List still has it
	}},
	{"AtRevision is not met by a Pod that is gone", func(s *subject) {
		s.put(full("agent"))
		at := s.at("agent")
		s.do("agent", store.Delete{})
		for _, op := range conditioned("agent") {
			s.refuses(store.ErrConflict, store.Change{Pod: "agent", Op: op, If: at})
			s.refuses(store.ErrConflict, store.Change{Pod: "never", Op: onPod(op, "never"), If: at})
		}
		s.put(minimal("agent"))
		s.refuses(store.ErrConflict, store.Change{Pod: "agent", Op: peer("x"), If: at})
	}},
	{"AtRevision is judged at the start", func(s *subject) {
		s.put(full("agent"))
		at := s.at("agent")
		s.apply(store.Change{Pod: "agent", Op: store.SetPeers{}, If: at}, store.Change{Pod: "agent", Op: peer("x"), If: at}, store.Change{Pod: "agent", If: at})
		want := full("agent")
		want.Peers = peers("x")
		s.expect(want)
		at = s.at("agent")
		s.apply(store.Change{Pod: "agent", Op: store.Delete{}}, store.Change{Pod: "agent", Op: peer("y"), If: at})
		s.expect(withPeers("agent", "y"))
		at = s.at("agent")
		s.do("agent", peer("z"))
		s.refuses(store.ErrConflict, store.Change{Pod: "agent", Op: store.RemovePeer{PodName: "z"}}, store.Change{Pod: "agent", If: at})
	}},
	{"Exists, Missing and SkipMissing are judged in order", func(s *subject) {
		s.apply(store.Change{Pod: "agent", If: store.Missing},
			store.Change{Pod: "agent", Op: peer("left out"), If: store.SkipMissing},
			store.Change{Pod: "agent", Op: peer("a")},
			store.Change{Pod: "agent", Op: peer("b"), If: store.Exists},
			store.Change{Pod: "agent", Op: peer("c"), If: store.SkipMissing})
		s.expect(withPeers("agent", "a", "b", "c"))
		s.refuses(store.ErrExists, store.Change{Pod: "new", If: store.Missing}, store.Change{Pod: "new", Op: peer("a")}, store.Change{Pod: "new", Op: peer("b"), If: store.Missing})
		s.apply(store.Change{Pod: "agent", If: store.Exists},
			store.Change{Pod: "agent", Op: store.Delete{}},
			store.Change{Pod: "agent", Op: peer("left out"), If: store.SkipMissing},
			store.Change{Pod: "agent", Op: peer("d"), If: store.Missing})
		s.expect(withPeers("agent", "d"))
		s.refuses(store.ErrNotFound, store.Change{Pod: "agent", Op: store.Delete{}}, store.Change{Pod: "agent", Op: peer("a"), If: store.Exists})
	}},
	{"the first that is not met gives the error, which names the Pod", func(s *subject) {
		s.put(full("agent"))
		s.refuses(store.ErrExists, store.Change{Pod: "agent", If: store.Missing}, store.Change{Pod: "agent", If: store.AtRevision(stale)})
		s.refuses(store.ErrConflict, store.Change{Pod: "agent", If: store.AtRevision(stale)}, store.Change{Pod: "agent", If: store.Missing})
		for _, c := range []store.Change{
			{Pod: "agent", Op: peer("x"), If: store.Missing}, {Pod: "agent", Op: peer("x"), If: store.AtRevision(stale)}, {Pod: "missing", Op: peer("x"), If: store.Exists},
		} {
			_, err := s.Apply(background, []store.Change{c}, nil)
			s.errorOf("Apply", err, c.Pod)
		}
	}},
}, skipping("the store changes one Pod at a time", (*subject).appliesSeveral, []test{
	{"on one Pod guard the change of another", func(s *subject) {
		s.put(minimal("parent"), minimal("child"))
		spawn := []store.Change{
			{Pod: "parent", Op: store.AddChild{Child: store.SpawnedChild{PodName: "child"}}, If: store.Exists}, {Pod: "child", If: store.Exists},
		}
		s.apply(spawn...)
		want := minimal("parent")
		want.Children = []store.SpawnedChild{{PodName: "child"}}
		s.expect(want, minimal("child"))
		s.do("child", store.Delete{})
		s.refuses(store.ErrNotFound, spawn...)
		s.refuses(store.ErrNotFound, spawn[1], spawn[0])
		s.do("parent", store.Delete{})
		s.put(minimal("child"))
		s.refuses(store.ErrNotFound, spawn...) // a late child does not bring its parent back
		s.apply(store.Change{Pod: "parent", Op: spawn[0].Op, If: store.SkipMissing}, store.Change{Pod: "child", Op: peer("met")})
		s.expectNames("child")
		s.expect(withPeers("child", "met"))
	}},
	{"at revisions of several Pods are met or nothing is changed", func(s *subject) {
		s.put(full("a"), full("b"))
		change := func(a, b store.Condition) []store.Change {
			return []store.Change{{Pod: "a", Op: store.SetPeers{}, If: a}, {Pod: "b", Op: store.SetPeers{}, If: b}}
		}
		old := s.at("b")
		s.do("b", peer("new"))
		s.refuses(store.ErrConflict, change(s.at("a"), old)...)
		s.refuses(store.ErrConflict, change(s.at("b"), s.at("b"))...)
		_, err := s.Apply(background, change(s.at("a"), old), nil)
		s.errorOf("Apply", err, "b")
		s.apply(change(s.at("a"), s.at("b"))...)
		a, b := full("a"), full("b")
		a.Peers, b.Peers = nil, nil
		s.expect(a, b)
	}},
})...)

// onPod turns an operation made for another Pod into one for pod.
func onPod(op store.Op, pod string) store.Op { return operation{op: op}.on(pod) }

// concurrentConditions proves that a condition and its change are one step.
var concurrentConditions = []test{
	{"of many that would create a Pod one does", func(s *subject) {
		for i := range 5 {
			pod := fmt.Sprint("pod-", i)
			made := s.successes(store.ErrExists, func(w int) error {
				_, err := s.Apply(background, []store.Change{{Pod: pod, Op: peer(fmt.Sprint("peer-", w)), If: store.Missing}}, nil)
				return err
			})
			if len(made) != 1 {
				s.Fatalf("writers %v created one Pod", made)
			}
			s.expect(withPeers(pod, fmt.Sprint("peer-", made[0])))
		}
	}},
	{"of many that name one revision one gets it", func(s *subject) {
		s.put(minimal("agent"))
		want := minimal("agent")
		for i := range 10 {
			at := s.at("agent")
			made := s.successes(store.ErrConflict, func(w int) error {
				_, err := s.Apply(background, []store.Change{{Pod: "agent", Op: store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: fmt.Sprintf("%d-%d", i, w)}}}, If: at}}, nil)
				return err
			})
			if len(made) != 1 {
				s.Fatalf("writers %v changed one revision", made)
			}
			want.Reclaimed = append(want.Reclaimed, store.ReclaimedChild{PodName: fmt.Sprintf("%d-%d", i, made[0])})
		}
		s.expect(want)
	}},
}

// successes runs f for all writers at once and returns those for which it returned nil.
// All other errors must match want.
func (s *subject) successes(want error, f func(w int) error) (made []int) {
	s.Helper()
	results := make([]error, writers)
	s.inParallel(writers, func(w int) error { results[w] = f(w); return nil })
	for w, err := range results {
		if err == nil {
			made = append(made, w)
		} else {
			s.is("a writer that came too late", err, want)
		}
	}
	return made
}
