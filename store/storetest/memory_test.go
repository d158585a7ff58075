package storetest

import (
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"testing"

	"podstore/store"
)

// bareStore is the least a backend can be: a lock round the model.
type bareStore struct {
	mu      chan struct{} // holds an element while locked, so that waiting can end with a context
	pods    model
	damaged map[string]bool
	written int
}

func newBareStore() *bareStore {
	return &bareStore{mu: make(chan struct{}, 1), pods: model{}, damaged: map[string]bool{}}
}

func (b *bareStore) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case b.mu <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *bareStore) unlock() { <-b.mu }

func (b *bareStore) locked(ctx context.Context, f func() error) error {
	if err := b.lock(ctx); err != nil {
		return err
	}
	defer b.unlock()
	return f()
}

// whole is the error for a Pod that is damaged.
func (b *bareStore) whole(name string) error {
	if b.damaged[name] {
		return &store.Error{Op: "read", Pod: name, Kind: store.ErrCorrupt}
	}
	return nil
}

func (b *bareStore) Write(ctx context.Context, m *store.Metadata) error {
	return b.locked(ctx, func() error {
		err := b.pods.write(m)
		if err == nil {
			delete(b.damaged, m.PodName)
			b.written++
		}
		return err
	})
}

func (b *bareStore) Read(ctx context.Context, name string) (m *store.Metadata, err error) {
	err = b.locked(ctx, func() error {
		if err := b.whole(name); err != nil {
			return err
		}
		m, err = b.pods.read(name)
		return err
	})
	return m, err
}

func (b *bareStore) List(ctx context.Context) (names []string, err error) {
	err = b.locked(ctx, func() error { names = b.pods.list(); return nil })
	return names, err
}

func (b *bareStore) Delete(ctx context.Context, name string) error {
	return b.locked(ctx, func() error {
		delete(b.damaged, name)
		return b.pods.delete(name)
	})
}

func (b *bareStore) Update(ctx context.Context, name string, edit func(*store.Metadata) error) (*store.Metadata, error) {
	pods, err := b.updatePods(ctx, []string{name}, func(pods []*store.Metadata) error {
		if pods[0] == nil {
			pods[0] = minimal(name)
		}
		return edit(pods[0])
	})
	if err != nil {
		return nil, err
	}
	return pods[0], nil
}

func (b *bareStore) updatePods(ctx context.Context, names []string, edit func([]*store.Metadata) error) (pods []*store.Metadata, err error) {
	err = b.locked(ctx, func() error {
		for _, name := range names {
			if err := b.whole(name); err != nil {
				return err
			}
		}
		before := b.pods.clone()
		pods, err = b.pods.updatePods(names, edit)
		if err == nil && !maps.EqualFunc(before, b.pods, (*store.Metadata).Equal) {
			b.written++
		}
		return err
	})
	return pods, err
}

// ableStore has every optional ability as well.
type ableStore struct{ *bareStore }

func newAbleStore() ableStore { return ableStore{newBareStore()} }

func (a ableStore) UpdatePods(ctx context.Context, names []string, edit func([]*store.Metadata) error) ([]*store.Metadata, error) {
	return a.updatePods(ctx, names, edit)
}

func (a ableStore) WriteBatch(ctx context.Context, pods []*store.Metadata) []error {
	errs := make([]error, len(pods))
	for i, m := range pods {
		errs[i] = store.Write(ctx, a, m)
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
		store.All(ctx, snap, opts)(yield)
	}
}

func (a ableStore) Snapshot(ctx context.Context) (store.MetadataStore, io.Closer, error) {
	frozen := frozenStore{newBareStore()}
	err := a.locked(ctx, func() error {
		frozen.pods, frozen.damaged = a.pods.clone(), maps.Clone(a.damaged)
		return nil
	})
	return frozen, io.NopCloser(nil), err
}

// frozenStore is a snapshot.
type frozenStore struct{ *bareStore }

var errFrozen = &store.Error{Op: "change", Kind: store.ErrReadOnly}

func (frozenStore) Write(context.Context, *store.Metadata) error { return errFrozen }

func (frozenStore) Delete(context.Context, string) error { return errFrozen }

func (frozenStore) Update(context.Context, string, func(*store.Metadata) error) (*store.Metadata, error) {
	return nil, errFrozen
}

// inMemory is the suite's view of a store that keeps nothing outside of memory.
func inMemory[S store.MetadataStore](open func() S, bare func(S) *bareStore) Backend {
	return Backend{
		Open:   func(*testing.T) store.MetadataStore { return open() },
		Reopen: func(_ *testing.T, s store.MetadataStore) store.MetadataStore { return s },
		Damage: func(_ *testing.T, s store.MetadataStore, pod string) store.MetadataStore {
			bare(s.(S)).damaged[pod] = true
			return s
		},
		Written: func(_ *testing.T, s store.MetadataStore) string { return fmt.Sprint(bare(s.(S)).written) },
	}
}

func TestMetadataBareStore(t *testing.T) {
	Metadata(t, inMemory(newBareStore, func(s *bareStore) *bareStore { return s }))
}

func TestMetadataAbleStore(t *testing.T) {
	Metadata(t, inMemory(newAbleStore, func(s ableStore) *bareStore { return s.bareStore }))
}

func TestMetadataCombinedStore(t *testing.T) {
	for name, open := range map[string]func() store.MetadataStore{
		"bare": func() store.MetadataStore { return newBareStore() },
		"able": func() store.MetadataStore { return newAbleStore() },
	} {
		t.Run(name, func(t *testing.T) {
			Metadata(t, Backend{Open: func(*testing.T) store.MetadataStore { return store.NewCombined(nil, open()) }})
		})
	}
}
