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

	"podstore/store"
	"podstore/store/boltstore"
)

// history has every state that a workload goes through: of each goroutine, what
// is there after k of its operations.
type history struct {
	w      workload
	states [][]model // by goroutine and k
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

// acks counts the acknowledged operations of each goroutine.
type acks []int

func (a acks) sum() (n int) {
	for _, k := range a {
		n += k
	}
	return n
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

// compare decides for each goroutine whether its part of the Pods is a state that
// may be there.
func (h *history) compare(pods model, acked acks) error {
	rest := maps.Clone(pods)
	for g, states := range h.states {
		k := acked[g]
		part := partOf(pods, g)
		maps.DeleteFunc(rest, func(name string, _ *store.Metadata) bool { return strings.HasPrefix(name, prefix(g)) })
		why := differ(states[k], part)
		if why != "" && k+1 < len(states) {
			if why2 := differ(states[k+1], part); why2 != "" {
				why += "; nor with the next one: " + why2
			} else {
				why = ""
			}
		}
		if why != "" {
			return fmt.Errorf("goroutine %d, %d operations acknowledged: %s", g, k, why)
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
