package storetest

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"sync/atomic"
	"time"

	"podstore/store"
)

// shared gives one number to all changes that run at once, as one commit might do.
func shared[T any](f *faultyStore, busy *atomic.Int32, change func() (T, error)) (T, error) {
	busy.Add(1)
	defer busy.Add(-1)
	letOthersRun()
	result, err := change()
	if busy.Load() > 1 {
		_ = f.locked(background, func() error { f.number--; return nil })
	}
	return result, err
}

var versionMutants = []mutant{
	{"Applies of one commit share a number", "Concurrency/no two Applies share a number, and numbers rise in the order of the changes", func(f *faultyStore) {
		var busy atomic.Int32
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			return shared(f, &busy, func() ([]store.Applied, error) { return f.ableStore.Apply(ctx, changes, opts) })
		}
	}},
	{"Updates of one commit share a number", "Concurrency/no two Updates share a number", func(f *faultyStore) {
		var busy atomic.Int32
		f.update = func(ctx context.Context, name string, edit editFunc) (*store.Metadata, error) {
			return shared(f, &busy, func() (*store.Metadata, error) { return f.ableStore.Update(ctx, name, edit) })
		}
	}},
	{"numbers count the changes of one Pod", "Versions/numbers rise with each change, of whatever Pod and by whatever method", answered(func(f *faultyStore, changes []store.Change, _ *store.ApplyOptions, applied []store.Applied) []store.Applied {
		if m := f.pods[changes[0].Pod]; m != nil {
			f.poke(changes[0].Pod, func(m *store.Metadata) { m.Version.Revision.Number = uint64(len(m.Peers) + 1) })
			for i := range applied {
				applied[i].Version = f.pods[changes[0].Pod].Version
			}
		}
		return applied
	})},
	{"a deletion has no number", "Versions/numbers rise with each change, of whatever Pod and by whatever method", answered(func(f *faultyStore, _ []store.Change, _ *store.ApplyOptions, applied []store.Applied) []store.Applied {
		for i := range applied {
			if f.pods[applied[i].Pod] == nil {
				applied[i].Version = store.Version{}
			}
		}
		return applied
	})},
	{"a deletion of nothing has a number", "Versions/a deletion of a missing Pod has none", answered(func(f *faultyStore, _ []store.Change, _ *store.ApplyOptions, applied []store.Applied) []store.Applied {
		for i := range applied {
			if f.pods[applied[i].Pod] == nil {
				applied[i].Version.Revision.Number = f.number
			}
		}
		return applied
	})},
	{"each Pod of an Apply has a number of its own", "Versions/all Pods that one Apply changed have the same number", changesOneByOne},
	{"each Pod of an edit has a number of its own", "Versions/all Pods that one Apply changed have the same number", oneByOne},
	{"the Pods of an Apply have a new version although nothing changed in them", "Apply/with changes of several Pods that change nothing writes nothing", answered(func(f *faultyStore, changes []store.Change, _ *store.ApplyOptions, applied []store.Applied) []store.Applied {
		for i := range applied {
			f.poke(applied[i].Pod, func(m *store.Metadata) {
				m.Version.Revision.Number = f.number
				applied[i].Version = m.Version
			})
		}
		return applied
	})},
	{"a Put of the same is a change", "Versions/a change that changes nothing keeps the version, by whatever method", func(f *faultyStore) {
		f.write = func(ctx context.Context, m *store.Metadata) error {
			err := store.Write(ctx, f.ableStore, m)
			f.poke(m.PodName, func(m *store.Metadata) { m.Version.Revision.Number++ })
			return err
		}
	}},
	{"Update takes over a version that its edit set", "Versions/are the store's: what a caller sets is ignored", func(f *faultyStore) {
		f.update = func(ctx context.Context, name string, edit editFunc) (*store.Metadata, error) {
			var set store.Version
			m, err := f.ableStore.Update(ctx, name, func(m *store.Metadata) error {
				err := edit(m)
				set = m.Version
				return err
			})
			if err == nil && set != m.Version && !set.Revision.IsZero() {
				f.poke(name, func(m *store.Metadata) { m.Version = set })
			}
			return m, err
		}
	}},
	{"Update gives the version of before", "Versions/a change gives the Pod another revision, by whatever method", func(f *faultyStore) {
		f.update = func(ctx context.Context, name string, edit editFunc) (*store.Metadata, error) {
			var was store.Version
			m, err := f.ableStore.Update(ctx, name, func(m *store.Metadata) error { was = m.Version; return edit(m) })
			if err == nil {
				m.Version = was
			}
			return m, err
		}
	}},
	{"Update gives its edit no version", "Versions/are the same however the Pod is read", wrapEdit(func(m *store.Metadata, edit editFunc) error {
		m.Version = store.Version{}
		return edit(m)
	})},
	{"Read gives no version", "Read/returns what was written", func(f *faultyStore) {
		f.read = func(ctx context.Context, name string) (*store.Metadata, error) {
			m, err := f.ableStore.Read(ctx, name)
			if m != nil {
				m.Version = store.Version{}
			}
			return m, err
		}
	}},
	{"times are in another zone", "Read/returns what was written", func(f *faultyStore) {
		f.read = func(ctx context.Context, name string) (*store.Metadata, error) {
			m, err := f.ableStore.Read(ctx, name)
			if m != nil {
				m.Version.Changed = m.Version.Changed.In(time.FixedZone("", 3600))
			}
			return m, err
		}
	}},
	{"all gives the revision alone", "Versions/are the same however the Pod is read", func(f *faultyStore) {
		f.all = func(ctx context.Context, opts store.ReadOptions) iter.Seq2[*store.Metadata, error] {
			return func(yield func(*store.Metadata, error) bool) {
				for m, err := range f.ableStore.All(ctx, opts) {
					if m != nil {
						m.Version = store.Version{Revision: m.Version.Revision}
					}
					if !yield(m, err) {
						return
					}
				}
			}
		}
	}},
	{"a snapshot has versions of its own", "Versions/are the same however the Pod is read", func(f *faultyStore) {
		f.snapshot = func(ctx context.Context) (store.MetadataStore, io.Closer, error) {
			s, closer, err := f.ableStore.Snapshot(ctx)
			if err == nil {
				frozen := s.(frozenStore)
				for name, m := range frozen.pods {
					m = m.Clone()
					m.Version.Revision.Number++
					frozen.pods[name] = m
				}
			}
			return s, closer, err
		}
	}},
	{"a Pod begins at revision one again", "Versions/a Pod that is made again is at no revision that it had", answered(func(f *faultyStore, changes []store.Change, _ *store.ApplyOptions, applied []store.Applied) []store.Applied {
		f.poke(changes[0].Pod, func(m *store.Metadata) { m.Version.Revision = store.Revision{Number: 1} })
		return applied
	})},
	{"numbers begin anew when the data is opened again", "Versions/stay when the data is opened again", func(f *faultyStore) {
		f.reopened = func() { f.number = 0 }
	}},
	{"times are not kept", "Versions/stay when the data is opened again", func(f *faultyStore) {
		f.reopened = func() {
			for name := range f.pods {
				f.poke(name, func(m *store.Metadata) { m.Version.Created = time.Time{} })
			}
		}
	}},
	{"every change is a creation", "Versions/created stays and changed does not go back", answered(func(f *faultyStore, changes []store.Change, _ *store.ApplyOptions, applied []store.Applied) []store.Applied {
		for i := range applied {
			f.poke(changes[i].Pod, func(m *store.Metadata) {
				m.Version.Created = m.Version.Changed.Add(time.Duration(-f.number) * time.Second)
				applied[i].Version = m.Version
			})
		}
		return applied
	})},
	{"Put sets the time of creation of a Pod that exists", "Versions/Put brings the times of a former place", answered(func(f *faultyStore, changes []store.Change, _ *store.ApplyOptions, applied []store.Applied) []store.Applied {
		if put, ok := changes[0].Op.(store.Put); ok && !put.Created.IsZero() {
			f.poke(changes[0].Pod, func(m *store.Metadata) { m.Version.Created = put.Created.UTC().Truncate(time.Millisecond) })
		}
		return applied
	})},
	{"Put forgets the times of a former place", "Versions/Put brings the times of a former place", asked(func(_ *faultyStore, c *store.Change) {
		if put, ok := c.Op.(store.Put); ok {
			c.Op = store.Put{Metadata: put.Metadata}
		}
	})},
	{"Put believes in the future", "Versions/Put takes a time in the future for now", answered(func(f *faultyStore, changes []store.Change, _ *store.ApplyOptions, applied []store.Applied) []store.Applied {
		if put, ok := changes[0].Op.(store.Put); ok && !put.Changed.IsZero() {
			f.poke(changes[0].Pod, func(m *store.Metadata) { m.Version.Changed = put.Changed })
		}
		return applied
	})},
	{"results are of a later moment", "Concurrency/results are the state right after their own Apply", func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			_, err := f.ableStore.Apply(ctx, changes, opts)
			letOthersRun()
			return f.applied(ctx, changes, opts, err)
		}
	}},
}

var requestMutants = []mutant{
	{"an ID is not kept", "Requests/are made once", func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			if opts != nil {
				opts = &store.ApplyOptions{Metadata: opts.Metadata}
			}
			return f.ableStore.Apply(ctx, changes, opts)
		}
	}},
	{"a repeated request has the revision of now", "Requests/are made once", answered(func(f *faultyStore, _ []store.Change, _ *store.ApplyOptions, applied []store.Applied) []store.Applied {
		for i := range applied {
			f.poke(applied[i].Pod, func(m *store.Metadata) { applied[i].Version = m.Version })
		}
		return applied
	})},
	{"a repeated request gives the metadata of now", "Requests/are made once", answered(func(f *faultyStore, _ []store.Change, opts *store.ApplyOptions, applied []store.Applied) []store.Applied {
		for i := range applied {
			if opts.Metadata && applied[i].Metadata == nil {
				applied[i].Metadata, _ = f.ableStore.Read(background, applied[i].Pod)
			}
		}
		return applied
	})},
	{"an ID is kept without its changes", "Requests/with the ID of other changes are refused", func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			if opts != nil && f.made[opts.ID].applied != nil {
				return f.made[opts.ID].applied, nil
			}
			return f.ableStore.Apply(ctx, changes, opts)
		}
	}},
	{"the ID of a request that was refused is used up", "Requests/that were refused can be made later", func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			applied, err := f.ableStore.Apply(ctx, changes, opts)
			if prepared, invalid := store.Prepare(changes); err != nil && invalid == nil && opts != nil && opts.ID != (store.RequestID{}) {
				f.made[opts.ID] = request{prepared, []store.Applied{{Pod: changes[0].Pod}}}
			}
			return applied, err
		}
	}},
	{"IDs of deletions are not kept", "Requests/may create and delete", func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			if opts != nil && changes[0].Op == (store.Delete{}) {
				opts = nil
			}
			return f.ableStore.Apply(ctx, changes, opts)
		}
	}},
	{"IDs go with their Pod, and nobody asks whether one may be missing", "Requests/of which the Pod is gone do not bring it back", func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			if changes[0].Op == (store.Delete{}) {
				clear(f.made)
			}
			return f.ableStore.Apply(ctx, changes, opts)
		}
	}},
	{"IDs are kept for one Pod of several", "Requests/of several Pods are made once", func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			if opts != nil && len(changes) > 1 && f.made[opts.ID].applied != nil && f.pods["c"] == nil {
				opts = nil
			}
			return f.ableStore.Apply(ctx, changes, opts)
		}
	}},
	{"IDs are lost when the data is opened again", "Requests/are known when the data is opened again", func(f *faultyStore) {
		f.reopened = func() { clear(f.made) }
	}},
	{"requests with another ID are taken for the same", "Requests/with another ID are made again", func(f *faultyStore) {
		var last store.RequestID
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			if opts != nil && opts.ID != last {
				if prepared, err := store.Prepare(changes); err == nil && described(f.made[last].changes) == described(prepared) {
					return f.made[last].applied, nil
				}
				last = opts.ID
			}
			return f.ableStore.Apply(ctx, changes, opts)
		}
	}},
	{"what is sent again is always unknown", "Requests/sent again that were never made are made", func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			if opts != nil && opts.Resent {
				return nil, &store.Error{Pod: changes[0].Pod, Kind: store.ErrUnknown}
			}
			return f.ableStore.Apply(ctx, changes, opts)
		}
	}},
	{"what the client has seen is ignored", "Requests/sent again to a store that is behind what the client saw are unknown", func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			if opts != nil {
				unseen := *opts
				unseen.Seen = 0
				opts = &unseen
			}
			return f.ableStore.Apply(ctx, changes, opts)
		}
	}},
	{"what is unknown is made all the same", "Requests/sent again to a store that is behind what the client saw are unknown", func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			applied, err := f.ableStore.Apply(ctx, changes, opts)
			if errors.Is(err, store.ErrUnknown) {
				_, _ = f.ableStore.Apply(ctx, changes, nil)
			}
			return applied, err
		}
	}},
	{"the last sixteen IDs are kept, and nobody asks whether one may be missing", "Requests/sent again after many others are not made twice", func(f *faultyStore) {
		var ids []store.RequestID
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			if opts != nil && !slices.Contains(ids, opts.ID) {
				ids = append(ids, opts.ID)
			}
			for len(ids) > 16 {
				delete(f.made, ids[0])
				ids = ids[1:]
			}
			return f.ableStore.Apply(ctx, changes, opts)
		}
	}},
	{"an ID is kept some time after its changes were made", "Concurrency/one request sent by many at once is made once", func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			var was request
			if opts != nil {
				_ = f.locked(ctx, func() error { was = f.made[opts.ID]; return nil })
			}
			if was.applied != nil {
				return was.applied, nil
			}
			applied, err := f.ableStore.Apply(ctx, changes, nil)
			letOthersRun()
			if err == nil && opts != nil {
				_ = f.locked(ctx, func() error { f.made[opts.ID] = request{changes, applied}; return nil })
			}
			return applied, err
		}
	}},
}

// removing is a fault of Remove.
func removing(remove func(f *faultyStore, pod string)) func(f *faultyStore) {
	return func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			if len(changes) != 1 || changes[0].Op != (store.Remove{}) || changes[0].If != (store.Condition{}) {
				return f.ableStore.Apply(ctx, changes, opts)
			}
			remove(f, changes[0].Pod)
			return f.applied(ctx, changes, opts, nil)
		}
	}
}

var removeMutants = []mutant{
	{"Remove leaves the references", "Remove/takes the Pod and every reference to it, and leaves the history", removing(func(f *faultyStore, pod string) {
		_ = store.Do(background, f.ableStore, pod, store.Delete{})
	})},
	{"Remove forgets children", "Remove/takes the Pod and every reference to it, and leaves the history", removing(func(f *faultyStore, pod string) {
		_ = store.Do(background, f.ableStore, pod, store.Delete{})
		for name := range f.pods {
			_ = store.Do(background, f.ableStore, name, store.RemovePeer{PodName: pod})
		}
	})},
	{"Remove takes the history", "Remove/takes the Pod and every reference to it, and leaves the history", removing(func(f *faultyStore, pod string) {
		_ = store.Do(background, f.ableStore, pod, store.Remove{})
		for name := range f.pods {
			f.poke(name, func(m *store.Metadata) {
				m.Reclaimed = slices.DeleteFunc(m.Reclaimed, func(r store.ReclaimedChild) bool { return r.PodName == pod })
			})
		}
	})},
	{"Remove leaves the versions of those that referred to the Pod", "Remove/takes the Pod and every reference to it, and leaves the history", removing(func(f *faultyStore, pod string) {
		versions := map[string]store.Version{}
		for name, m := range f.pods {
			versions[name] = m.Version
		}
		_ = store.Do(background, f.ableStore, pod, store.Remove{})
		for name, v := range versions {
			f.poke(name, func(m *store.Metadata) { m.Version = v })
		}
	})},
	{"Remove gives every Pod a new version", "Remove/takes the Pod and every reference to it, and leaves the history", removing(func(f *faultyStore, pod string) {
		_ = store.Do(background, f.ableStore, pod, store.Remove{})
		for name := range f.pods {
			f.poke(name, func(m *store.Metadata) { m.Version.Revision.Number = f.number })
		}
	})},
	{"Remove of a missing Pod does nothing", "Remove/of a missing Pod takes the references to it", removing(func(f *faultyStore, pod string) {
		_, _ = f.ableStore.Apply(background, []store.Change{{Pod: pod, Op: store.Remove{}, If: store.SkipMissing}}, nil)
	})},
	{"Remove reaches fifty Pods", "Remove/reaches every one of many", removing(func(f *faultyStore, pod string) {
		_ = store.Do(background, f.ableStore, pod, store.Delete{})
		names := sortedKeys(f.pods)
		for _, name := range names[:min(50, len(names))] {
			_ = store.Do(background, f.ableStore, name, store.RemovePeer{PodName: pod}, store.RemoveChild{PodName: pod})
		}
	})},
	{"Remove misses a link that is made at the same time", "Concurrency/no link or child under a condition outlives a Pod that is removed", removing(func(f *faultyStore, pod string) {
		var referrers []string
		_ = f.locked(background, func() error {
			for name, m := range f.pods {
				if m.RefersTo(pod) {
					referrers = append(referrers, name)
				}
			}
			return nil
		})
		letOthersRun()
		_ = store.Do(background, f.ableStore, pod, store.Delete{})
		for _, name := range referrers {
			_ = store.Do(background, f.ableStore, name, store.RemovePeer{PodName: pod}, store.RemoveChild{PodName: pod})
		}
	})},
}
