// Package mirror keeps a copy of a store's Pods in memory, for programs that look often:
// a screen that shows the tree as it lives, a supervisor that asks whose child this is,
// a Pod that waits for a peer. It is kept current by [store.Watch] alone, so it works on
// every backend that can be watched, also through a socket.
package mirror

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"time"

	"podstore/store"
)

// Options say what a mirror keeps. Nil is the zero value.
type Options struct {
	// Pods are the names to mirror, whether they exist or not. Nil is all.
	Pods []string
	// Manifests keeps manifests as well, which are by far the largest of what is kept of
	// a Pod. The history is never kept.
	Manifests bool
}

// Mirror is a copy in memory. All methods are safe for concurrent use, each looks at one
// moment of the store, and later calls never see an earlier moment than former ones,
// unless older data was put back into the store. It lags behind the store by some
// milliseconds: see [Mirror.WaitFor] to read what one wrote.
//
// Where the watch ends with an error, the mirror keeps what it has and begins again,
// with pauses of up to five seconds: [Mirror.Stale] reports true meanwhile and
// [Mirror.Err] why. It gives up, for good, where trying again cannot help: after
// [store.ErrClosed], [store.ErrUnusable], [store.ErrForbidden], [store.ErrFormat],
// [store.ErrInvalid] or [errors.ErrUnsupported]. What it has can be read even then.
type Mirror struct {
	pods    store.MetadataStore
	opts    store.WatchOptions
	cancel  context.CancelFunc
	ended   chan struct{} // closed when it is no longer kept current
	opening chan struct{} // closed when it is synced for the first time

	mu       sync.RWMutex
	have     map[string]store.Event
	names    []string            // those in have, sorted
	lost     error               // some Pods have vanished from the store
	parents  map[string][]string // by child: the Pods that have it among their children, sorted
	sessions map[store.SessionID][]string
	places   map[string][]string // by workspace
	number   uint64
	current  bool      // no list is under way, and the watch goes on
	heard    time.Time // when it was last known to be current
	err      error
	changed  chan struct{} // closed by the next batch that has events
	advanced chan struct{} // closed by the next batch, and at the end
}

// New begins to mirror s and returns when the mirror is complete. It then lives until
// [Mirror.Close], not as long as ctx. The error is the context's, together with that of
// the last try if any, or one that ends a mirror; then nothing is left behind.
func New(ctx context.Context, s store.MetadataStore, opts *Options) (*Mirror, error) {
	if opts == nil {
		opts = &Options{}
	}
	run, cancel := context.WithCancel(context.Background())
	m := &Mirror{
		pods:     s,
		opts:     store.WatchOptions{Pods: slices.Clone(opts.Pods), OmitManifest: !opts.Manifests},
		cancel:   cancel,
		ended:    make(chan struct{}),
		opening:  make(chan struct{}),
		have:     map[string]store.Event{},
		parents:  map[string][]string{},
		sessions: map[store.SessionID][]string{},
		places:   map[string][]string{},
		changed:  make(chan struct{}),
		advanced: make(chan struct{}),
	}
	go m.run(run)
	select {
	case <-m.opening:
		return m, nil
	case <-m.ended:
		return nil, m.Err()
	case <-ctx.Done():
		err := m.Err()
		m.Close()
		return nil, errors.Join(ctx.Err(), err)
	}
}

// Close ends the mirror, and returns when nothing of it runs any more. What it has can
// still be read. It can be called again.
func (m *Mirror) Close() {
	m.cancel()
	<-m.ended
}

// Err is why the mirror is not kept current: the error with which the watch ended last,
// and after Close [store.ErrClosed]. It is nil while all is well.
func (m *Mirror) Err() error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.err
}

// Age is how long ago the mirror was last known to be what the store is: at most
// [store.WatchQuiet] where all is well.
func (m *Mirror) Age() time.Duration {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return time.Since(m.heard)
}

// Stale reports whether the store may have changed for longer than a moment: the watch
// has ended, or lists everything again, or nothing was heard for more than
// [store.WatchQuiet].
func (m *Mirror) Stale() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return !m.current || time.Since(m.heard) > store.WatchQuiet
}

// Number is how far the mirror is: it has every change whose Revision.Number is not
// higher.
func (m *Mirror) Number() uint64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.number
}

// Changed returns a channel that is closed when the mirror has changed after the call.
func (m *Mirror) Changed() <-chan struct{} {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.changed
}

// WaitFor waits until the mirror has the change that made a revision, such as one's own
// write. Where only some Pods are mirrored and the change was of another, that takes up
// to [store.WatchQuiet]. The error is the context's, or that with which the mirror ended.
// A revision from before older data was put back into the store may never come.
func (m *Mirror) WaitFor(ctx context.Context, r store.Revision) error {
	return m.wait(ctx, func() (bool, <-chan struct{}) {
		m.mu.RLock()
		defer m.mu.RUnlock()
		return m.number >= r.Number, m.advanced
	})
}

// Wait waits until a condition is met: it calls met at once, and again after each change
// of the mirror, which met may read. The error is the context's, or that with which the
// mirror ended.
func (m *Mirror) Wait(ctx context.Context, met func() bool) error {
	return m.wait(ctx, func() (bool, <-chan struct{}) {
		changed := m.Changed() // before met looks
		return met(), changed
	})
}

func (m *Mirror) wait(ctx context.Context, look func() (done bool, next <-chan struct{})) error {
	for {
		done, next := look()
		if done {
			return nil
		}
		select {
		case <-next:
		case <-m.ended:
			if done, _ := look(); done {
				return nil
			}
			return m.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Read returns one Pod. The error matches [store.ErrNotFound] where there is no such
// Pod, or where it is not mirrored; of a Pod that the store cannot read it is the
// store's. The metadata is the mirror's and shared by all who read it: it must not be
// changed. What the mirror does not keep is left out of it, so that no store writes it.
func (m *Mirror) Read(name string) (*store.Metadata, error) {
	m.mu.RLock()
	e, ok := m.have[name]
	m.mu.RUnlock()
	if !ok {
		return nil, &store.Error{Op: "read", Pod: name, Kind: store.ErrNotFound}
	}
	return e.Metadata, e.Err
}

// List returns the names of all Pods, sorted by bytes, damaged ones included.
func (m *Mirror) List() []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return slices.Clone(m.names)
}

// All yields every Pod, as [Mirror.Read] gives it, in the order of List and as all were
// at the moment at which the loop began. Where Pods have vanished from a damaged store,
// an error that says so comes last. The loop holds no lock.
func (m *Mirror) All() iter.Seq2[*store.Metadata, error] {
	return func(yield func(*store.Metadata, error) bool) {
		m.mu.RLock()
		lost := m.lost
		events := make([]store.Event, len(m.names))
		for i, name := range m.names {
			events[i] = m.have[name]
		}
		m.mu.RUnlock()
		for _, e := range events {
			if !yield(e.Metadata, e.Err) {
				return
			}
		}
		if lost != nil {
			yield(nil, lost)
		}
	}
}
