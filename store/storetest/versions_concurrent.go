package storetest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"podstore/store"
)

// outcome is the result of one of many concurrent Applies.
type outcome struct {
	pod     string
	mark    string // what it added to the Pod
	applied store.Applied
}

// applyAtOnce makes every writer mark the Pods rounds times, each time in an Apply of
// its own. It returns the results.
func (s *subject) applyAtOnce(pods []string) []outcome {
	s.Helper()
	var mu sync.Mutex
	var all []outcome
	s.inParallel(writers, func(w int) error {
		for i := range rounds {
			pod := pods[(w+i)%len(pods)]
			mark := fmt.Sprintf("mark-%d-%02d", w, i)
			applied, err := s.Apply(background, []store.Change{
				{Pod: pod, Op: store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: mark}}}},
				{Pod: pod, Op: store.SetField{Field: mark, Value: json.RawMessage(`1`)}},
			}, &store.ApplyOptions{Metadata: true})
			if err != nil {
				return err
			}
			if applied[0].Version != applied[1].Version || applied[1].Metadata == nil {
				return fmt.Errorf("one Apply of one Pod returned %+v", applied)
			}
			mu.Lock()
			all = append(all, outcome{pod, mark, applied[1]})
			mu.Unlock()
		}
		return nil
	})
	return all
}

var concurrentVersions = []test{
	{"results are the state right after their own Apply", func(s *subject) {
		byPod := map[string][]outcome{}
		for _, o := range s.applyAtOnce([]string{"a", "b"}) {
			byPod[o.pod] = append(byPod[o.pod], o)
		}
		for pod, all := range byPod {
			// The length of its history shows the order.
			slices.SortFunc(all, func(a, b outcome) int { return len(a.applied.Metadata.Reclaimed) - len(b.applied.Metadata.Reclaimed) })
			want := minimal(pod)
			for i, o := range all {
				want.Reclaimed = append(want.Reclaimed, store.ReclaimedChild{PodName: o.mark})
				setExtra(want, o.mark, `1`)
				if why := mismatch(o.applied.Metadata, want); why != "" {
					s.Fatalf("the result of change %d of %q is not the state after it: %s", i, pod, why)
				}
				if o.applied.Version != o.applied.Metadata.Version {
					s.Errorf("a result has version %v, its metadata %v", o.applied.Version, o.applied.Metadata.Version)
				}
			}
			if got := s.get(pod); got.Version != all[len(all)-1].applied.Version {
				s.Errorf("the last change of %q has version %v, Read gives %v", pod, all[len(all)-1].applied.Version, got.Version)
			}
			s.expect(want)
		}
	}},
	{"no two Applies share a number, and numbers rise in the order of the changes", func(s *subject) {
		if !s.keepsNumbers() {
			s.Skip("the store keeps no numbers")
		}
		all := s.applyAtOnce([]string{"a", "b", "c", "d"})
		slices.SortFunc(all, func(a, b outcome) int {
			return cmp.Compare(a.applied.Version.Revision.Number, b.applied.Version.Revision.Number)
		})
		histories := map[string]int{}
		for i, o := range all {
			n := o.applied.Version.Revision.Number
			if i > 0 && n == all[i-1].applied.Version.Revision.Number {
				s.Errorf("two Applies, of %q and %q, have number %d", all[i-1].pod, o.pod, n)
			}
			if got := len(o.applied.Metadata.Reclaimed); got != histories[o.pod]+1 {
				s.Fatalf("change %d of %q has number %d, which is out of order", got, o.pod, n)
			}
			histories[o.pod]++
		}
	}},
	{"no two Updates share a number", func(s *subject) {
		if !s.keepsNumbers() {
			s.Skip("the store keeps no numbers")
		}
		var mu sync.Mutex
		seen := map[uint64]string{}
		s.inParallel(writers, func(w int) error {
			pod := fmt.Sprint("pod-", w)
			for range rounds {
				m, err := s.Update(background, pod, increment)
				if err != nil {
					return err
				}
				mu.Lock()
				if other := seen[m.Version.Revision.Number]; other != "" {
					s.Errorf("updates of %q and %q have number %d", other, pod, m.Version.Revision.Number)
				}
				seen[m.Version.Revision.Number] = pod
				mu.Unlock()
			}
			return nil
		})
	}},
}
