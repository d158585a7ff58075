package storetest

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"

	"podstore/store"
)

// faultyStore is a good store with the faults that are set.
type faultyStore struct {
	ableStore
	apply      func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error)
	write      func(ctx context.Context, m *store.Metadata) error
	read       func(ctx context.Context, name string) (*store.Metadata, error)
	readPart   func(ctx context.Context, name string, opts store.ReadOptions) (*store.Metadata, error)
	list       func(ctx context.Context) ([]string, error)
	delete     func(ctx context.Context, name string) error
	update     func(ctx context.Context, name string, edit func(*store.Metadata) error) (*store.Metadata, error)
	updatePods func(ctx context.Context, names []string, edit func([]*store.Metadata) error) ([]*store.Metadata, error)
	writeBatch func(ctx context.Context, puts []store.Put) []error
	all        func(ctx context.Context, opts store.ReadOptions) iter.Seq2[*store.Metadata, error]
	watch      func(ctx context.Context, opts store.WatchOptions) iter.Seq2[store.Batch, error]
	snapshot   func(ctx context.Context) (store.MetadataStore, io.Closer, error)
	reopened   func() // what is lost when the data is opened again
	root       string
}

func (f *faultyStore) Read(ctx context.Context, name string) (*store.Metadata, error) {
	if f.read != nil {
		return f.read(ctx, name)
	}
	return f.ableStore.Read(ctx, name)
}

func (f *faultyStore) ReadPart(ctx context.Context, name string, opts store.ReadOptions) (*store.Metadata, error) {
	if f.readPart != nil {
		return f.readPart(ctx, name, opts)
	}
	m, err := f.Read(ctx, name)
	if err != nil {
		return nil, err
	}
	return opts.Part(m), nil
}

func (f *faultyStore) List(ctx context.Context) ([]string, error) {
	if f.list != nil {
		return f.list(ctx)
	}
	return f.ableStore.List(ctx)
}

// Apply passes to one of the other faults what concerns it: a Put to write, a Delete to
// delete, another operation to update, and changes of several Pods to updatePods. Each
// fault gets the edit that does the same.
func (f *faultyStore) Apply(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
	if f.apply != nil {
		return f.apply(ctx, changes, opts)
	}
	prepared, err := store.Prepare(changes)
	if len(changes) == 1 && changes[0].If == (store.Condition{}) {
		c := changes[0]
		switch op := c.Op.(type) {
		case nil, store.Remove:
		case store.Put:
			if f.write != nil && op.Metadata != nil {
				return f.applied(ctx, changes, opts, f.write(ctx, op.Metadata))
			}
		case store.Delete:
			if f.delete != nil {
				return f.applied(ctx, changes, opts, f.delete(ctx, c.Pod))
			}
		default:
			if f.update != nil && err == nil {
				_, err = f.update(ctx, c.Pod, func(m *store.Metadata) error { prepared[0].Op.Apply(m); return nil })
				return f.applied(ctx, changes, opts, err)
			}
		}
	}
	var names []string
	for _, c := range changes {
		if !slices.Contains(names, c.Pod) {
			names = append(names, c.Pod)
		}
	}
	if len(names) > 1 && f.updatePods != nil && err == nil {
		_, err := f.updatePods(ctx, names, func(pods []*store.Metadata) error { return edit(names, pods, prepared) })
		return f.applied(ctx, changes, opts, err)
	}
	return f.ableStore.Apply(ctx, changes, opts)
}

// edit makes changes to the Pods of an edit.
func edit(names []string, pods []*store.Metadata, changes []store.Change) error {
	for _, c := range changes {
		m := &pods[slices.Index(names, c.Pod)]
		do, err := c.If.Check(c.Pod, *m != nil, store.Revision{})
		switch {
		case err != nil:
			return err
		case !do || c.Op == nil:
		case c.Op == store.Op(store.Delete{}):
			*m = nil
		default:
			if *m == nil {
				*m = minimal(c.Pod)
			}
			c.Op.Apply(*m)
		}
	}
	return nil
}

// applied returns the result of changes that a fault has made, or its error.
func (f *faultyStore) applied(ctx context.Context, changes []store.Change, opts *store.ApplyOptions, err error) ([]store.Applied, error) {
	if err != nil {
		return nil, err
	}
	applied := make([]store.Applied, len(changes))
	for i, c := range changes {
		applied[i].Pod = c.Pod
		m, err := f.ableStore.Read(context.WithoutCancel(ctx), c.Pod)
		switch {
		case err == nil:
			applied[i].Version = m.Version
			if opts != nil && opts.Metadata {
				applied[i].Metadata = m
			}
		case !errors.Is(err, store.ErrNotFound):
			return nil, err
		}
	}
	return applied, nil
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

func (f *faultyStore) WriteBatch(ctx context.Context, puts []store.Put) []error {
	if f.writeBatch != nil {
		return f.writeBatch(ctx, puts)
	}
	return f.ableStore.WriteBatch(ctx, puts)
}

func (f *faultyStore) All(ctx context.Context, opts store.ReadOptions) iter.Seq2[*store.Metadata, error] {
	if f.all != nil {
		return f.all(ctx, opts)
	}
	return f.ableStore.All(ctx, opts)
}

func (f *faultyStore) Watch(ctx context.Context, opts store.WatchOptions) iter.Seq2[store.Batch, error] {
	if f.watch != nil {
		return f.watch(ctx, opts)
	}
	return f.ableStore.Watch(ctx, opts)
}

func (f *faultyStore) Snapshot(ctx context.Context) (store.MetadataStore, io.Closer, error) {
	if f.snapshot != nil {
		return f.snapshot(ctx)
	}
	return f.ableStore.Snapshot(ctx)
}

// poke changes a stored Pod without regard to any rule.
func (f *faultyStore) poke(pod string, change func(m *store.Metadata)) {
	_ = f.locked(background, func() error {
		if m := f.pods[pod]; m != nil {
			m = m.Clone()
			change(m)
			f.pods[pod] = m
		}
		return nil
	})
}

func (f *faultyStore) RootDir() string { return f.root }
