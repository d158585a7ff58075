package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"podstore/store"
)

// With these sizes a lost update is likely to show, and a store that syncs each change
// stays quick.
const (
	writers = 8
	rounds  = 25
)

var concurrencyTests = slices.Concat(concurrentVersions, concurrentConditions, []test{
	concurrentRequests,
	concurrentRemoves,
	{"no peer is lost", func(s *subject) {
		pods := []string{"a", "b", "c"}
		s.inParallel(writers, func(w int) error {
			for i := range rounds {
				for _, pod := range pods {
					peer := fmt.Sprintf("peer-%d-%02d", w, i)
					m, err := store.DoAndRead(background, s.MetadataStore, pod, store.AddPeer{PodName: peer})
					if err != nil {
						return err
					}
					if !m.HasPeer(peer) {
						return fmt.Errorf("the result of adding a peer is %q without %q", pod, peer)
					}
				}
			}
			return nil
		})
		var want []store.Peer
		for w := range writers {
			for i := range rounds {
				want = append(want, store.Peer{PodName: fmt.Sprintf("peer-%d-%02d", w, i)})
			}
		}
		for _, pod := range pods {
			m := minimal(pod)
			m.Peers = want
			s.expect(m)
		}
	}},
	{"a list has the names of one moment", func(s *subject) {
		// Each mover creates its next Pod before it deletes the last: one is always there.
		const movers, still = 4, 40
		pod := func(mover, i int) string { return fmt.Sprintf("mover-%d-%d", mover, i) }
		for i := range still {
			s.put(minimal(fmt.Sprint("still-", i)))
		}
		for w := range movers {
			s.put(minimal(pod(w, 0)))
		}
		var moving atomic.Int32
		moving.Store(movers)
		s.inParallel(2*movers, func(w int) error {
			if w < movers {
				defer moving.Add(-1)
				for i := range 4 * rounds {
					if err := store.Do(background, s.MetadataStore, pod(w, i+1), store.AddPeer{PodName: "x"}); err != nil {
						return err
					}
					if err := store.Do(background, s.MetadataStore, pod(w, i), store.Delete{}); err != nil {
						return err
					}
				}
				return nil
			}
			for moving.Load() > 0 {
				names, err := s.List(background)
				if err != nil {
					return err
				}
				for w := range movers {
					if !slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, pod(w, 0)[:8]) }) {
						return fmt.Errorf("mover %d is not in %q", w, names)
					}
				}
			}
			return nil
		})
	}},
	{"no change of a Pod falls between another", func(s *subject) {
		// No two updates return the same number.
		s.put(full("counter"))
		returned := make([][]int, writers)
		s.inParallel(writers, func(w int) error {
			for range rounds {
				m, err := s.Update(background, "counter", increment)
				if err != nil {
					return err
				}
				n, err := count(m)
				if err != nil {
					return err
				}
				returned[w] = append(returned[w], n)
			}
			return nil
		})
		for w, numbers := range returned {
			if !slices.IsSorted(numbers) {
				s.Errorf("writer %d saw its own updates in the order %v", w, numbers)
			}
		}
		all := slices.Sorted(slices.Values(slices.Concat(returned...)))
		for i, n := range all {
			if n != i+1 {
				s.Fatalf("updates returned %v, want each number from 1 to %d once", all, writers*rounds)
			}
		}
		want := full("counter")
		setExtra(want, "count", strconv.Itoa(writers*rounds))
		s.expect(want)
	}},
	{"different merge operations on one Pod all last", func(s *subject) {
		ops := []func(i int) error{
			func(i int) error {
				err := store.Do(background, s.MetadataStore, "agent", store.SetActive{Active: store.PendingSegment(store.SessionID{byte(i)}), Manifest: json.RawMessage(strconv.Itoa(i))})
				return err
			},
			func(i int) error {
				err := store.Do(background, s.MetadataStore, "agent", store.SetChildren{Children: []store.SpawnedChild{{PodName: fmt.Sprint("child-", i)}}})
				return err
			},
			func(i int) error {
				err := store.Do(background, s.MetadataStore, "agent", store.AddPeer{PodName: fmt.Sprint("peer-", 100+i)})
				return err
			},
			func(i int) error {
				err := store.Do(background, s.MetadataStore, "agent", store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: fmt.Sprint("past-", i)}}})
				return err
			},
			func(int) error { _, err := s.Update(background, "agent", increment); return err },
		}
		s.inParallel(len(ops), func(op int) error {
			for i := range rounds {
				if err := ops[op](i); err != nil {
					return err
				}
			}
			return nil
		})
		want := minimal("agent")
		want.Active, want.Manifest = store.PendingSegment(store.SessionID{rounds - 1}), json.RawMessage(strconv.Itoa(rounds-1))
		want.Children = []store.SpawnedChild{{PodName: fmt.Sprint("child-", rounds-1)}}
		for i := range rounds {
			want.Peers = append(want.Peers, store.Peer{PodName: fmt.Sprint("peer-", 100+i)})
			want.Reclaimed = append(want.Reclaimed, store.ReclaimedChild{PodName: fmt.Sprint("past-", i)})
		}
		setExtra(want, "count", strconv.Itoa(rounds))
		s.expect(want)
	}},
	{"readers see whole Pods while they are written and deleted", func(s *subject) {
		pods := []string{"a", "b", "c"}
		var writing atomic.Int32
		writing.Store(writers / 2)
		judge := func(m *store.Metadata) error {
			if m.Diff(full(m.PodName)) != "" && m.Diff(minimal(m.PodName)) != "" {
				return fmt.Errorf("a Pod as it never was: %s", show(m, ""))
			}
			scribble(m) // the race detector then sees shared memory
			return nil
		}
		s.inParallel(writers, func(w int) error {
			if w < writers/2 {
				defer writing.Add(-1)
				for i := range rounds {
					pod := pods[(w+i)%len(pods)]
					if err := store.Write(background, s, full(pod)); err != nil {
						return err
					}
					if err := store.Write(background, s, minimal(pod)); err != nil {
						return err
					}
					if i%3 == 0 {
						if err := store.Do(background, s, pod, store.Delete{}); err != nil {
							return err
						}
					}
				}
				return nil
			}
			for writing.Load() > 0 {
				for _, pod := range pods {
					m, err := s.Read(background, pod)
					if err == nil {
						err = judge(m)
					}
					if err != nil && !errors.Is(err, store.ErrNotFound) {
						return err
					}
				}
				names, err := s.List(background)
				if err != nil || !slices.IsSorted(names) {
					return fmt.Errorf("the names while Pods are written: %q, %v", names, err)
				}
				for m, err := range store.All(background, s.MetadataStore, store.ReadOptions{}) {
					if err == nil {
						err = judge(m)
					}
					if err != nil {
						return fmt.Errorf("all while Pods are written: %w", err)
					}
				}
			}
			return nil
		})
	}},
	{"failing and panicking edits do not touch others", func(s *subject) {
		s.inParallel(writers, func(w int) error {
			for i := range rounds {
				peer := fmt.Sprintf("peer-%d-%02d", w, i)
				switch (w + i) % 4 {
				case 0:
					if _, err := s.Update(background, "agent", func(m *store.Metadata) error {
						m.Peers = nil
						return errEdit
					}); !errors.Is(err, errEdit) {
						return fmt.Errorf("an edit that fails gave %v", err)
					}
				case 1:
					if p := recovered(func() {
						_, _ = s.Update(background, "agent", func(m *store.Metadata) error {
							m.Peers = nil
							panic(peer)
						})
					}); p != peer {
						return fmt.Errorf("an edit that panics with %q gave %v", peer, p)
					}
				case 2:
					if _, err := s.Update(background, "agent", func(m *store.Metadata) error {
						m.Peers = nil
						m.Manifest = json.RawMessage("{")
						return nil
					}); !errors.Is(err, store.ErrInvalid) {
						return fmt.Errorf("an edit that breaks a rule gave %v", err)
					}
				default:
					if err := store.Do(background, s.MetadataStore, "agent", store.AddPeer{PodName: peer}); err != nil {
						return err
					}
				}
			}
			return nil
		})
		want := minimal("agent")
		for w := range writers {
			for i := range rounds {
				if (w+i)%4 == 3 {
					want.Peers = append(want.Peers, store.Peer{PodName: fmt.Sprintf("peer-%d-%02d", w, i)})
				}
			}
		}
		s.expect(want)
	}},
	{"edits of several Pods neither mix nor lock each other out", concurrentTransfers},
	{"a link is never seen from one side alone", concurrentLinks},
})

// increment adds one to a number kept among the unknown fields.
func increment(m *store.Metadata) error {
	n := 0
	if _, ok := m.Extra["count"]; ok {
		var err error
		if n, err = count(m); err != nil {
			return err
		}
	}
	setExtra(m, "count", strconv.Itoa(n+1))
	return nil
}

func count(m *store.Metadata) (int, error) { return strconv.Atoi(string(m.Extra["count"])) }

// concurrentTransfers moves units between Pods. Their sum must stay the same.
func concurrentTransfers(s *subject) {
	if !s.updatesPods() {
		s.Skip("the store cannot edit several Pods at once")
	}
	pods := []string{"a", "b", "c", "d"}
	const each = 1000
	for _, pod := range pods {
		m := minimal(pod)
		setExtra(m, "count", strconv.Itoa(each))
		s.put(m)
	}
	sum := func() error {
		total := 0
		_, err := store.UpdatePods(background, s.MetadataStore, pods, func(pods []*store.Metadata) error {
			total = 0
			for _, m := range pods {
				n, err := count(m)
				if err != nil {
					return err
				}
				total += n
			}
			return nil
		})
		if err == nil && total != len(pods)*each {
			err = fmt.Errorf("the Pods hold %d in sum, want %d", total, len(pods)*each)
		}
		return err
	}
	s.inParallel(writers, func(w int) error {
		for i := range rounds {
			from, to := pods[(w+i)%4], pods[(w+i+1+i%3)%4] // in both orders, to provoke deadlocks
			_, err := store.UpdatePods(background, s.MetadataStore, []string{from, to}, func(pods []*store.Metadata) error {
				for k, by := range []int{-i, i} {
					n, err := count(pods[k])
					if err != nil {
						return err
					}
					setExtra(pods[k], "count", strconv.Itoa(n+by))
				}
				return nil
			})
			if err != nil {
				return err
			}
			if i%5 == 0 {
				if err := sum(); err != nil {
					return err
				}
			}
			if err := store.Do(background, s.MetadataStore, from, store.AddPeer{PodName: to}); err != nil {
				return err
			}
		}
		return nil
	})
	if err := sum(); err != nil {
		s.Error(err)
	}
}

// concurrentLinks links and unlinks Pods while readers look at one moment of the store:
// through Snapshot if there is one, and through an edit that changes nothing.
func concurrentLinks(s *subject) {
	if !s.updatesPods() {
		s.Skip("the store cannot edit several Pods at once")
	}
	pods := []string{"a", "b", "c"}
	s.put(full("a"), minimal("b"), minimal("c"))
	oneSided := func(pods map[string]*store.Metadata) error {
		for name, m := range pods {
			for other, o := range pods {
				if m.HasPeer(other) && !o.HasPeer(name) {
					return fmt.Errorf("%q has peer %q, which does not have %q", name, other, name)
				}
			}
		}
		return nil
	}
	look := func() error {
		moment := map[string]*store.Metadata{}
		_, err := store.UpdatePods(background, s.MetadataStore, pods, func(list []*store.Metadata) error {
			for _, m := range list {
				moment[m.PodName] = m.Clone()
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := oneSided(moment); err != nil {
			return err
		}
		snap, closer, err := s.snapshot()
		if errors.Is(err, errors.ErrUnsupported) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, name := range pods {
			if moment[name], err = snap.Read(background, name); err != nil {
				return errors.Join(err, closer.Close())
			}
		}
		return errors.Join(oneSided(moment), closer.Close())
	}
	var writing atomic.Int32
	writing.Store(writers - 1)
	s.inParallel(writers, func(w int) error {
		if w == 0 {
			for writing.Load() > 0 {
				if err := look(); err != nil {
					return err
				}
			}
			return nil
		}
		defer writing.Add(-1)
		for i := range rounds {
			a, b := pods[(w+i)%3], pods[(w+i+1+i%2)%3] // in both orders
			change := store.LinkPeers
			if i%4 >= 2 {
				change = store.UnlinkPeers
			}
			if err := change(background, s.MetadataStore, a, b); err != nil {
				return err
			}
		}
		return nil
	})
	if err := oneSided(s.state()); err != nil {
		s.Error(err)
	}
	for _, peer := range full("a").Peers {
		if !s.get("a").HasPeer(peer.PodName) {
			s.Errorf("peer %q is lost", peer.PodName)
		}
	}
}
