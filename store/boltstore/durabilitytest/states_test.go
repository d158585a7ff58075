//go:build linux

package durabilitytest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"podstore/store"
	"podstore/store/boltstore"
)

// history has every state that a workload goes through: of each goroutine, what
// is there after k of its operations.
type history struct {
	w      workload
	states [][]model // by goroutine and k

	resent, unknown atomic.Int64 // operations that were sent again, and of which the store could not tell
}

func (w workload) history() *history {
	h := &history{w: w}
	for g := range w.Goroutines {
		md := model{}
		states := []model{maps.Clone(md)}
		for i := range w.Ops {
			if err := w.run(context.Background(), md, g, i); err != nil {
				panic(fmt.Sprintf("operation %d of goroutine %d fails on the model: %v", i, g, err))
			}
			states = append(states, maps.Clone(md))
		}
		h.states = append(h.states, states)
	}
	return h
}

// acks are the acknowledged operations of each goroutine: the number of the revision
// that each made, or an older one, or 0, where it changed nothing.
type acks [][]uint64

func (a acks) sum() (n int) {
	for _, numbers := range a {
		n += len(numbers)
	}
	return n
}

// String says how many there are.
func (a acks) String() string {
	counts := make([]int, len(a))
	for g := range a {
		counts[g] = len(a[g])
	}
	return fmt.Sprint(counts)
}

// verifyFile opens the database at path and checks that it holds what was
// acknowledged, or of any goroutine that and its next operation, and nothing
// else.
func (h *history) verifyFile(path string, acked acks) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if acked.sum() > 0 {
			return fmt.Errorf("there is no file, and %v operations were acknowledged", acked)
		}
		return nil
	}
	s, err := boltstore.Open(path, &boltstore.Options{FullCheck: true, MustExist: true})
	if err != nil {
		return err
	}
	return errors.Join(h.verify(s, acked), s.Close())
}

func (h *history) verify(s store.MetadataStore, acked acks) error {
	pods, err := readAll(s)
	if err != nil {
		return err
	}
	return h.compare(pods, acked)
}

// readAll reads the whole store, by List and All, which must agree.
func readAll(s store.MetadataStore) (model, error) {
	ctx := context.Background()
	names, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	pods := model{}
	for m, err := range store.All(ctx, s, store.ReadOptions{}) {
		if err != nil {
			return nil, err
		}
		pods[m.PodName] = m
	}
	if !slices.Equal(names, slices.Sorted(maps.Keys(pods))) {
		return nil, fmt.Errorf("List has %d names and All %d Pods, or others", len(names), len(pods))
	}
	return pods, nil
}

// readFile reads a database whole, or nothing where there is none.
func readFile(path string) (model, error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	s, err := boltstore.Open(path, &boltstore.Options{ReadOnly: true, FullCheck: true})
	if err != nil {
		return nil, err
	}
	pods, err := readAll(s)
	return pods, errors.Join(err, s.Close())
}

// compare decides for each goroutine whether its part of the Pods is a state that
// may be there.
func (h *history) compare(pods model, acked acks) error {
	if err := h.distinct(acked); err != nil {
		return err
	}
	rest := maps.Clone(pods)
	for g, states := range h.states {
		k := len(acked[g])
		part := partOf(pods, g)
		maps.DeleteFunc(rest, func(name string, _ *store.Metadata) bool { return strings.HasPrefix(name, prefix(g)) })
		why := differ(states[k], part)
		if why != "" && k+1 < len(states) {
			if why2 := differ(states[k+1], part); why2 != "" {
				why += "; nor with the next one: " + why2
			} else {
				why = ""
				k++
			}
		}
		if why == "" {
			why = h.revisions(g, k, acked[g], part)
		}
		if why != "" {
			return fmt.Errorf("goroutine %d, %d operations acknowledged: %s", g, len(acked[g]), why)
		}
	}
	for n := range sharedPods {
		delete(rest, sharedPod(n))
	}
	if len(rest) > 0 {
		return fmt.Errorf("there are Pods that nobody created: %q", slices.Sorted(maps.Keys(rest)))
	}
	return nil
}

// distinct checks that each operation that changed something made a revision of its
// own, and that those of one goroutine rise.
func (h *history) distinct(acked acks) error {
	made := map[uint64]int{}
	for g, numbers := range acked {
		last := uint64(0)
		for i, n := range numbers {
			if maps.Equal(h.states[g][i], h.states[g][i+1]) || n == 0 {
				continue
			}
			if other, ok := made[n]; ok && other != g {
				return fmt.Errorf("goroutines %d and %d both made revision %d", g, other, n)
			}
			if n <= last {
				return fmt.Errorf("goroutine %d made revision %d after %d", g, n, last)
			}
			made[n], last = g, n
		}
	}
	return nil
}

// revisions compares the revisions of a goroutine's Pods with those that were
// acknowledged. k operations took place.
func (h *history) revisions(g, k int, numbers []uint64, part model) string {
	states := h.states[g]
	for name, m := range part {
		if !strings.HasPrefix(name, prefix(g)) {
			continue // others change it too
		}
		i := k - 1 // the operation that made it what it is
		for i > 0 && states[i][name] == states[i+1][name] {
			i--
		}
		now := m.Version.Revision.Number
		switch {
		case i < len(numbers) && now != numbers[i] && numbers[i] != 0:
			return fmt.Sprintf("%q has revision %d, and %d was acknowledged", name, now, numbers[i])
		case i == len(numbers) && i > 0 && now <= slices.Max(numbers):
			return fmt.Sprintf("%q has revision %d, made after %d", name, now, slices.Max(numbers))
		}
	}
	return ""
}

// partOf is what belongs to goroutine g.
func partOf(pods model, g int) model {
	part := model{}
	for name, m := range pods {
		if strings.HasPrefix(name, prefix(g)) {
			part[name] = m
		}
	}
	for n := range sharedPods {
		m := pods[sharedPod(n)]
		if m == nil {
			continue
		}
		mine := &store.Metadata{PodName: m.PodName}
		for _, p := range m.Peers {
			if strings.HasPrefix(p.PodName, prefix(g)) {
				mine.Peers = append(mine.Peers, p)
			}
		}
		if len(mine.Peers) > 0 {
			part[m.PodName] = mine
		}
	}
	return part
}

// differ names the first difference, or is "".
func differ(want, got model) string {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		w, m := want[name], got[name]
		switch {
		case m == nil:
			return fmt.Sprintf("%q is missing", name)
		case w.Diff(m) != "":
			return fmt.Sprintf("%q differs in %s", name, w.Diff(m))
		}
	}
	for name := range got {
		if want[name] == nil {
			return fmt.Sprintf("%q should not be there", name)
		}
	}
	return ""
}
