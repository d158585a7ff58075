package storetest

import (
	"context"
	"io"
	"iter"
	"testing"

	"podstore/store"
)

// bareStore is the least a backend can be: a mutex round the model.
type bareStore struct {
	mu   chan struct{} // holds an element while locked, so that waiting can end with a context
	pods model
}

func newBareStore() *bareStore {
	return &bareStore{mu: make(chan struct{}, 1), pods: model{}}
}

func (b *bareStore) locked(ctx context.Context, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case b.mu <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-b.mu }()
	return f()
}

func (b *bareStore) Write(ctx context.Context, m *store.Metadata) error {
	return b.locked(ctx, func() error { return b.pods.write(m) })
}

func (b *bareStore) Read(ctx context.Context, name string) (m *store.Metadata, err error) {
	err = b.locked(ctx, func() error { m, err = b.pods.read(name); return err })
	return m, err
}

func (b *bareStore) List(ctx context.Context) (names []string, err error) {
	err = b.locked(ctx, func() error { names = b.pods.list(); return nil })
	return names, err
}

func (b *bareStore) Delete(ctx context.Context, name string) error {
	return b.locked(ctx, func() error { return b.pods.delete(name) })
}

func (b *bareStore) Update(ctx context.Context, name string, edit func(*store.Metadata) error) (m *store.Metadata, err error) {
	err = b.locked(ctx, func() error { m, err = b.pods.update(name, edit); return err })
	return m, err
}

// ableStore has every optional ability as well.
type ableStore struct{ *bareStore }

func (a ableStore) UpdatePods(ctx context.Context, names []string, edit func([]*store.Metadata) error) (pods []*store.Metadata, err error) {
	err = a.locked(ctx, func() error { pods, err = a.pods.updatePods(names, edit); return err })
	return pods, err
}

func (a ableStore) WriteBatch(ctx context.Context, pods []*store.Metadata) []error {
	errs := make([]error, len(pods))
	for i, m := range pods {
		errs[i] = a.Write(ctx, m)
	}
	return errs
}

func (a ableStore) All(ctx context.Context, opts store.ReadOptions) iter.Seq2[*store.Metadata, error] {
	return func(yield func(*store.Metadata, error) bool) {
		snap, _, err := a.Snapshot(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		for m, err := range store.All(ctx, snap, opts) {
			if !yield(m, err) {
				return
			}
		}
	}
}

func (a ableStore) Snapshot(ctx context.Context) (store.MetadataStore, io.Closer, error) {
	frozen := frozenStore{newBareStore()}
	err := a.locked(ctx, func() error { frozen.pods = a.pods.clone(); return nil })
	return frozen, io.NopCloser(nil), err
}

type frozenStore struct{ *bareStore }

var errFrozen = &store.Error{Op: "change", Kind: store.ErrReadOnly}

func (frozenStore) Write(context.Context, *store.Metadata) error { return errFrozen }

func (frozenStore) Delete(context.Context, string) error { return errFrozen }

func (frozenStore) Update(context.Context, string, func(*store.Metadata) error) (*store.Metadata, error) {
	return nil, errFrozen
}

func TestMetadataBareStore(t *testing.T) {
	Metadata(t, Backend{Open: func(*testing.T) store.MetadataStore { return newBareStore() }})
}

func TestMetadataAbleStore(t *testing.T) {
	Metadata(t, Backend{Open: func(*testing.T) store.MetadataStore { return ableStore{newBareStore()} }})
}

func TestMetadataCombinedStore(t *testing.T) {
	for name, pods := range map[string]func() store.MetadataStore{
		"bare": func() store.MetadataStore { return newBareStore() },
		"able": func() store.MetadataStore { return ableStore{newBareStore()} },
	} {
		t.Run(name, func(t *testing.T) {
			Metadata(t, Backend{Open: func(*testing.T) store.MetadataStore { return store.NewCombined(nil, pods()) }})
		})
	}
}
