package storetest

import (
	"fmt"
	"slices"

	"podstore/store"
)

// pasts returns the entries of a history from one place to another.
func pasts(from, to int) (list []store.ReclaimedChild) {
	for i := from; i < to; i++ {
		c := store.ReclaimedChild{PodName: fmt.Sprintf("past-%05d", i)}
		for k := range i % 3 {
			c.ScopeDelegated = append(c.ScopeDelegated, store.ScopeRule{Target: fmt.Sprintf("/srv/%d/%d", i, k), Permission: "write", Recursive: k == 1})
		}
		list = append(list, c)
	}
	return list
}

// long returns a Pod with a history of n entries.
func long(name string, n int) *store.Metadata {
	m := full(name)
	m.Reclaimed = pasts(0, n)
	return m
}

var historyTests = []test{
	{"that is long grows, is trimmed and is left alone", func(s *subject) {
		s.put(full("agent"), full("other"))
		s.do("agent", store.TrimReclaimed{})
		for i := 0; i < 500; i += 100 {
			s.do("agent", store.Reclaim{Reclaimed: pasts(i, i+100)})
		}
		want := long("agent", 500)
		s.expect(want)
		s.do("agent", peer("peer-b"))
		want.Peers = peers("peer-a", "peer-b", "peer-c", "peer-c")
		s.expect(want)
		s.do("agent", store.Reclaim{Reclaimed: pasts(500, 501)})
		want.Reclaimed = pasts(0, 501)
		s.expect(want)
		for _, keep := range []int{501, 500, 499, 256, 255, 17, 2, 1} {
			s.do("agent", store.TrimReclaimed{Keep: keep})
			want.Reclaimed = pasts(501-keep, 501)
			s.expect(want)
		}
		s.do("agent", store.Reclaim{Reclaimed: pasts(501, 503)})
		want.Reclaimed = pasts(500, 503)
		s.expect(want)
		s.do("agent", store.TrimReclaimed{})
		want.Reclaimed = nil
		s.expect(want, full("other"))
	}},
	{"that is long is put, replaced and deleted with the Pod", func(s *subject) {
		s.put(long("agent", 500), long("other", 40))
		s.expect(long("agent", 500))
		s.writesNothing("Write of the same", func() { s.put(long("agent", 500)) })
		m := long("agent", 500)
		m.Reclaimed = slices.Delete(m.Reclaimed, 250, 260)
		s.put(m)
		s.expect(m)
		s.put(minimal("agent"))
		s.expect(minimal("agent"))
		s.put(long("agent", 300))
		s.do("agent", store.Delete{})
		s.do("agent", peer("x"))
		s.expect(withPeers("agent", "x"), long("other", 40))
	}},
	{"that is long can be edited anywhere", func(s *subject) {
		s.put(long("agent", 500))
		want := long("agent", 500)
		for _, edit := range []func(m *store.Metadata) error{
			func(m *store.Metadata) error { m.Reclaimed[0].PodName = "first"; return nil },
			func(m *store.Metadata) error { m.Reclaimed[499].PodName = "last"; return nil },
			func(m *store.Metadata) error { m.Reclaimed[123].ScopeDelegated = nil; return nil },
			func(m *store.Metadata) error { m.Reclaimed = slices.Delete(m.Reclaimed, 1, 3); return nil },
			func(m *store.Metadata) error { return m.Reclaim(pasts(900, 901)) },
			func(m *store.Metadata) error { m.TrimReclaimed(100); return nil },
			func(m *store.Metadata) error { slices.Reverse(m.Reclaimed); return nil },
			func(m *store.Metadata) error { m.Reclaimed = nil; return nil },
			func(m *store.Metadata) error { m.Reclaimed = pasts(0, 350); return m.AddPeer("peer-b") },
		} {
			if err := edit(want); err != nil {
				s.Fatal(err)
			}
			s.same("Update", s.update("agent", edit), want)
			s.expect(want)
		}
	}},
	{"that is long need not be read", func(s *subject) {
		s.put(long("agent", 500), long("other", 500))
		for _, opts := range partsOf {
			want := opts.Part(s.get("agent"))
			for how, got := range map[string]*store.Metadata{"ReadPart": s.readPart("agent", opts), "All": s.all(opts)["agent"]} {
				if why := mismatch(got, want); why != "" || got.Version != want.Version {
					s.Errorf("%s with %+v: %s, version %v, want %v", how, opts, why, got.Version, want.Version)
				}
			}
		}
		applied := s.applyFor(&store.ApplyOptions{Metadata: true}, store.Change{Pod: "agent", Op: store.SetPeers{}})
		want := long("agent", 500)
		want.Peers = nil
		s.same("Apply", applied[0].Metadata, want)
	}},
	{"of any length goes through any sequence of changes", func(s *subject) {
		r := generator{newRandom(s.T)}
		next := 0
		var want []store.ReclaimedChild
		for step := range 80 {
			var ops []store.Op
			for range 1 + r.IntN(2) {
				if r.IntN(3) == 0 {
					keep := one(r, []int{0, 1, len(want) / 2, max(0, len(want)-1), len(want), len(want) + 1, r.IntN(400)})
					ops = append(ops, store.TrimReclaimed{Keep: keep})
					want = want[max(0, len(want)-keep):]
				} else {
					n := one(r, []int{1, 1, 1, 2, 7, 33, 64, 200})
					ops = append(ops, store.Reclaim{Reclaimed: pasts(next, next+n)})
					want = append(slices.Clip(want), pasts(next, next+n)...)
					next += n
				}
			}
			if r.IntN(4) == 0 {
				ops = append(ops, peer(fmt.Sprint("peer-", step)))
			}
			m, err := store.DoAndRead(background, s, "agent", ops...)
			if err != nil {
				s.Fatal(err)
			}
			for how, got := range map[string][]store.ReclaimedChild{"Apply": m.Reclaimed, "Read": s.get("agent").Reclaimed} {
				if !slices.EqualFunc(got, want, func(a, b store.ReclaimedChild) bool {
					return a.PodName == b.PodName && slices.Equal(a.ScopeDelegated, b.ScopeDelegated)
				}) {
					s.Fatalf("step %d, %s: %s gives a history of %d, want %d", step, opNames(ops), how, len(got), len(want))
				}
			}
			if s.b.Reopen != nil && r.IntN(20) == 0 {
				s.reopen()
			}
		}
	}},
}
