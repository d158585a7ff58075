package storetest

import (
	"context"
	"io"
	"iter"

	"podstore/store"
)

// faultyStore is a good store but for what is set.
type faultyStore struct {
	ableStore
	write      func(ctx context.Context, m *store.Metadata) error
	read       func(ctx context.Context, name string) (*store.Metadata, error)
	list       func(ctx context.Context) ([]string, error)
	delete     func(ctx context.Context, name string) error
	update     func(ctx context.Context, name string, edit func(*store.Metadata) error) (*store.Metadata, error)
	updatePods func(ctx context.Context, names []string, edit func([]*store.Metadata) error) ([]*store.Metadata, error)
	writeBatch func(ctx context.Context, pods []*store.Metadata) []error
	all        func(ctx context.Context, opts store.ReadOptions) iter.Seq2[*store.Metadata, error]
	snapshot   func(ctx context.Context) (store.MetadataStore, io.Closer, error)
	root       string
}

func (f *faultyStore) Write(ctx context.Context, m *store.Metadata) error {
	if f.write != nil {
		return f.write(ctx, m)
	}
	return store.Write(ctx, f.ableStore, m)
}

func (f *faultyStore) Read(ctx context.Context, name string) (*store.Metadata, error) {
	if f.read != nil {
		return f.read(ctx, name)
	}
	return f.ableStore.Read(ctx, name)
}

func (f *faultyStore) List(ctx context.Context) ([]string, error) {
	if f.list != nil {
		return f.list(ctx)
	}
	return f.ableStore.List(ctx)
}

func (f *faultyStore) Delete(ctx context.Context, name string) error {
	if f.delete != nil {
		return f.delete(ctx, name)
	}
	return store.Do(ctx, f.ableStore, name, store.Delete{})
}

func (f *faultyStore) Update(ctx context.Context, name string, edit func(*store.Metadata) error) (*store.Metadata, error) {
	if f.update != nil {
		return f.update(ctx, name, edit)
	}
	return f.ableStore.Update(ctx, name, edit)
}

func (f *faultyStore) UpdatePods(ctx context.Context, names []string, edit func([]*store.Metadata) error) ([]*store.Metadata, error) {
	if f.updatePods != nil {
		return f.updatePods(ctx, names, edit)
	}
	return f.ableStore.UpdatePods(ctx, names, edit)
}

func (f *faultyStore) WriteBatch(ctx context.Context, pods []*store.Metadata) []error {
	if f.writeBatch != nil {
		return f.writeBatch(ctx, pods)
	}
	return f.ableStore.WriteBatch(ctx, pods)
}

func (f *faultyStore) All(ctx context.Context, opts store.ReadOptions) iter.Seq2[*store.Metadata, error] {
	if f.all != nil {
		return f.all(ctx, opts)
	}
	return f.ableStore.All(ctx, opts)
}

func (f *faultyStore) Snapshot(ctx context.Context) (store.MetadataStore, io.Closer, error) {
	if f.snapshot != nil {
		return f.snapshot(ctx)
	}
	return f.ableStore.Snapshot(ctx)
}

func (f *faultyStore) RootDir() string { return f.root }
