// Package mirror keeps a copy of a store's Pods in memory. It is for programs that look
// often: a screen that shows the live tree, a supervisor that asks whose child a Pod
// is, a Pod that waits for a peer. A mirror stays current by [store.Watch] alone, so it
// works on every backend that can be watched, also through a socket.
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

// Options say what a mirror keeps. Nil means the zero value.
type Options struct {
	// Pods are the names to mirror, whether they exist or not. Nil means all.
	Pods []string
	// Manifests keeps manifests too. They are by far the largest part of a Pod. A
	// mirror never keeps the history.
	Manifests bool
}

// Mirror is a copy of a store in memory. All methods are safe for concurrent use. Each
// looks at one moment of the store, and later calls never see an earlier moment, unless
// someone puts older data back into the store. A mirror lags behind the store, usually
// by some milliseconds; [Mirror.Age] says how long at most. To read your own write, call
// [Mirror.WaitFor] first.
//
// A mirror owns its Pods: all callers share what [Mirror.Read] and [Mirror.All] return,
// and nobody may change it. Lists of names belong to the caller.
//
// If the watch ends with an error, the mirror keeps what it has and watches again, with
// pauses of up to five seconds. Meanwhile [Mirror.Stale] reports true and [Mirror.Err]
// says why. If another try cannot help, the mirror gives up for good: after
// [store.ErrClosed], [store.ErrUnusable], [store.ErrForbidden], [store.ErrFormat],
// [store.ErrInvalid], [store.ErrInvalidName] or [errors.ErrUnsupported]. Even then you can
// read what it has. [Mirror.Wait] and [Mirror.WaitFor] return the error of a mirror that
// gave up. To go on, close it, open the store again if that is what failed, and make a
// new mirror.
type Mirror struct {
	pods    store.MetadataStore
	opts    store.WatchOptions
	cancel  context.CancelFunc
	ended   chan struct{} // closed when the mirror stops following the store
	opening chan struct{} // closed at the first synced batch

	mu       sync.RWMutex
	have     map[string]store.Event
	names    []string            // of the Pods in have, sorted
	lost     error               // set if Pods have vanished from the store
	parents  map[string][]string // by child: its parents, sorted
	sessions map[store.SessionID][]string
	places   map[string][]string // by workspace
	number   uint64
	current  bool      // the watch goes on and no list is under way
	heard    time.Time // of the last batch
	err      error
	changed  chan struct{} // closed by the next batch that has events
	advanced chan struct{} // closed by the next batch, and at the end
}

// New begins to mirror s and returns when the mirror is complete. The mirror lives until
// [Mirror.Close], not only as long as ctx. If New cannot watch the store, it tries again
// until ctx ends, and then returns the context's error joined with the last failure. New
// returns some errors at once: those after which a mirror gives up (see [Mirror]). After
// an error no goroutine is left.
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

// Close ends the mirror and returns when none of its goroutines runs any more. You can
// still read what it has. Close can be called again.
func (m *Mirror) Close() {
	m.cancel()
	<-m.ended
}

// Err returns why the mirror does not follow the store: the error that ended the last
// watch, or [store.ErrClosed] after Close. It is nil while all is well.
func (m *Mirror) Err() error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.err
}

// Age returns the time since the mirror last knew that it equals the store: at most
// [store.WatchQuiet] while all is well.
func (m *Mirror) Age() time.Duration {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return time.Since(m.heard)
}

// Stale reports whether the mirror is known to be out of date: the watch has ended, or
// lists everything again, or has been silent for more than [store.WatchQuiet].
func (m *Mirror) Stale() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return !m.current || time.Since(m.heard) > store.WatchQuiet
}

// Number returns how far the mirror has come: it has every change to the mirrored Pods up
// to this Revision.Number.
func (m *Mirror) Number() uint64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.number
}

// Changed returns a channel that is closed at the next change of the mirror.
func (m *Mirror) Changed() <-chan struct{} {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.changed
}

// WaitFor waits until the mirror has the change with revision r. Use it to read your own
// write: Apply, DoAndRead and Update return its revision, and Apply that of a deletion.
// Do, Write and LinkPeers return none. If only some Pods are mirrored and the change was
// of another one, that takes up to [store.WatchQuiet]. The error is the context's, or the
// one that ended the mirror. If someone puts older data back into the store, a revision
// from before may never come.
func (m *Mirror) WaitFor(ctx context.Context, r store.Revision) error {
	return m.wait(ctx, func() (bool, <-chan struct{}) {
		m.mu.RLock()
		defer m.mu.RUnlock()
		return m.number >= r.Number, m.advanced
	})
}

// Wait waits until a condition holds. It calls met at once, and again after each change
// of the mirror. met may read the mirror. The error is the context's, or the one that
// ended the mirror.
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

// Read returns one Pod. The error matches [store.ErrNotFound] if the Pod does not exist
// or is not mirrored. If the store cannot read the Pod, it is the store's error. The
// metadata belongs to the mirror and all its readers: nobody may change it. It is
// marked as lacking what the mirror does not keep, so no store accepts it for writing.
func (m *Mirror) Read(name string) (*store.Metadata, error) {
	m.mu.RLock()
	e, ok := m.have[name]
	m.mu.RUnlock()
	if !ok {
		return nil, &store.Error{Op: "read", Pod: name, Kind: store.ErrNotFound}
	}
	return e.Metadata, e.Err
}

// List returns the names of all Pods, including damaged ones, sorted by bytes.
func (m *Mirror) List() []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return slices.Clone(m.names)
}

// All yields every Pod as [Mirror.Read] returns it, in the order of List, all as they
// were when the loop began. If Pods have vanished from a damaged store, an error that
// says so comes last. The loop holds no lock.
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
