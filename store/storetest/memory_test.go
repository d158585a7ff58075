package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/memstore"
)

// bareStore is the smallest possible backend, a lock around store.Evaluate. It changes
// one Pod at a time, keeps no numbers, times or request IDs, and has no optional
// ability.
type bareStore struct {
	mu        chan struct{} // holds an element while locked, so that waiting can end with a context
	impatient bool          // a long wait for the lock ends with errStuck, and then so does every later one
	stuck     atomic.Bool
	able      bool // numbers, times, request IDs, and several Pods at once

	pods    map[string]*store.Metadata
	damaged map[string]error
	made    map[store.RequestID]request
	number  uint64
	written int
	changed chan struct{} // closed by the next change
}

func newBareStore() *bareStore {
	return &bareStore{mu: make(chan struct{}, 1), pods: map[string]*store.Metadata{}, damaged: map[string]error{}, made: map[store.RequestID]request{}, changed: make(chan struct{})}
}

var errStuck = errors.New("the lock is never released")

func (b *bareStore) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.stuck.Load() {
		return errStuck
	}
	var stuck <-chan time.Time
	if b.impatient {
		stuck = time.After(patience)
	}
	select {
	case b.mu <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-stuck:
		b.stuck.Store(true)
		return errStuck
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

func (b *bareStore) stored(name string) (*store.Metadata, error) {
	switch {
	case store.ValidateName(name) != nil:
		return nil, store.ValidateName(name)
	case b.damaged[name] != nil:
		return nil, b.damaged[name]
	case b.pods[name] == nil:
		return nil, &store.Error{Op: "read", Pod: name, Kind: store.ErrNotFound}
	}
	return b.pods[name], nil
}

func (b *bareStore) Read(ctx context.Context, name string) (m *store.Metadata, err error) {
	err = b.locked(ctx, func() error {
		if m, err = b.stored(name); err == nil {
			m = m.Clone()
		}
		return err
	})
	return m, err
}

func (b *bareStore) List(ctx context.Context) (names []string, err error) {
	err = b.locked(ctx, func() error { names = slices.Sorted(maps.Keys(b.pods)); return nil })
	return names, err
}

func (b *bareStore) Apply(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) (applied []store.Applied, err error) {
	if changes, err = store.Prepare(changes); err != nil {
		return nil, err
	}
	if opts == nil {
		opts = &store.ApplyOptions{}
	}
	several := slices.ContainsFunc(changes, func(c store.Change) bool { return c.Pod != changes[0].Pod || c.Op == store.Remove{} })
	if !b.able && (several || opts.ID != (store.RequestID{})) {
		return nil, &store.Error{Op: "apply", Err: errors.ErrUnsupported}
	}
	err = b.locked(ctx, func() error {
		r, ok := b.made[opts.ID]
		switch {
		case ok && !reflect.DeepEqual(r.changes, changes):
			return &store.Error{Op: "apply", Kind: store.ErrInvalid}
		case ok:
			applied = slices.Clone(r.applied)
			return nil
		case opts.Resent && opts.Seen > b.number:
			return &store.Error{Op: "apply", Kind: store.ErrUnknown}
		}
		applied, err = b.apply(changes, opts.Metadata)
		if err == nil && opts.ID != (store.RequestID{}) {
			b.made[opts.ID] = request{changes, withoutMetadata(applied)}
		}
		return err
	})
	return applied, err
}

// request is what was made under an ID.
type request struct {
	changes []store.Change
	applied []store.Applied
}

func withoutMetadata(applied []store.Applied) []store.Applied {
	applied = slices.Clone(applied)
	for i := range applied {
		applied[i].Metadata = nil
	}
	return applied
}

// apply makes prepared changes. The caller holds the lock.
func (b *bareStore) apply(changes []store.Change, metadata bool) ([]store.Applied, error) {
	after, err := store.Evaluate(changes, b.pods, b.damaged)
	if err != nil {
		return nil, err
	}
	number, written := b.number+1, b.written+1
	defer func() {
		if b.written == written {
			close(b.changed)
			b.changed = make(chan struct{})
		}
	}()
	gone := map[string]bool{}
	for name, m := range after {
		was := b.pods[name]
		switch {
		case m == was, m != nil && was != nil && b.damaged[name] == nil && m.Equal(was):
			continue
		case m == nil:
			delete(b.pods, name)
			gone[name] = true
		default:
			b.pods[name] = m
			b.stamp(m, was, number, changes)
		}
		delete(b.damaged, name)
		b.number, b.written = number, written
	}
	applied := make([]store.Applied, len(changes))
	for i, c := range changes {
		applied[i].Pod = c.Pod
		switch m := b.pods[c.Pod]; {
		case m != nil:
			applied[i].Version = m.Version
			if metadata {
				applied[i].Metadata = m.Clone()
			}
		case gone[c.Pod] && b.able:
			applied[i].Version.Revision.Number = number
		}
	}
	return applied, nil
}

// stamp sets the version of a changed Pod.
func (b *bareStore) stamp(m, was *store.Metadata, number uint64, changes []store.Change) {
	m.Version = store.Version{}
	text, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	hash := fnv.New64a()
	_, _ = hash.Write(text)
	if b.able {
		m.Version = store.NextVersion(was, changes, m.PodName, time.Now())
		m.Version.Revision.Number = number
	}
	m.Version.Revision.Digest = hash.Sum64()
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
	if err := store.ValidateNames("update", names); err != nil {
		return nil, err
	}
	pods = make([]*store.Metadata, len(names))
	err = b.locked(ctx, func() error {
		for i, name := range names {
			m, err := b.stored(name)
			switch {
			case err == nil:
				pods[i] = m.Clone()
			case !errors.Is(err, store.ErrNotFound):
				return err
			}
		}
		if err := edit(pods); err != nil {
			return err
		}
		changes := make([]store.Change, len(names))
		for i, name := range names {
			changes[i] = store.Change{Pod: name, Op: store.Delete{}}
			if pods[i] != nil {
				m := *pods[i]
				m.PodName = name
				changes[i].Op = store.Put{Metadata: &m}
			}
		}
		changes, err := store.Prepare(changes)
		if err != nil {
			return err
		}
		applied, err := b.apply(changes, true)
		pods = make([]*store.Metadata, len(applied))
		for i, a := range applied {
			pods[i] = a.Metadata
		}
		return err
	})
	return pods, err
}

// ableStore also has numbers, times, request IDs and every optional ability.
type ableStore struct{ *bareStore }

func newAbleStore() ableStore {
	b := newBareStore()
	b.able = true
	return ableStore{b}
}

func (a ableStore) UpdatePods(ctx context.Context, names []string, edit func([]*store.Metadata) error) ([]*store.Metadata, error) {
	return a.updatePods(ctx, names, edit)
}

func (a ableStore) WriteBatch(ctx context.Context, puts []store.Put) []error {
	errs := make([]error, len(puts))
	for i, put := range puts {
		errs[i] = store.Do(ctx, a, put.Metadata.PodName, put)
	}
	return errs
}

func (a ableStore) ReadPart(ctx context.Context, name string, opts store.ReadOptions) (*store.Metadata, error) {
	m, err := a.Read(ctx, name)
	if err != nil {
		return nil, err
	}
	return opts.Part(m), nil
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

func (a ableStore) Watch(ctx context.Context, opts store.WatchOptions) iter.Seq2[store.Batch, error] {
	return func(yield func(store.Batch, error) bool) {
		if len(opts.Pods) > 0 {
			if err := store.ValidateNames("watch", opts.Pods); err != nil {
				yield(store.Batch{}, err)
				return
			}
		}
		given := map[string]*store.Metadata{}
		for {
			b := store.Batch{Synced: true}
			var changed chan struct{}
			err := a.locked(ctx, func() error {
				b.Number, changed = a.number, a.changed
				for name, m := range a.pods {
					switch {
					case given[name] == m || opts.Pods != nil && !slices.Contains(opts.Pods, name):
					case a.damaged[name] != nil:
						b.Events = append(b.Events, store.Event{Pod: name, Err: a.damaged[name]})
						given[name] = minimal(name)
					default:
						part := store.ReadOptions{OmitManifest: opts.OmitManifest, OmitReclaimed: true}.Part(m)
						b.Events = append(b.Events, store.Event{Pod: name, Metadata: part})
						given[name] = m
					}
				}
				for name := range given {
					if a.pods[name] == nil {
						b.Events = append(b.Events, store.Event{Pod: name})
						delete(given, name)
					}
				}
				return nil
			})
			if !yield(b, err) || err != nil {
				return
			}
			quiet := time.NewTimer(store.WatchQuiet / 20)
			select {
			case <-changed:
			case <-quiet.C:
			case <-ctx.Done():
			}
			quiet.Stop()
		}
	}
}

func (a ableStore) Snapshot(ctx context.Context) (store.MetadataStore, io.Closer, error) {
	frozen := frozenStore{newBareStore()}
	err := a.locked(ctx, func() error {
		frozen.pods, frozen.damaged = maps.Clone(a.pods), maps.Clone(a.damaged)
		return nil
	})
	return frozen, io.NopCloser(nil), err
}

// frozenStore is a snapshot.
type frozenStore struct{ *bareStore }

var errFrozen = &store.Error{Op: "change", Kind: store.ErrReadOnly}

func (frozenStore) Apply(context.Context, []store.Change, *store.ApplyOptions) ([]store.Applied, error) {
	return nil, errFrozen
}

func (frozenStore) Update(context.Context, string, func(*store.Metadata) error) (*store.Metadata, error) {
	return nil, errFrozen
}

// inMemory is the Backend of a store that keeps everything in memory.
func inMemory[S store.MetadataStore](open func() S, bare func(S) *bareStore) Backend {
	return Backend{
		Open: func(*testing.T) store.MetadataStore { return open() },
		Reopen: func(_ *testing.T, s store.MetadataStore) store.MetadataStore {
			if f, ok := s.(*faultyStore); ok && f.reopened != nil {
				f.reopened()
			}
			return s
		},
		Damage: func(_ *testing.T, s store.MetadataStore, pod string) store.MetadataStore {
			bare(s.(S)).damaged[pod] = &store.Error{Op: "read", Pod: pod, Kind: store.ErrCorrupt}
			return s
		},
		Written: func(_ *testing.T, s store.MetadataStore) string { return fmt.Sprint(bare(s.(S)).written) },
	}
}

// rootedStore is a bareStore that is kept in a directory, as far as a file there tells.
type rootedStore struct {
	*bareStore
	root string
}

func (s rootedStore) RootDir() string { return s.root }

func (s rootedStore) Apply(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
	applied, err := s.bareStore.Apply(ctx, changes, opts)
	if err != nil {
		return nil, err
	}
	return applied, os.WriteFile(filepath.Join(s.root, "applied"), fmt.Append(nil, applied), 0o600)
}

func TestMetadataBareStore(t *testing.T) {
	t.Parallel()
	backend := inMemory(func() rootedStore { return rootedStore{} }, func(s rootedStore) *bareStore { return s.bareStore })
	backend.Open = func(t *testing.T) store.MetadataStore {
		root := filepath.Join(t.TempDir(), "root")
		if err := os.Mkdir(root, 0o700); err != nil {
			t.Fatal(err)
		}
		return rootedStore{newBareStore(), root}
	}
	Metadata(t, backend)
}

func TestSleepingWatchers(t *testing.T) {
	SleepingWatchers(t, memstore.New(), 20)
}

func TestMetadataAbleStore(t *testing.T) {
	t.Parallel()
	Metadata(t, inMemory(newAbleStore, func(s ableStore) *bareStore { return s.bareStore }))
}

func TestMetadataCombinedStore(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func() store.MetadataStore{
		"bare": func() store.MetadataStore { return newBareStore() },
		"able": func() store.MetadataStore { return memstore.New() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			Metadata(t, Backend{Open: func(*testing.T) store.MetadataStore { return store.NewCombined(nil, open()) }})
		})
	}
}
