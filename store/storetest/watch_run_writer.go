package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"podstore/store"
)

// The writers share watchedPods. Each has one Pod of its own as well.
var watchedPods = []string{"a", "b", "c", "d", "e", "f"}

// writer makes random changes. Each change sets a field of some Pod to a value that is
// never set again. So each changes something, and its number is that Pod's.
type writer struct {
	*rand.Rand
	run *WatchRun
	s   store.MetadataStore
	id  int
	n   int

	own     store.Revision        // of its own Pod; used only with Unsure
	pending map[string]madeChange // by mark: changes that the store may still make
}

func (wr *writer) pod() string { return fmt.Sprint("writer-", wr.id) }

// change makes one change. It reports false if the writer cannot go on.
func (wr *writer) change() bool {
	wr.n++
	mark := fmt.Sprintf(`"%d.%d.%d"`, wr.run.began, wr.id, wr.n)
	marks := func(pod string) store.Change {
		return store.Change{Pod: pod, Op: store.SetField{Field: "mark", Value: json.RawMessage(mark)}}
	}
	if wr.run.Unsure {
		first := marks(wr.pod())
		if first.If = store.Missing; !wr.own.IsZero() {
			first.If = store.AtRevision(wr.own)
		}
		return wr.apply(mark, append([]store.Change{first}, wr.some(wr.IntN(4))...))
	}
	shared := wr.Perm(len(watchedPods))
	a, b, c := watchedPods[shared[0]], watchedPods[shared[1]], watchedPods[shared[2]]
	switch wr.IntN(12) {
	case 0, 1, 2:
		return wr.apply(mark, []store.Change{marks(a)})
	case 3, 4:
		return wr.apply(mark, []store.Change{marks(a), {Pod: a, Op: wr.op(a)}})
	case 5, 6:
		return wr.apply(mark, append([]store.Change{marks(wr.pod())}, wr.some(1+wr.IntN(4))...))
	case 7:
		return wr.apply(mark, []store.Change{marks(a), {Pod: a, Op: store.AddPeer{PodName: b}}, {Pod: b, Op: store.AddPeer{PodName: a}, If: store.Exists}})
	case 8:
		return wr.apply(mark, []store.Change{{Pod: a, If: store.Exists}, marks(wr.pod()), {Pod: b, Op: store.AddChild{Child: store.SpawnedChild{PodName: a}}}})
	case 9:
		m, err := wr.s.Update(background, a, func(m *store.Metadata) error {
			m.Manifest = json.RawMessage(mark)
			setExtra(m, "mark", mark)
			return nil
		})
		return wr.edited([]string{a}, []*store.Metadata{m}, err)
	default:
		names := []string{wr.pod(), a, b, c}
		what := wr.IntN(3)
		pods, err := store.UpdatePods(background, wr.s, names, func(pods []*store.Metadata) error {
			if pods[0] == nil {
				pods[0] = minimal(names[0])
			}
			setExtra(pods[0], "mark", mark)
			switch what {
			case 0:
				pods[1], pods[2] = pods[2], pods[1]
			case 1:
				pods[1], pods[3] = nil, withPeers(c, a, b)
			}
			return nil
		})
		return wr.edited(names, pods, err)
	}
}

// some returns changes of shared Pods, including deletions.
func (wr *writer) some(n int) (changes []store.Change) {
	for _, i := range wr.Perm(len(watchedPods))[:n] {
		pod := watchedPods[i]
		op := wr.op(pod)
		switch n := wr.IntN(6); {
		case n == 0, n == 1 && wr.run.Dangling:
			op = store.Delete{}
		case n == 1:
			op = store.Remove{}
		}
		changes = append(changes, store.Change{Pod: pod, Op: op})
	}
	return changes
}

func (wr *writer) op(pod string) store.Op {
	other := watchedPods[wr.IntN(len(watchedPods))]
	text := json.RawMessage(fmt.Sprintf(`"%d.%d %s"`, wr.id, wr.n, strings.Repeat("x", wr.IntN(3000))))
	switch wr.IntN(7) {
	case 0:
		return store.AddPeer{PodName: other}
	case 1:
		return store.RemovePeer{PodName: other}
	case 2:
		return store.AddChild{Child: store.SpawnedChild{PodName: other, SocketPath: string(text)}}
	case 3:
		return store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: other}}}
	case 4:
		return store.SetActive{Active: store.PendingSegment(store.SessionID{byte(wr.n)}), Manifest: text}
	case 5:
		m := full(pod)
		m.Manifest = text
		return store.Put{Metadata: m}
	}
	return store.SetField{Field: "other", Value: text}
}

// apply makes changes. The change that sets the mark shows the number.
func (wr *writer) apply(mark string, changes []store.Change) bool {
	prepared, err := store.Prepare(changes)
	if err != nil {
		wr.run.t.Error(err)
		return false
	}
	c := madeChange{changes: prepared, revisions: map[string]store.Revision{}}
	applied, err := wr.s.Apply(background, changes, nil)
	switch {
	case err == nil:
		for i, a := range applied {
			if op, ok := changes[i].Op.(store.SetField); ok && op.Field == "mark" {
				c.number, wr.own = a.Version.Revision.Number, a.Version.Revision
			}
			if a.Version.Revision.Digest != 0 { // 0: the Pod is gone
				c.revisions[a.Pod] = a.Version.Revision
			}
		}
		clear(wr.pending)
		wr.run.add(c)
	case wr.run.Unsure:
		wr.pending[mark] = c
		return wr.findOut()
	case !errors.Is(err, store.ErrNotFound):
		wr.run.t.Errorf("%s: %v", described(changes), err)
		return false
	}
	return true
}

// findOut reads the writer's own Pod until that shows whether the store made one of the
// failed changes. If so, it will never make the others: their condition no longer
// holds.
func (wr *writer) findOut() bool {
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		m, err := wr.s.Read(background, wr.pod())
		switch {
		case err == nil:
			wr.own = m.Version.Revision
			if c, ok := wr.pending[string(m.Extra["mark"])]; ok {
				c.number = wr.own.Number
				clear(wr.pending)
				wr.run.add(c)
			}
			return true
		case errors.Is(err, store.ErrNotFound):
			return true
		case time.Now().After(deadline):
			wr.run.t.Errorf("the store does not come back: %v", err)
			return false
		}
	}
}

// settle makes changes until the store cannot make any of the failed ones any more.
func (wr *writer) settle() {
	for deadline := time.Now().Add(patience); len(wr.pending) > 0; {
		if time.Now().After(deadline) {
			wr.run.t.Error("no change succeeds any more")
			return
		}
		if !wr.change() {
			return
		}
	}
}

// edited records the result of an edit. The first Pod has the mark.
func (wr *writer) edited(names []string, pods []*store.Metadata, err error) bool {
	if err != nil {
		wr.run.t.Errorf("an edit of %q: %v", names, err)
		return false
	}
	c := madeChange{number: pods[0].Version.Revision.Number, revisions: map[string]store.Revision{}}
	for i, name := range names {
		change := store.Change{Pod: name, Op: store.Delete{}}
		if m := pods[i]; m != nil {
			change.Op = store.Put{Metadata: m}
			c.revisions[name] = m.Version.Revision
		}
		c.changes = append(c.changes, change)
	}
	if c.changes, err = store.Prepare(c.changes); err != nil {
		wr.run.t.Error(err)
		return false
	}
	wr.run.add(c)
	return true
}
