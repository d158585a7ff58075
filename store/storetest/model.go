package storetest

import (
	"context"
	"maps"
	"slices"

	"podstore/store"
)

// model is what a store should hold: a map, with the rules of package store and
// nothing else. It is for one goroutine.
type model map[string]*store.Metadata

func (md model) write(m *store.Metadata) error {
	m = m.Clone()
	if err := m.Normalize(); err != nil {
		return err
	}
	md[m.PodName] = m
	return nil
}

func (md model) read(name string) (*store.Metadata, error) {
	if err := store.ValidateName(name); err != nil {
		return nil, err
	}
	m, ok := md[name]
	if !ok {
		return nil, &store.Error{Op: "read", Pod: name, Kind: store.ErrNotFound}
	}
	return m.Clone(), nil
}

func (md model) list() []string { return slices.Sorted(maps.Keys(md)) }

func (md model) delete(name string) error {
	if err := store.ValidateName(name); err != nil {
		return err
	}
	delete(md, name)
	return nil
}

func (md model) update(name string, edit func(*store.Metadata) error) (*store.Metadata, error) {
	pods, err := md.updatePods([]string{name}, func(pods []*store.Metadata) error {
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

func (md model) updatePods(names []string, edit func([]*store.Metadata) error) ([]*store.Metadata, error) {
	pods := make([]*store.Metadata, len(names))
	for i, name := range names {
		if err := store.ValidateName(name); err != nil {
			return nil, err
		}
		if slices.Contains(names[:i], name) {
			return nil, &store.Error{Op: "update pods", Pod: name, Kind: store.ErrInvalid}
		}
		if m := md[name]; m != nil {
			pods[i] = m.Clone()
		}
	}
	if err := edit(pods); err != nil {
		return nil, err
	}
	result := make([]*store.Metadata, len(names))
	for i, m := range pods {
		if m == nil {
			continue
		}
		result[i] = m.Clone()
		result[i].PodName = names[i]
		if err := result[i].Normalize(); err != nil {
			return nil, err
		}
	}
	for i, m := range result {
		if delete(md, names[i]); m != nil {
			md[names[i]] = m.Clone()
		}
	}
	return result, nil
}

// clone returns a model that later changes of md do not reach.
func (md model) clone() model { return maps.Clone(md) }

// modelStore makes a model a store, for the operations that are functions over
// one. It does not look at contexts.
type modelStore struct{ model }

func (s modelStore) Write(_ context.Context, m *store.Metadata) error { return s.write(m) }

func (s modelStore) Read(_ context.Context, name string) (*store.Metadata, error) {
	return s.read(name)
}

func (s modelStore) List(context.Context) ([]string, error) { return s.list(), nil }

func (s modelStore) Delete(_ context.Context, name string) error { return s.delete(name) }

func (s modelStore) Update(_ context.Context, name string, edit func(*store.Metadata) error) (*store.Metadata, error) {
	return s.update(name, edit)
}

func (s modelStore) UpdatePods(_ context.Context, names []string, edit func([]*store.Metadata) error) ([]*store.Metadata, error) {
	return s.updatePods(names, edit)
}
