package jsonexport

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"podstore/store"
)

// lock excludes other changes of a Pod until unlock is called.
func (d *Dir) lock(ctx context.Context, name string) (unlock func(), err error) {
	l := d.locks[maphash.String(d.seed, name)%uint64(len(d.locks))]
	select {
	case l <- struct{}{}:
		return func() { <-l }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// beginAll starts a change of any Pods: it takes all locks.
func (d *Dir) beginAll(ctx context.Context, op string) (p *podFiles, end func(), err error) {
	if d.readOnly {
		return nil, nil, &store.Error{Op: op, Path: d.root, Kind: store.ErrReadOnly}
	}
	held := 0
	unlock := func() {
		for _, l := range d.locks[:held] {
			<-l
		}
	}
	for ; held < len(d.locks); held++ {
		select {
		case d.locks[held] <- struct{}{}:
		case <-ctx.Done():
			unlock()
			return nil, nil, ctx.Err()
		}
	}
	if p, err = d.open(op, ""); err != nil {
		unlock()
		return nil, nil, err
	}
	return p, func() { p.close(); unlock() }, nil
}

// begin starts a change of one Pod, if it may start.
func (d *Dir) begin(ctx context.Context, op, name string) (p *podFiles, end func(), err error) {
	if err := check(ctx, op, name); err != nil {
		return nil, nil, err
	}
	if d.readOnly {
		return nil, nil, &store.Error{Op: op, Pod: name, Path: d.root, Kind: store.ErrReadOnly}
	}
	unlock, err := d.lock(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	p, err = d.open(op, name)
	if err != nil {
		unlock()
		return nil, nil, err
	}
	return p, func() { p.close(); unlock() }, nil
}

// Apply implements [store.MetadataStore] for changes of one Pod. For several Pods, for
// [store.Remove] and for a request ID the error matches [errors.ErrUnsupported].
// Deleting removes the Pod's metadata.json, temporary files of this package, and then
// the directory if nothing else is in it.
func (d *Dir) Apply(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
	const op = "apply"
	changes, err := store.Prepare(changes)
	if err != nil {
		return nil, err
	}
	if opts == nil {
		opts = new(store.ApplyOptions)
	}
	if err := d.supports(changes, opts); err != nil {
		return nil, &store.Error{Op: op, Pod: changes[0].Pod, Path: d.root, Err: err}
	}
	name := changes[0].Pod
	p, end, err := d.begin(ctx, op, name)
	if err != nil {
		return nil, err
	}
	defer end()
	m, err := p.apply(op, name, changes)
	if err != nil {
		return nil, err
	}
	applied := make([]store.Applied, len(changes))
	for i := range applied {
		applied[i].Pod = name
		if m != nil {
			applied[i].Version = m.Version
		}
		if opts.Metadata {
			applied[i].Metadata = m
		}
	}
	return applied, nil
}

// supports refuses what a directory cannot do.
func (d *Dir) supports(changes []store.Change, opts *store.ApplyOptions) error {
	if opts.ID != (store.RequestID{}) {
		return fmt.Errorf("a directory keeps no request IDs: %w", errors.ErrUnsupported)
	}
	for _, c := range changes {
		if _, ok := c.Op.(store.Remove); ok {
			return fmt.Errorf("a directory cannot remove a Pod together with the references to it, use delete: %w", errors.ErrUnsupported)
		}
		if c.Pod != changes[0].Pod {
			return fmt.Errorf("a directory takes changes of one Pod at a time: %w", errors.ErrUnsupported)
		}
	}
	return nil
}

// apply makes changes of one Pod and returns the result, nil if the Pod does not exist
// then.
func (p *podFiles) apply(op, name string, changes []store.Change) (*store.Metadata, error) {
	b := newBuffers()
	defer b.release()
	before, damaged := map[string]*store.Metadata{}, map[string]error{}
	was, err := read(p, b, op, name)
	switch {
	case err == nil:
		before[name] = was
	case !errors.Is(err, store.ErrNotFound):
		damaged[name] = err
		p.naming, _ = p.namingOf(b, name)
	}
	after, err := store.Evaluate(changes, before, damaged)
	if err != nil {
		return nil, err
	}
	m := after[name]
	switch {
	case m == nil && !slices.ContainsFunc(changes, func(c store.Change) bool { return c.Op == store.Delete{} }):
		return nil, nil
	case m == nil:
		// Also where there was no Pod: a crash may have left something.
		if err := p.remove(name); err != nil {
			return nil, &store.Error{Op: op, Pod: name, Path: p.file(name), Kind: kindOf(err), Err: err}
		}
		return nil, nil
	case was != nil && m.Equal(was):
		return was, nil
	}
	m.Version = nextVersion(was, changes, name)
	if err := p.write(op, m); err != nil {
		return nil, err
	}
	return m, nil
}

// nextVersion returns the version of a Pod after changes, without its revision. A
// directory keeps only the changed time.
func nextVersion(was *store.Metadata, changes []store.Change, name string) store.Version {
	return store.Version{Changed: store.NextVersion(was, changes, name, time.Now()).Changed}
}

// named sets the operation of a *store.Error that has none.
func named(err error, op string) error {
	var e *store.Error
	if errors.As(err, &e) && e.Op == "" {
		e.Op = op
	}
	return err
}

// Update implements [store.MetadataStore]. edit is called once.
func (d *Dir) Update(ctx context.Context, name string, edit func(*store.Metadata) error) (*store.Metadata, error) {
	p, end, err := d.begin(ctx, "update", name)
	if err != nil {
		return nil, err
	}
	defer end()
	b := newBuffers()
	defer b.release()
	old, err := read(p, b, "update", name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	m := &store.Metadata{PodName: name}
	if old != nil {
		m = old.Clone()
	}
	if err := edit(m); err != nil {
		return nil, err
	}
	m.PodName = name
	if err := m.Normalize(); err != nil {
		return nil, named(err, "update")
	}
	if old != nil && m.Equal(old) {
		m.Version = old.Version
		return m, nil
	}
	m.Version = nextVersion(old, nil, name)
	if err := p.write("update", m); err != nil {
		return nil, err
	}
	return m, nil
}
