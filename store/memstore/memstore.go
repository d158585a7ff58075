// Package memstore keeps Pod metadata in memory. It is for tests of programs that use a
// store, and the model with which tests compare other backends. It follows the rules of
// package store and adds none. Nothing survives the process.
package memstore

import (
	"context"
	"errors"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"time"

	"podstore/store"
)

// Store is Pod metadata in memory. All methods are safe for concurrent use. Update and
// UpdatePods call edit again if another writer changed the same Pods meanwhile. Request
// IDs are remembered for the life of the Store.
type Store struct {
	lock     chan struct{} // full while locked; a wait for it can end with a context
	readOnly bool

	// What follows is guarded by lock. The metadata is never changed in place.
	pods    map[string]*store.Metadata
	damaged map[string]error
	number  uint64 // of the last change
	made    map[store.RequestID]request
	resent  map[store.RequestID]error // why those that were sent again were refused
	changed chan struct{}             // closed by the next change
}

// request is the changes made under an ID, with their results.
type request struct {
	changes []store.Change
	applied []store.Applied
}

var (
	_ store.MetadataStore = (*Store)(nil)
	_ store.PartReader    = (*Store)(nil)
	_ store.Lister        = (*Store)(nil)
	_ store.PodUpdater    = (*Store)(nil)
	_ store.Watcher       = (*Store)(nil)
	_ store.Snapshotter   = (*Store)(nil)
)

// New returns an empty store.
func New() *Store {
	return &Store{
		lock:    make(chan struct{}, 1),
		pods:    map[string]*store.Metadata{},
		damaged: map[string]error{},
		made:    map[store.RequestID]request{},
		resent:  map[store.RequestID]error{},
		changed: make(chan struct{}),
	}
}

// Damage makes a Pod unreadable until it is put or deleted, to test what a caller does
// then. It reports whether there is such a Pod.
func (s *Store) Damage(pod string) bool {
	s.lock <- struct{}{}
	defer func() { <-s.lock }()
	_, ok := s.pods[pod]
	if ok {
		s.wake()
		s.damaged[pod] = &store.Error{Pod: pod, Kind: store.ErrCorrupt, Err: errors.New("Damage was called; put the Pod again, or delete it")}
	}
	return ok
}

// Number is the number of the last change, 0 before the first.
func (s *Store) Number() uint64 {
	s.lock <- struct{}{}
	defer func() { <-s.lock }()
	return s.number
}

// locked runs f under the lock.
func (s *Store) locked(ctx context.Context, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.lock <- struct{}{}:
		defer func() { <-s.lock }()
		return f()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Read returns one Pod: see [store.MetadataStore].
func (s *Store) Read(ctx context.Context, name string) (*store.Metadata, error) {
	return s.ReadPart(ctx, name, store.ReadOptions{})
}

// ReadPart reads a part of one Pod: see [store.PartReader].
func (s *Store) ReadPart(ctx context.Context, name string, opts store.ReadOptions) (*store.Metadata, error) {
	const op = "read"
	if err := store.ValidateNames(op, []string{name}); err != nil {
		return nil, err
	}
	var m *store.Metadata
	err := s.locked(ctx, func() error {
		m = s.pods[name]
		if m == nil {
			return &store.Error{Op: op, Pod: name, Kind: store.ErrNotFound}
		}
		return s.damaged[name]
	})
	if err != nil {
		return nil, err
	}
	return opts.Part(m), nil
}

// List returns the names: see [store.MetadataStore].
func (s *Store) List(ctx context.Context) (names []string, err error) {
	err = s.locked(ctx, func() error {
		names = slices.Sorted(maps.Keys(s.pods))
		return nil
	})
	return names, err
}

// All yields every Pod as it is at one moment: see [store.Lister].
func (s *Store) All(ctx context.Context, opts store.ReadOptions) iter.Seq2[*store.Metadata, error] {
	return func(yield func(*store.Metadata, error) bool) {
		var pods map[string]*store.Metadata
		var damaged map[string]error
		err := s.locked(ctx, func() error {
			pods, damaged = maps.Clone(s.pods), maps.Clone(s.damaged)
			return nil
		})
		for _, name := range slices.Sorted(maps.Keys(pods)) {
			if err = ctx.Err(); err != nil {
				break
			}
			if damage := damaged[name]; damage != nil {
				if !yield(nil, damage) {
					return
				}
			} else if !yield(opts.Part(pods[name]), nil) {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// Apply makes changes: see [store.MetadataStore].
func (s *Store) Apply(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) (applied []store.Applied, err error) {
	if opts == nil {
		opts = &store.ApplyOptions{}
	}
	if changes, err = store.Prepare(changes); err != nil {
		return nil, err
	}
	err = s.locked(ctx, func() error {
		if s.readOnly {
			return &store.Error{Op: "apply", Kind: store.ErrReadOnly}
		}
		applied, err = s.apply(changes, opts)
		return err
	})
	return applied, err
}

func (s *Store) apply(changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
	if r, ok := s.made[opts.ID]; ok {
		if !reflect.DeepEqual(r.changes, changes) {
			return nil, &store.Error{Op: "apply", Pod: changes[0].Pod, Kind: store.ErrInvalid, Err: errors.New("other changes were made under the same ID")}
		}
		return s.results(slices.Clone(r.applied), opts), nil
	}
	if refusal, ok := errors.AsType[*store.Error](s.resent[opts.ID]); ok { // an earlier sending, which is late
		e := *refusal
		return nil, &e
	}
	if opts.Resent && opts.Seen > s.number {
		return nil, &store.Error{Op: "apply", Pod: changes[0].Pod, Kind: store.ErrUnknown, Err: errors.New("the caller has seen changes that this store does not have")}
	}
	after, err := store.Evaluate(changes, s.pods, s.damaged)
	if err != nil {
		if opts.Resent && opts.ID != (store.RequestID{}) && store.Unmet(err) {
			s.resent[opts.ID] = err
		}
		return nil, err
	}
	number := s.number + 1
	now := time.Now()
	gone := map[string]bool{}
	puts := map[string][]store.Change{} // a Put may set times
	for _, c := range changes {
		if _, ok := c.Op.(store.Put); ok {
			puts[c.Pod] = append(puts[c.Pod], c)
		}
	}
	for name, m := range after {
		was := s.pods[name]
		switch {
		case m == nil && was != nil:
			delete(s.pods, name)
			gone[name] = true
		case m != nil && (was == nil || s.damaged[name] != nil || m != was && !m.Equal(was)):
			m.Version = store.NextVersion(was, puts[name], name, now)
			m.Version.Revision = store.Revision{Number: number, Digest: rand.Uint64()}
			s.pods[name] = m
		default:
			continue
		}
		delete(s.damaged, name)
		s.number = number
	}
	if s.number == number {
		s.wake()
	}
	applied := make([]store.Applied, len(changes))
	for i, c := range changes {
		applied[i].Pod = c.Pod
		if m := s.pods[c.Pod]; m != nil {
			applied[i].Version = m.Version
		} else if gone[c.Pod] {
			applied[i].Version.Revision.Number = number
		}
	}
	if opts.ID != (store.RequestID{}) && (s.number == number || opts.Resent) {
		s.made[opts.ID] = request{changes, slices.Clone(applied)}
	}
	return s.results(applied, opts), nil
}

// wake wakes all watchers.
func (s *Store) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// results adds the metadata that opts ask for, of Pods that have not changed since.
func (s *Store) results(applied []store.Applied, opts *store.ApplyOptions) []store.Applied {
	for i := range applied {
		a := &applied[i]
		if m := s.pods[a.Pod]; opts.Metadata && m != nil && s.damaged[a.Pod] == nil && m.Version == a.Version {
			a.Metadata = m.Clone()
		}
	}
	return applied
}

// Update edits one Pod: see [store.MetadataStore].
func (s *Store) Update(ctx context.Context, name string, edit func(*store.Metadata) error) (*store.Metadata, error) {
	return store.UpdateByPods(ctx, s, name, edit)
}

// UpdatePods edits several Pods: see [store.PodUpdater].
func (s *Store) UpdatePods(ctx context.Context, names []string, edit func(pods []*store.Metadata) error) ([]*store.Metadata, error) {
	return store.EditByRevision(ctx, s, names, edit)
}

// Snapshot returns one moment: see [store.Snapshotter]. It copies no metadata.
func (s *Store) Snapshot(ctx context.Context) (store.MetadataStore, io.Closer, error) {
	frozen := New()
	frozen.readOnly = true
	err := s.locked(ctx, func() error {
		frozen.pods, frozen.damaged, frozen.number = maps.Clone(s.pods), maps.Clone(s.damaged), s.number
		return nil
	})
	return frozen, io.NopCloser(nil), err
}
