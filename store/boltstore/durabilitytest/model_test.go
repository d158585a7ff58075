//go:build linux

package durabilitytest

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"

	"podstore/store"
)

// model is a store that is a map, for one goroutine: what a database should
// hold. Metadata in it is never changed, so copies of the map are states, and a Pod
// that an operation left as it was is the same pointer in both.
type model map[string]*store.Metadata

// modelNumber makes the revision numbers of all models.
var modelNumber atomic.Uint64

func (md model) Apply(_ context.Context, changes []store.Change, _ *store.ApplyOptions) ([]store.Applied, error) {
	changes, err := store.Prepare(changes)
	if err != nil {
		return nil, err
	}
	after, err := store.Evaluate(changes, md, nil)
	if err != nil {
		return nil, err
	}
	number := modelNumber.Add(1)
	for name, m := range after {
		switch was := md[name]; {
		case m == nil:
			delete(md, name)
		case was == nil || m != was && !m.Equal(was):
			m.Version.Revision = store.Revision{Number: number}
			md[name] = m
		}
	}
	applied := make([]store.Applied, len(changes))
	for i, c := range changes {
		applied[i].Pod = c.Pod
		if m := md[c.Pod]; m != nil {
			applied[i].Version = m.Version
		}
	}
	return applied, nil
}

func (md model) Read(_ context.Context, name string) (*store.Metadata, error) {
	if m := md[name]; m != nil {
		return m.Clone(), nil
	}
	return nil, &store.Error{Op: "read", Pod: name, Kind: store.ErrNotFound}
}

func (md model) List(context.Context) ([]string, error) { return slices.Sorted(maps.Keys(md)), nil }

func (md model) Update(ctx context.Context, name string, edit func(*store.Metadata) error) (*store.Metadata, error) {
	pods, err := md.UpdatePods(ctx, []string{name}, func(pods []*store.Metadata) error {
		if pods[0] == nil {
			pods[0] = &store.Metadata{PodName: name}
		}
		return edit(pods[0])
	})
	if err != nil {
		return nil, err
	}
	return pods[0], nil
}

func (md model) UpdatePods(ctx context.Context, names []string, edit func([]*store.Metadata) error) ([]*store.Metadata, error) {
	pods := make([]*store.Metadata, len(names))
	for i, name := range names {
		if m := md[name]; m != nil {
			pods[i] = m.Clone()
		}
	}
	if err := edit(pods); err != nil {
		return nil, err
	}
	changes := make([]store.Change, len(names))
	for i, m := range pods {
		changes[i] = store.Change{Pod: names[i], Op: store.Delete{}}
		if m != nil {
			m = m.Clone()
			m.PodName = names[i]
			changes[i].Op = store.Put{Metadata: m}
		}
	}
	if _, err := md.Apply(ctx, changes, nil); err != nil {
		return nil, err
	}
	for i, name := range names {
		pods[i] = md[name]
	}
	return pods, nil
}
