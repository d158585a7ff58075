package etcdstore

import (
	"context"
	"io"
	"iter"

	"podstore/store"
)

type snapshot struct{ view }

func (s *Store) snapshot(ctx context.Context) (store.MetadataStore, io.Closer, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	m, _, err := s.now().txn(ctx, "snapshot", "", nil)
	if err != nil {
		return nil, nil, err
	}
	return snapshot{view{s: s, rev: m.rev}}, io.NopCloser(nil), nil
}

func (s snapshot) Read(ctx context.Context, name string) (*store.Metadata, error) {
	return s.read(ctx, name, store.ReadOptions{})
}

func (s snapshot) ReadPart(ctx context.Context, name string, opts store.ReadOptions) (*store.Metadata, error) {
	return s.read(ctx, name, opts)
}

func (s snapshot) List(ctx context.Context) ([]string, error) {
	names, _, err := s.list(ctx)
	return names, err
}

func (s snapshot) All(ctx context.Context, opts store.ReadOptions) iter.Seq2[*store.Metadata, error] {
	return s.all(ctx, opts)
}

func (s snapshot) Apply(context.Context, []store.Change, *store.ApplyOptions) ([]store.Applied, error) {
	return nil, &store.Error{Op: "apply", Kind: store.ErrReadOnly}
}

func (s snapshot) Update(_ context.Context, name string, _ func(*store.Metadata) error) (*store.Metadata, error) {
	return nil, &store.Error{Op: "update", Pod: name, Kind: store.ErrReadOnly}
}

func (s snapshot) UpdatePods(context.Context, []string, func([]*store.Metadata) error) ([]*store.Metadata, error) {
	return nil, &store.Error{Op: "update", Kind: store.ErrReadOnly}
}
