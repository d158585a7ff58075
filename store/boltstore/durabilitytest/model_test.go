//go:build linux

package durabilitytest

import (
	"context"
	"maps"
	"slices"

	"podstore/store"
)

// model is a store that is a map, for one goroutine: what a database should
// hold. Metadata in it is never changed, so copies of the map are states.
type model map[string]*store.Metadata

func (md model) Write(_ context.Context, m *store.Metadata) error {
	m = m.Clone()
	if err := m.Normalize(); err != nil {
		return err
	}
	md[m.PodName] = m
	return nil
}

func (md model) Read(_ context.Context, name string) (*store.Metadata, error) {
	if m := md[name]; m != nil {
		return m.Clone(), nil
	}
	return nil, &store.Error{Op: "read", Pod: name, Kind: store.ErrNotFound}
}

func (md model) List(context.Context) ([]string, error) { return slices.Sorted(maps.Keys(md)), nil }

func (md model) Delete(_ context.Context, name string) error {
	delete(md, name)
	return nil
}

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

func (md model) UpdatePods(_ context.Context, names []string, edit func([]*store.Metadata) error) ([]*store.Metadata, error) {
	pods := make([]*store.Metadata, len(names))
	for i, name := range names {
		if m := md[name]; m != nil {
			pods[i] = m.Clone()
		}
	}
	if err := edit(pods); err != nil {
		return nil, err
	}
	for i, m := range pods {
		if m == nil {
			continue
		}
		pods[i] = m.Clone()
		pods[i].PodName = names[i]
		if err := pods[i].Normalize(); err != nil {
			return nil, err
		}
	}
	for i, m := range pods {
		if delete(md, names[i]); m != nil {
			md[names[i]] = m
		}
	}
	return pods, nil
}
