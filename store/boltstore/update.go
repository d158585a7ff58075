package boltstore

import (
	"context"
	"slices"

	"podstore/store"
	"podstore/store/internal/codec"
)

// Update edits one Pod: see [store.MetadataStore]. It writes only the sub-keys that
// edit changed. If the Pod exists and edit changed nothing, there is no commit.
func (s *Store) Update(ctx context.Context, name string, edit func(*store.Metadata) error) (*store.Metadata, error) {
	pods, err := s.UpdatePods(ctx, []string{name}, func(pods []*store.Metadata) error {
		if pods[0] == nil {
			if s.recordErr != nil {
				return s.maybeLost("update", name)
			}
			pods[0] = &store.Metadata{PodName: name}
		}
		return edit(pods[0])
	})
	if err != nil {
		return nil, err
	}
	return pods[0], nil
}

// UpdatePods edits several Pods in one transaction: see [store.PodUpdater].
func (s *Store) UpdatePods(ctx context.Context, names []string, edit func(pods []*store.Metadata) error) ([]*store.Metadata, error) {
	const op = "update"
	if err := store.ValidateNames(op, names); err != nil {
		return nil, err
	}
	names = slices.Clone(names)
	var pods []*store.Metadata
	err := s.submit(ctx, op, names[0], func(g *txn, r *request) (err error) {
		pods, err = g.edit(r, names, edit)
		return withOp(op, err)
	})
	if err != nil {
		return nil, err
	}
	return pods, nil
}

// edit runs one edit: it reads, calls the caller's edit, compares, and only then
// changes.
func (g *txn) edit(r *request, names []string, edit func([]*store.Metadata) error) ([]*store.Metadata, error) {
	pods := make([]*store.Metadata, len(names))
	given := make([]*store.Metadata, len(names))
	st := g.stage()
	defer st.clear()
	for i, name := range names {
		p, err := st.pod(name)
		switch {
		case err != nil:
			return nil, err
		case p.damage != nil:
			return nil, p.damage
		case p.there:
			err := guard(func() (err error) {
				pods[i], err = p.metadata(g.tx, name, store.ReadOptions{})
				return err
			})
			if err != nil {
				return nil, damaged("", name, err)
			}
			given[i] = pods[i]
		}
	}
	if err := r.edit(g.s, func() error { return edit(pods) }); err != nil {
		return nil, err
	}
	for i, name := range names {
		p := st.find(name)
		m := pods[i]
		if m == nil {
			p.delete()
			continue
		}
		if m != given[i] {
			m = m.Clone() // the caller may use it in several places
			pods[i] = m
		}
		m.PodName = name
		if err := p.normalize(m); err != nil {
			return nil, err
		}
		p.exists, p.m = true, m
		p.replace(store.AllFields)
	}
	if err := st.put(codec.MadeID{}); err != nil {
		return nil, err
	}
	for i, name := range names {
		if pods[i] != nil {
			pods[i].Version = st.find(name).version
		}
	}
	return pods, nil
}

// normalize is Metadata.Normalize, but skips a manifest equal to the stored one: that
// is canonical already.
func (p *staged) normalize(m *store.Metadata) error {
	if err := m.NormalizeLists(); err != nil {
		return err
	}
	if !codec.SameBinary(codec.Payload(p.values[codec.Manifest]), m.Manifest) {
		if err := m.NormalizeManifest(); err != nil {
			return err
		}
	}
	return m.NormalizeExtra()
}
