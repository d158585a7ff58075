package memstore

import (
	"context"
	"iter"
	"maps"
	"slices"
	"time"

	"podstore/store"
)

// Watch yields every Pod, then what changes: see [store.Watcher]. It compares the Pods
// with those that it yielded before, so it never falls behind and never sends Resync.
func (s *Store) Watch(ctx context.Context, opts store.WatchOptions) iter.Seq2[store.Batch, error] {
	return func(yield func(store.Batch, error) bool) {
		if len(opts.Pods) > 0 {
			if err := store.ValidateNames("watch", opts.Pods); err != nil {
				yield(store.Batch{}, err)
				return
			}
		}
		given := map[string]state{}
		quiet := time.NewTicker(store.WatchQuiet / 4)
		defer quiet.Stop()
		last, due := uint64(0), true // due: a batch must come, even an empty one
		for {
			now := map[string]state{}
			pods := map[string]*store.Metadata{}
			var changed chan struct{}
			var number uint64
			err := s.locked(ctx, func() error {
				names := maps.Keys(s.pods)
				if opts.Pods != nil {
					names = slices.Values(opts.Pods)
				}
				for name := range names {
					if m := s.pods[name]; m != nil {
						pods[name] = m
						now[name] = state{m.Version.Revision, s.damaged[name]}
					}
				}
				changed, number = s.changed, s.number
				return nil
			})
			if err != nil {
				yield(store.Batch{}, err)
				return
			}
			batch := store.Batch{Synced: true, Number: number}
			for name, st := range now {
				switch was, ok := given[name]; {
				case ok && was == st:
				case st.damage != nil:
					batch.Events = append(batch.Events, store.Event{Pod: name, Err: st.damage})
				default:
					part := store.ReadOptions{OmitManifest: opts.OmitManifest, OmitReclaimed: true}.Part(pods[name])
					batch.Events = append(batch.Events, store.Event{Pod: name, Metadata: part})
				}
			}
			for name := range given {
				if _, ok := now[name]; !ok {
					batch.Events = append(batch.Events, store.Event{Pod: name})
				}
			}
			given = now
			if due || len(batch.Events) > 0 || number > last {
				if last = number; !yield(batch, nil) {
					return
				}
			}
			due = false
			select {
			case <-changed:
			case <-quiet.C:
				due = true
			case <-ctx.Done():
			}
		}
	}
}

// state is a Pod's state as a watcher has it.
type state struct {
	revision store.Revision
	damage   error
}
