//go:build linux

package durabilitytest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"podstore/store"
	"podstore/store/boltstore"
)

// write opens the damaged file as a supervisor does, changes healthy Pods,
// replaces damaged ones, and makes sure that this destroys nothing.
func (x *examiner) write() {
	w := &writes{x: x, want: maps.Clone(x.sound)}
	x.f.Refused = !x.open("to write", boltstore.Options{}, func(s *boltstore.Store) {
		w.readable = x.read("before writing", s, x.sound, nil)
		w.run(s)
		if !x.f.Poison {
			x.read("after writing", s, w.want, w.mayBeDamaged)
		}
	})
	if x.f.Refused {
		return
	}
	// Once more, to see the file as it is now and to use the pages just freed.
	opened := x.open("again", boltstore.Options{}, func(s *boltstore.Store) {
		x.read("opened again", s, w.want, w.mayBeDamaged)
		if x.f.Poison {
			return
		}
		w.run(s)
		if !x.f.Poison {
			x.read("after writing again", s, w.want, w.mayBeDamaged)
		}
	})
	if !opened {
		x.bad("the file was opened, changed, and cannot be opened any more: %v", x.refusal)
	}
	x.open("at last, with a full check", boltstore.Options{ReadOnly: true, FullCheck: true}, func(s *boltstore.Store) {
		x.read("at last", s, w.want, w.mayBeDamaged)
	})
}

// writes is what was changed in a damaged file.
type writes struct {
	x        *examiner
	want     model
	readable map[string]bool // Pods that were healthy before, or were healed
	round    int
}

// mayBeDamaged allows damage in Pods that could not be read at first, and in no
// other: writing must not spread it.
func (w *writes) mayBeDamaged(name string) bool { return !w.readable[name] }

func (w *writes) run(s *boltstore.Store) {
	w.round++
	ctx := context.Background()
	healthy := slices.Sorted(maps.Keys(w.readable))
	var damaged []string
	for _, name := range sortedNames(w.x.sound) {
		if !w.readable[name] {
			damaged = append(damaged, name)
		}
	}
	steps := []func(store.MetadataStore) error{
		func(s store.MetadataStore) error {
			return store.Write(ctx, s, &store.Metadata{PodName: "zz new and small"})
		},
		func(s store.MetadataStore) error {
			m := &store.Metadata{PodName: "aa new and large", Manifest: manifestOf("n", 9000*w.round)}
			return store.Write(ctx, s, m)
		},
	}
	do := func(name string, ops ...store.Op) {
		steps = append(steps, func(s store.MetadataStore) error { return store.Do(ctx, s, name, ops...) })
	}
	// Some of the healthy ones, spread over the file, and others each time.
	for i := w.round % 3; i < len(healthy); i += 3 {
		name := healthy[i]
		switch i / 3 % 9 {
		case 0, 1:
			do(name, store.AddPeer{PodName: strings.Repeat("new peer", 4*w.round)})
		case 2:
			do(name, store.SetActive{Active: nil, Manifest: manifestOf("m", 3000*w.round)})
		case 3:
			do(name, store.Delete{})
		case 4:
			steps = append(steps, func(s store.MetadataStore) error {
				_, err := store.UpdatePods(ctx, s, []string{name, healthy[0]}, func(pods []*store.Metadata) error {
					for _, m := range pods {
						if m != nil {
							m.Extra = map[string]json.RawMessage{"both": manifestOf("b", 50*i)}
						}
					}
					return nil
				})
				return err
			})
		case 5:
			do(name, store.Reclaim{Reclaimed: past(20 * w.round)})
		case 6:
			do(name, store.Remove{})
		case 7:
			do(name, store.AddChild{Child: store.SpawnedChild{PodName: "child", SocketPath: strings.Repeat("s", 100*w.round)}}, store.SetField{Field: "mark", Value: manifestOf("f", w.round)})
		case 8:
			steps = append(steps, func(s store.MetadataStore) error {
				_, err := s.Apply(ctx, []store.Change{
					{Pod: name, Op: store.SetSegment{}, If: store.SkipMissing},
					{Pod: healthy[0], Op: store.RemovePeer{PodName: "x"}, If: store.SkipMissing},
					{Pod: "zz new and small", Op: store.AddPeer{PodName: name}},
				}, nil)
				return err
			})
		}
	}
	if w.readable[removed] {
		do(removed, store.Remove{})
	}
	for i, h := range histories {
		if w.readable[h.name] && i%2 == w.round%2 {
			do(h.name, store.Reclaim{Reclaimed: past(5)}, store.TrimReclaimed{Keep: h.keep})
		}
	}
	for _, step := range steps {
		if !w.do(s, step, "", "") {
			return
		}
	}
	// What is done to a part of a damaged Pod fails, or it is done; the rest is as
	// damaged as before.
	for i, name := range damaged {
		blind := [...]store.Op{
			store.AddPeer{PodName: "blind"}, store.Reclaim{Reclaimed: past(2)}, store.TrimReclaimed{Keep: 3}, store.TrimReclaimed{},
			store.SetPeers{}, store.SetSegment{}, store.SetActive{}, store.RemoveChild{PodName: "c"}, store.SetField{Field: "blind", Value: manifestOf("b", 1)},
		}[(i+w.round)%9]
		step := func(s store.MetadataStore) error {
			_, err := s.Apply(ctx, []store.Change{{Pod: name, Op: blind, If: store.SkipMissing}}, nil)
			return err
		}
		if !w.do(s, step, name, "") {
			return
		}
	}
	w.x.read("after changes of what is damaged", s, w.want, w.mayBeDamaged)
	for _, name := range damaged {
		healed := func(s store.MetadataStore) error {
			if len(name)%2 == 0 {
				return store.Do(ctx, s, name, store.Delete{})
			}
			return store.Write(ctx, s, w.x.sound[name])
		}
		if !w.do(s, healed, name, name) {
			return
		}
	}
}

// do makes one change in the store and then in what is wanted. pod is the damaged Pod
// that it concerns, heals the same when it replaces that. It reports false when the
// handle has become unusable.
func (w *writes) do(s *boltstore.Store, step func(store.MetadataStore) error, pod, heals string) bool {
	err := step(s)
	switch {
	case err == nil:
		before := maps.Clone(w.want)
		if err := step(w.want); err != nil {
			w.x.bad("a change succeeded and should not have: %v", err)
		}
		for name, m := range w.want {
			if before[name] == nil {
				w.readable[name] = true
			} else if name == heals && m != nil {
				w.readable[name] = true
			}
		}
		for name := range before {
			if w.want[name] == nil {
				delete(w.readable, name)
			}
		}
	case errors.Is(err, store.ErrUnusable):
		// Whether the change is there is not known. Leave it to the next opening to
		// find everything else in order.
		w.x.f.Poison = true
		if !w.x.p.Common {
			w.x.bad("damage of %q alone makes the handle unusable: %v", w.x.p.Pods, err)
		}
		changed := maps.Clone(w.want)
		_ = step(changed)
		for name := range unionOf(w.want, changed) {
			if a, b := w.want[name], changed[name]; a == nil || b == nil || a.Diff(b) != "" {
				delete(w.want, name)
				delete(w.readable, name)
				w.x.unsure[name] = true
			}
		}
		return false
	case !errors.Is(err, store.ErrCorrupt):
		w.x.bad("a change fails with %v", err)
	case pod == "" && !w.x.p.Common:
		w.x.bad("a change of healthy Pods fails although nothing but %q was touched: %v", w.x.p.Pods, err)
	}
	return true
}

func unionOf(a, b model) map[string]bool {
	names := map[string]bool{}
	for name := range a {
		names[name] = true
	}
	for name := range b {
		names[name] = true
	}
	return names
}

// past are n entries of a history.
func past(n int) []store.ReclaimedChild {
	list := make([]store.ReclaimedChild, n)
	for i := range list {
		list[i].PodName = fmt.Sprintf("past-%d", i)
	}
	return list
}

func manifestOf(letter string, n int) json.RawMessage {
	return json.RawMessage(`"` + strings.Repeat(letter, n) + `"`)
}
