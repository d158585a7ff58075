//go:build linux

package soak

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"time"

	"podstore/store"
)

// worker changes Pods that nobody else changes.
type worker struct {
	*place
	name string
	r    *rand.Rand
	s    store.MetadataStore
	pods map[string]*store.Metadata // what must be there
	n    int
}

const podsEach = 8

func (p *place) worker(i int) *worker {
	return &worker{place: p, name: fmt.Sprint("w", i), r: p.random(), pods: map[string]*store.Metadata{}}
}

func (w *worker) pod() string { return fmt.Sprintf("%s-%d", w.name, w.r.IntN(podsEach)) }

func (w *worker) work(ctx context.Context) {
	c, err := w.dial(ctx)
	if err != nil {
		w.wrong("dial: %v", err)
		return
	}
	defer c.Close()
	w.run(ctx, c)
}

func (w *worker) run(ctx context.Context, s store.MetadataStore) {
	w.s = s
	for ctx.Err() == nil {
		if w.r.IntN(4) == 0 {
			w.compare(w.pod())
		} else {
			w.change()
		}
		time.Sleep(time.Duration(w.r.IntN(5000)) * time.Microsecond)
	}
	w.compareAll(s)
}

// change makes one set of changes, by Apply or by an edit, and makes it on the model
// too.
func (w *worker) change() {
	var changes []store.Change
	for range 1 + w.r.IntN(3) {
		changes = append(changes, store.Change{Pod: w.pod(), Op: w.op(), If: []store.Condition{{}, {}, {}, store.Exists, store.Missing, store.SkipMissing}[w.r.IntN(6)]})
	}
	after, want := w.model(changes)
	var err error
	if w.r.IntN(4) == 0 && len(changes) == 1 && changes[0].If == (store.Condition{}) {
		if _, isDelete := changes[0].Op.(store.Delete); !isDelete {
			_, err = w.s.Update(context.Background(), changes[0].Pod, func(m *store.Metadata) error {
				changes[0].Op.Apply(m)
				return nil
			})
		} else {
			_, err = w.s.Apply(context.Background(), changes, nil)
		}
	} else {
		_, err = w.s.Apply(context.Background(), changes, nil)
	}
	switch {
	case err == nil && want == nil:
		w.pods = after
		w.count.changes.Add(1)
	case want != nil && errors.Is(err, want) && !errors.Is(err, store.ErrUnknown):
	case (errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrForbidden)) && !errors.Is(err, store.ErrUnknown): // before
	case errors.Is(err, store.ErrUnknown), errors.Is(err, store.ErrNoSpace), errors.Is(err, store.ErrUnusable):
		if errors.Is(err, store.ErrNoSpace) {
			w.count.full.Add(1)
		}
		w.count.unsure.Add(1)
		w.settle(changes, after, want == nil)
	default:
		w.wrong("%v gave %v, expected %v", changes, err, want)
	}
}

// model makes changes on the model. Its error is the sentinel of a refused change.
func (w *worker) model(changes []store.Change) (map[string]*store.Metadata, error) {
	after := maps.Clone(w.pods)
	prepared, err := store.Prepare(changes)
	if err != nil {
		w.wrong("%v", err)
		return after, err
	}
	for _, c := range prepared {
		m := after[c.Pod]
		do, err := c.If.Check(c.Pod, m != nil, store.Revision{})
		for _, kind := range []error{store.ErrNotFound, store.ErrExists} {
			if errors.Is(err, kind) {
				return w.pods, kind
			}
		}
		if !do {
			continue
		}
		if _, ok := c.Op.(store.Delete); ok {
			delete(after, c.Pod)
			continue
		}
		if m == nil {
			m = &store.Metadata{PodName: c.Pod}
		} else {
			m = m.Clone()
		}
		switch op := c.Op.(type) {
		case store.Reclaim:
			if err := m.Reclaim(op.Reclaimed); err != nil {
				w.wrong("%v", err)
			}
		default:
			c.Op.Apply(m)
		}
		after[c.Pod] = m
	}
	return after, nil
}

func (w *worker) op() store.Op {
	w.n++
	mark := fmt.Sprint("m", w.n)
	switch w.r.IntN(12) {
	case 0:
		return store.Delete{}
	case 1, 2:
		return store.AddPeer{PodName: mark}
	case 3:
		return store.SetPeers{}
	case 4, 5:
		return store.AddChild{Child: store.SpawnedChild{PodName: mark, SocketPath: "/run/" + mark}}
	case 6:
		return store.SetChildren{}
	case 7:
		return store.TrimReclaimed{Keep: w.r.IntN(300)}
	case 8:
		return store.SetField{Field: "field", Value: []byte(`"` + strings.Repeat("x", w.size(1000)) + `"`)}
	case 9:
		return store.SetActive{Manifest: []byte(`{"value":"` + strings.Repeat(mark, w.size(8000)) + `"}`)}
	}
	var list []store.ReclaimedChild
	for i := range 1 + w.size(60) {
		list = append(list, store.ReclaimedChild{PodName: fmt.Sprint(mark, ".", i)})
	}
	return store.Reclaim{Reclaimed: list}
}

// size returns a number that is most often small.
func (w *worker) size(most int) int {
	if w.r.IntN(8) == 0 {
		return w.r.IntN(most)
	}
	return w.r.IntN(1 + most/20)
}

// read reads a Pod as soon as a server can answer for it.
func (w *worker) read(s store.MetadataStore, name string) (*store.Metadata, bool) {
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		m, err := s.Read(context.Background(), name)
		switch {
		case err == nil:
			return m, true
		case errors.Is(err, store.ErrNotFound):
			return nil, true
		case !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrUnusable):
			w.wrong("reading %q: %v", name, err)
			return nil, false
		case time.Now().After(deadline):
			w.wrong("reading %q for minutes: %v", name, err)
			return nil, false
		}
	}
}

// settle finds out the outcome of changes whose outcome is unknown. Each was made as a
// whole or not at all.
func (w *worker) settle(changes []store.Change, after map[string]*store.Metadata, possible bool) {
	asBefore, asAfter := true, possible
	for _, c := range changes {
		got, ok := w.read(w.s, c.Pod)
		if !ok {
			return
		}
		asBefore = asBefore && same(w.pods[c.Pod], got)
		asAfter = asAfter && same(after[c.Pod], got)
	}
	switch {
	case asAfter:
		w.pods = after
	case !asBefore:
		w.wrong("%v were made in part", changes)
	}
}

func same(a, b *store.Metadata) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(b)
}

// compare compares one Pod with the model.
func (w *worker) compare(name string) { w.compareIn(w.s, name) }

func (w *worker) compareIn(s store.MetadataStore, name string) {
	got, ok := w.read(s, name)
	if !ok {
		return
	}
	w.count.reads.Add(1)
	switch want := w.pods[name]; {
	case same(want, got):
	case got == nil:
		w.wrong("%q is lost", name)
	case want == nil:
		w.wrong("%q is there, and was deleted", name)
	default:
		w.wrong("%q differs in %s", name, want.Diff(got))
	}
}

func (w *worker) compareAll(s store.MetadataStore) {
	for i := range podsEach {
		w.compareIn(s, fmt.Sprintf("%s-%d", w.name, i))
	}
}
