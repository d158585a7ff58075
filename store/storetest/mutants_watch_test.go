package storetest

import (
	"context"
	"iter"
	"slices"
	"sync"

	"podstore/store"
)

// told is a fault in what watchers get: for each batch of a watch it returns the
// batches to yield instead.
func told(begin func(opts store.WatchOptions) func(b store.Batch) []store.Batch) func(f *faultyStore) {
	return func(f *faultyStore) {
		f.watch = func(ctx context.Context, opts store.WatchOptions) iter.Seq2[store.Batch, error] {
			return func(yield func(store.Batch, error) bool) {
				instead := begin(opts)
				for b, err := range f.ableStore.Watch(ctx, opts) {
					if err != nil {
						yield(b, err)
						return
					}
					for _, b := range instead(b) {
						if !yield(b, nil) {
							return
						}
					}
				}
			}
		}
	}
}

// asWatched is a fault in what a watch understands.
func asWatched(change func(opts *store.WatchOptions)) func(f *faultyStore) {
	return func(f *faultyStore) {
		f.watch = func(ctx context.Context, opts store.WatchOptions) iter.Seq2[store.Batch, error] {
			change(&opts)
			return f.ableStore.Watch(ctx, opts)
		}
	}
}

// withoutEvents leaves out some events.
func withoutEvents(leaveOut func(e store.Event) bool) func(f *faultyStore) {
	return told(func(store.WatchOptions) func(b store.Batch) []store.Batch {
		return func(b store.Batch) []store.Batch {
			b.Events = slices.DeleteFunc(b.Events, leaveOut)
			return []store.Batch{b}
		}
	})
}

// torn yields each event of a change in a batch of its own.
func torn(store.WatchOptions) func(b store.Batch) []store.Batch {
	listed := false
	return func(b store.Batch) (batches []store.Batch) {
		if !listed || len(b.Events) < 2 {
			listed = true
			return []store.Batch{b}
		}
		slices.SortFunc(b.Events, func(a, b store.Event) int { return len(a.Pod) - len(b.Pod) + int(a.Pod[0]) - int(b.Pod[0]) })
		for _, e := range b.Events {
			batches = append(batches, store.Batch{Events: []store.Event{e}, Synced: true})
		}
		batches[len(batches)-1].Number = b.Number
		for i := range batches[:len(batches)-1] {
			batches[i].Number = b.Number - 1
		}
		return batches
	}
}

// late yields each batch when the next one comes, like a store that loses a wake-up.
func late(store.WatchOptions) func(b store.Batch) []store.Batch {
	var held []store.Batch
	listed := false
	return func(b store.Batch) []store.Batch {
		if !listed {
			listed = true
			return []store.Batch{b}
		}
		if len(b.Events) == 0 {
			return nil
		}
		give := held
		held = []store.Batch{b}
		return give
	}
}

// early shows a change that fails, like a store that publishes before the change is
// durable.
func early(f *faultyStore) {
	var mu sync.Mutex
	var failed []store.Event
	f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
		applied, err := f.ableStore.Apply(ctx, changes, opts)
		if err != nil && len(changes) > 0 && changes[0].Op != nil && store.ValidateName(changes[0].Pod) == nil {
			if m, readErr := f.Read(ctx, changes[0].Pod); readErr == nil {
				changes[0].Op.Apply(m)
				m.Version.Revision.Number++
				part := store.ReadOptions{OmitReclaimed: true}.Part(m)
				mu.Lock()
				failed = append(failed, store.Event{Pod: m.PodName, Metadata: part})
				mu.Unlock()
			}
		}
		return applied, err
	}
	told(func(opts store.WatchOptions) func(b store.Batch) []store.Batch {
		return func(b store.Batch) []store.Batch {
			mu.Lock()
			defer mu.Unlock()
			batches := []store.Batch{b}
			if opts.Pods == nil && !opts.OmitManifest {
				for _, e := range failed {
					batches = append(batches, store.Batch{Events: []store.Event{e}, Synced: true, Number: b.Number})
				}
				failed = nil
			}
			return batches
		}
	})(f)
}

var watchMutants = []mutant{
	{"a watcher is not woken", "Watch/gives what each operation changes", told(late)},
	{"a watcher is not woken, in a history", "Watch/random histories are told as they were", told(late)},
	{"a batch is torn", "Watch/a change of several Pods comes in one batch", told(torn)},
	{"a batch is torn, in a history", "Watch/random histories are told as they were", told(torn)},
	{"deletions are not given", "Watch/gives deletions", withoutEvents(func(e store.Event) bool { return e.Metadata == nil && e.Err == nil })},
	{"deletions are not given, in a history", "Watch/random histories are told as they were", withoutEvents(func(e store.Event) bool { return e.Metadata == nil && e.Err == nil })},
	{"what fails is shown", "Watch/shows nothing that is not made", early},
	{"what fails is shown, in a history", "Watch/random histories are told as they were", early},
	{"damaged Pods are left out", "Watch/gives a damaged Pod as an error that names it, until it is healed", withoutEvents(func(e store.Event) bool { return e.Err != nil })},
	{"the list lacks a Pod", "Watch/begins with every Pod as it is", withoutEvents(func(e store.Event) bool { return e.Pod == "~" })},
	{"all Pods are given to who wants some", "Watch/of some Pods gives no others, whether they exist or not", asWatched(func(opts *store.WatchOptions) { opts.Pods = nil })},
	{"no names are taken for all", "Watch/of no Pods gives none", asWatched(func(opts *store.WatchOptions) {
		if len(opts.Pods) == 0 {
			opts.Pods = nil
		}
	})},
	{"manifests are given to who wants none", "Watch/gives no manifests where they are not wanted, and no history", asWatched(func(opts *store.WatchOptions) { opts.OmitManifest = false })},
	{"names are not judged", "Watch/is refused bad names", asWatched(func(opts *store.WatchOptions) {
		opts.Pods = slices.DeleteFunc(slices.Clone(opts.Pods), func(name string) bool { return store.ValidateName(name) != nil })
	})},
	{"history is given", "Watch/gives no manifests where they are not wanted, and no history", func(f *faultyStore) {
		told(func(store.WatchOptions) func(b store.Batch) []store.Batch {
			return func(b store.Batch) []store.Batch {
				for i, e := range b.Events {
					if e.Metadata != nil && f.pods[e.Pod] != nil {
						e.Metadata.Reclaimed = f.pods[e.Pod].Reclaimed
						b.Events[i] = e
					}
				}
				return []store.Batch{b}
			}
		})(f)
	}},
	{"a state is given again after a later one", "Watch/gives what each operation changes", told(func(store.WatchOptions) func(b store.Batch) []store.Batch {
		var first []store.Event
		return func(b store.Batch) []store.Batch {
			if first == nil {
				first = b.Events
				return []store.Batch{b}
			}
			return []store.Batch{b, {Events: first, Synced: true, Number: b.Number}}
		}
	})},
	{"the number is ahead of what is given", "Watch/gives what each operation changes", told(func(store.WatchOptions) func(b store.Batch) []store.Batch {
		return func(b store.Batch) []store.Batch {
			return []store.Batch{{Synced: true, Number: b.Number + 1}, b}
		}
	})},
	{"the number is ahead of what is given, in a history", "Watch/random histories are told as they were", told(func(store.WatchOptions) func(b store.Batch) []store.Batch {
		return func(b store.Batch) []store.Batch {
			b.Number++
			return []store.Batch{b}
		}
	})},
	{"nothing is said where nothing changes", "Watch/says so where nothing changes", told(func(store.WatchOptions) func(b store.Batch) []store.Batch {
		listed := false
		return func(b store.Batch) []store.Batch {
			if listed && len(b.Events) == 0 {
				return nil
			}
			listed = true
			return []store.Batch{b}
		}
	})},
	{"a list is old", "Watch/is at a moment that is not before it began", func(f *faultyStore) {
		old := map[string]store.Event{}
		told(func(store.WatchOptions) func(b store.Batch) []store.Batch {
			return func(b store.Batch) []store.Batch {
				for i, e := range b.Events {
					if was, ok := old[e.Pod]; ok {
						b.Events[i] = was
					}
					old[e.Pod] = e
				}
				return []store.Batch{b}
			}
		})(f)
	}},
	{"a slow watcher holds the lock", "Watch/that is slow holds up nobody", func(f *faultyStore) {
		f.watch = func(ctx context.Context, opts store.WatchOptions) iter.Seq2[store.Batch, error] {
			return func(yield func(store.Batch, error) bool) {
				for b, err := range f.ableStore.Watch(ctx, opts) {
					more := true
					if lockErr := f.locked(ctx, func() error { more = yield(b, err); return nil }); lockErr != nil || !more || err != nil {
						if err == nil && lockErr != nil {
							yield(store.Batch{}, lockErr)
						}
						return
					}
				}
			}
		}
	}},
	{"the end of the context is no error", "Watch/ends with the context's error", func(f *faultyStore) {
		f.watch = func(ctx context.Context, opts store.WatchOptions) iter.Seq2[store.Batch, error] {
			return func(yield func(store.Batch, error) bool) {
				for b, err := range f.ableStore.Watch(ctx, opts) {
					if ctx.Err() != nil || !yield(b, err) {
						return
					}
				}
			}
		}
	}},
	{"a second loop goes on where the first was left", "Watch/each loop is a watch of its own", func(f *faultyStore) {
		f.watch = func(ctx context.Context, opts store.WatchOptions) iter.Seq2[store.Batch, error] {
			next, _ := iter.Pull2(f.ableStore.Watch(ctx, opts))
			return func(yield func(store.Batch, error) bool) {
				for {
					if b, err, ok := next(); !ok || !yield(b, err) {
						return
					}
				}
			}
		}
	}},
}
