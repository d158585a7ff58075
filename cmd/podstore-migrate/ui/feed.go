package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"podstore/cmd/podstore-migrate/internal/cli"
	"podstore/store"
)

const (
	// pollPause is the least pause between two reads of a store that cannot be watched,
	// and retryPause the pause before a failed watch or read is repeated.
	pollPause  = time.Second
	retryPause = 2 * time.Second
	// After a read the pause is at least restShare times as long as the read, so that
	// reading takes at most a tenth of the time.
	restShare = 9
)

// inbox holds the changes that arrived and were not shown yet. It keeps only the last state
// of each Pod, so a slow screen only misses states in between.
type inbox struct {
	wake chan struct{} // has an element if the inbox is not empty

	mu     sync.Mutex
	resync bool
	synced bool
	polls  bool // the store cannot be watched
	events map[string]store.Event
	err    error
}

func newInbox() *inbox {
	return &inbox{wake: make(chan struct{}, 1), events: map[string]store.Event{}}
}

// put adds a batch, or an error.
func (i *inbox) put(b store.Batch, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if b.Resync {
		i.resync, i.synced = true, false
		clear(i.events)
	}
	for _, e := range b.Events {
		i.events[e.Pod] = e
	}
	i.synced = i.synced || b.Synced
	i.err = err
	select {
	case i.wake <- struct{}{}:
	default:
	}
}

// take empties the inbox.
func (i *inbox) take() (b store.Batch, polls bool, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	b = store.Batch{Resync: i.resync, Synced: i.synced, Events: slices.Collect(maps.Values(i.events))}
	i.resync, i.synced = false, false
	clear(i.events)
	return b, i.polls, i.err
}

// follow fills the inbox with the Pods of a store and their changes, until the context
// ends.
func (i *inbox) follow(ctx context.Context, s store.MetadataStore) {
	for ctx.Err() == nil {
		first := true
		for b, err := range store.Watch(ctx, s, store.WatchOptions{OmitManifest: true}) {
			switch {
			case ctx.Err() != nil:
				return
			case errors.Is(err, errors.ErrUnsupported):
				i.poll(ctx, s)
				return
			case err != nil:
				i.put(store.Batch{}, err)
			default:
				b.Resync = b.Resync || first // Pods that are not in the new list are gone
				first = false
				i.put(b, nil)
			}
		}
		pause(ctx, retryPause)
	}
}

// poll is follow for a store that cannot be watched.
func (i *inbox) poll(ctx context.Context, s store.MetadataStore) {
	i.mu.Lock()
	i.polls = true
	i.mu.Unlock()
	for ctx.Err() == nil {
		began := time.Now()
		b, err := readAll(ctx, s)
		if ctx.Err() != nil {
			return
		}
		i.put(b, err)
		rest := max(pollPause, restShare*time.Since(began))
		if err != nil { // the read took no time from the store
			rest = retryPause
		}
		pause(ctx, rest)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// readAll reads every Pod, as a batch like those of [store.Watch].
func readAll(ctx context.Context, s store.MetadataStore) (store.Batch, error) {
	b := store.Batch{Resync: true, Synced: true}
	for m, err := range store.All(ctx, s, store.ReadOptions{OmitManifest: true, OmitReclaimed: true}) {
		var e *store.Error
		switch {
		case err == nil:
			b.Events = append(b.Events, store.Event{Pod: m.PodName, Metadata: m})
		case errors.Is(err, store.ErrCorrupt) && errors.As(err, &e):
			b.Events = append(b.Events, store.Event{Pod: e.Pod, Err: err}) // "" where Pods have vanished
		default: // the Pods that were not read would look deleted
			return store.Batch{}, err
		}
	}
	return b, nil
}

// readFile opens a source, reads every Pod and closes it.
func readFile(ctx context.Context, from cli.Source) (b store.Batch, err error) {
	s, closer, err := from.Open(ctx)
	if err != nil {
		return b, err
	}
	b, err = readAll(ctx, s)
	return b, errors.Join(err, closer.Close())
}

// readPod reads one whole Pod from an open store or, if s is nil, opens the source for that
// and closes it.
func readPod(ctx context.Context, s store.MetadataStore, from cli.Source, name string) (m *store.Metadata, err error) {
	if s != nil {
		return s.Read(ctx, name)
	}
	s, closer, err := from.Open(ctx)
	if err != nil {
		return nil, err
	}
	m, err = s.Read(ctx, name)
	return m, errors.Join(err, closer.Close())
}
