package storetest

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"time"

	"podstore/store"
)

type editPods = func([]*store.Metadata) error

// edits is a fault in the way an edit of several Pods is called.
func edits(call func(names []string, pods []*store.Metadata, edit editPods) error) func(f *faultyStore) {
	return func(f *faultyStore) {
		f.updatePods = func(ctx context.Context, names []string, edit editPods) ([]*store.Metadata, error) {
			return f.ableStore.UpdatePods(ctx, names, func(pods []*store.Metadata) error { return call(names, pods, edit) })
		}
	}
}

// oneByOne edits several Pods, but writes each by itself.
func oneByOne(f *faultyStore) {
	f.updatePods = func(ctx context.Context, names []string, edit editPods) ([]*store.Metadata, error) {
		var pods []*store.Metadata
		if _, err := f.ableStore.UpdatePods(ctx, names, func(given []*store.Metadata) error {
			err := edit(given)
			pods = given
			return errors.Join(err, errStop)
		}); !errors.Is(err, errStop) || errors.Is(err, errEdit) || errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		for i, name := range names {
			var err error
			if pods[i] == nil {
				err = store.Do(ctx, f.ableStore, name, store.Delete{})
			} else {
				pods[i].PodName = name
				err = store.Write(ctx, f.ableStore, pods[i])
			}
			if err != nil {
				return nil, err
			}
			letOthersRun()
		}
		return pods, nil
	}
}

var errStop = errors.New("stop")

var abilityMutants = []mutant{
	{"several Pods are changed one by one", "UpdatePods/changes nothing where one Pod breaks a rule", oneByOne},
	{"links are made one side at a time", "Concurrency/a link is never seen from one side alone", oneByOne},
	{"edits of several Pods mix", "Concurrency/edits of several Pods neither mix nor lock each other out", oneByOne},
	{"several Pods do not mind the context", "Contexts/one that has ended is the error and nothing is changed", func(f *faultyStore) {
		f.updatePods = func(_ context.Context, names []string, edit editPods) ([]*store.Metadata, error) {
			return f.ableStore.UpdatePods(background, names, edit)
		}
	}},
	{"missing Pods are given as empty ones", "UpdatePods/gives each Pod by its place, and nil for a missing one", edits(func(names []string, pods []*store.Metadata, edit editPods) error {
		for i := range pods {
			if pods[i] == nil {
				pods[i] = minimal(names[i])
			}
		}
		return edit(pods)
	})},
	{"nil does not delete", "UpdatePods/creates, replaces and deletes one", edits(func(_ []string, pods []*store.Metadata, edit editPods) error {
		before := append([]*store.Metadata(nil), pods...)
		err := edit(pods)
		for i := range pods {
			if pods[i] == nil {
				pods[i] = before[i]
			}
		}
		return err
	})},
	{"several Pods keep the name that edit set", "UpdatePods/sets the name in any case", func(f *faultyStore) {
		f.updatePods = func(ctx context.Context, names []string, edit editPods) ([]*store.Metadata, error) {
			return f.ableStore.UpdatePods(ctx, names, func(pods []*store.Metadata) error {
				err := edit(pods)
				for _, m := range pods {
					if m != nil && m.PodName != "" && store.ValidateName(m.PodName) == nil && f.pods[m.PodName] == nil {
						f.pods[m.PodName] = m.Clone()
					}
				}
				return err
			})
		}
	}},
	{"an element in two places is returned twice", "UpdatePods/can copy one Pod to another and exchange two", func(f *faultyStore) {
		f.updatePods = func(ctx context.Context, names []string, edit editPods) ([]*store.Metadata, error) {
			var given []*store.Metadata
			pods, err := f.ableStore.UpdatePods(ctx, names, func(pods []*store.Metadata) error {
				err := edit(pods)
				given = pods
				return err
			})
			for i := range pods {
				for j := range i {
					if given[i] != nil && given[i] == given[j] {
						pods[j] = pods[i]
					}
				}
			}
			return pods, err
		}
	}},
	{"a name may be given twice", "UpdatePods/refuses a name that is given twice", func(f *faultyStore) {
		f.updatePods = func(ctx context.Context, names []string, edit editPods) ([]*store.Metadata, error) {
			pods, err := f.ableStore.UpdatePods(ctx, names, edit)
			if errors.Is(err, store.ErrInvalid) && len(names) == 2 && names[0] == names[1] {
				err = store.Do(ctx, f.ableStore, names[0], store.Delete{})
			}
			return pods, err
		}
	}},
	{"several Pods are changed although edit failed", "UpdatePods/returns the edit's error and changes nothing", func(f *faultyStore) {
		f.updatePods = func(ctx context.Context, names []string, edit editPods) ([]*store.Metadata, error) {
			pods, err := f.ableStore.UpdatePods(ctx, names, edit)
			if errors.Is(err, errEdit) {
				err = errors.Join(err, store.Write(ctx, f.ableStore, minimal(names[0])))
			}
			return pods, err
		}
	}},
	{"a panic in an edit of several Pods is caught", "UpdatePods/lets a panic in edit reach its caller and changes nothing", edits(func(_ []string, pods []*store.Metadata, edit editPods) (err error) {
		if p := recovered(func() { err = edit(pods) }); p != nil {
			return errEdit
		}
		return err
	})},
	{"a link that is there is written again in another order", "Links/made again change nothing", edits(func(_ []string, pods []*store.Metadata, edit editPods) error {
		err := edit(pods)
		if err == nil && len(pods) == 2 && pods[0] != nil && len(pods[0].Peers) > 1 {
			pods[0].Peers[0], pods[0].Peers[1] = pods[0].Peers[1], pods[0].Peers[0]
		}
		return err
	})},
	{"all gives another order", "All/yields every Pod in the order of List", func(f *faultyStore) {
		f.all = func(ctx context.Context, opts store.ReadOptions) iter.Seq2[*store.Metadata, error] {
			return func(yield func(*store.Metadata, error) bool) {
				var last *store.Metadata
				for m, err := range f.ableStore.All(ctx, opts) {
					if last == nil && err == nil {
						last = m
					} else if !yield(m, err) {
						return
					}
				}
				if last != nil {
					yield(last, nil)
				}
			}
		}
	}},
	{"all gives its own memory", "Memory/what All yielded is the caller's", func(f *faultyStore) {
		f.all = func(ctx context.Context, _ store.ReadOptions) iter.Seq2[*store.Metadata, error] {
			return func(yield func(*store.Metadata, error) bool) {
				names, err := f.ableStore.List(ctx)
				for _, name := range names {
					if !yield(f.pods[name], err) {
						return
					}
				}
			}
		}
	}},
	{"all does not omit manifests", "Parts/have all but what was left out, and say so", func(f *faultyStore) {
		f.all = func(ctx context.Context, _ store.ReadOptions) iter.Seq2[*store.Metadata, error] {
			return f.ableStore.All(ctx, store.ReadOptions{})
		}
	}},
	{"all holds the lock while it yields", "All/lets the caller use the store in the loop", func(f *faultyStore) {
		f.all = func(ctx context.Context, opts store.ReadOptions) iter.Seq2[*store.Metadata, error] {
			return func(yield func(*store.Metadata, error) bool) {
				pods := f.ableStore.All(ctx, opts)
				err := f.locked(ctx, func() error {
					for _, name := range sortedKeys(f.pods) {
						if m, err := f.stored(name); !yield(m, err) {
							break
						}
					}
					return nil
				})
				if err != nil {
					pods(yield)
				}
			}
		}
	}},
	{"all that is left early keeps a lock", "All/can be left early", func(f *faultyStore) {
		f.all = func(ctx context.Context, opts store.ReadOptions) iter.Seq2[*store.Metadata, error] {
			return func(yield func(*store.Metadata, error) bool) {
				for m, err := range f.ableStore.All(ctx, opts) {
					if !yield(m, err) {
						_ = f.lock(ctx)
						return
					}
				}
			}
		}
	}},
	{"all ends silently with the context", "Contexts/one that ends during All never makes the rest look absent", func(f *faultyStore) {
		f.all = func(ctx context.Context, opts store.ReadOptions) iter.Seq2[*store.Metadata, error] {
			return func(yield func(*store.Metadata, error) bool) {
				for m, err := range f.ableStore.All(background, opts) {
					if ctx.Err() != nil || !yield(m, err) {
						return
					}
				}
			}
		}
	}},
	{"a batch ends at the first error", "WriteBatch/refuses one and writes the others", func(f *faultyStore) {
		f.writeBatch = func(ctx context.Context, puts []store.Put) []error {
			errs := make([]error, len(puts))
			for i, put := range puts {
				if errs[i] = store.Do(ctx, f.ableStore, put.Metadata.PodName, put); errs[i] != nil {
					break
				}
			}
			return errs
		}
	}},
	{"a batch writes a Pod once", "WriteBatch/writes a Pod that comes twice in order", func(f *faultyStore) {
		f.writeBatch = func(ctx context.Context, puts []store.Put) []error {
			errs := make([]error, len(puts))
			for i, put := range slices.Backward(puts) {
				errs[i] = store.Do(ctx, f.ableStore, put.Metadata.PodName, put)
			}
			return errs
		}
	}},
	{"a batch forgets the times", "WriteBatch/takes the changed time of a put", func(f *faultyStore) {
		f.writeBatch = func(ctx context.Context, puts []store.Put) []error {
			for i := range puts {
				puts[i].Changed = time.Time{}
			}
			return f.ableStore.WriteBatch(ctx, puts)
		}
	}},
	{"a snapshot is the store itself", "Snapshot/holds one moment", func(f *faultyStore) {
		f.snapshot = func(ctx context.Context) (store.MetadataStore, io.Closer, error) {
			return frozenStore{f.bareStore}, io.NopCloser(nil), ctx.Err()
		}
	}},
	{"a snapshot can be changed", "Snapshot/cannot be changed", func(f *faultyStore) {
		f.snapshot = func(ctx context.Context) (store.MetadataStore, io.Closer, error) {
			s, closer, err := f.ableStore.Snapshot(ctx)
			return s.(frozenStore).bareStore, closer, err
		}
	}},
}

var damageMutants = []mutant{
	{"a damaged Pod is missing", "Damage/is ErrCorrupt for Read and leaves other Pods readable", func(f *faultyStore) {
		f.read = func(ctx context.Context, name string) (*store.Metadata, error) {
			m, err := f.ableStore.Read(ctx, name)
			if errors.Is(err, store.ErrCorrupt) {
				err = &store.Error{Pod: name, Kind: store.ErrNotFound}
			}
			return m, err
		}
	}},
	{"a damaged Pod is not listed", "Damage/does not hide the Pod from List", func(f *faultyStore) {
		f.list = func(ctx context.Context) ([]string, error) {
			names, err := f.ableStore.List(ctx)
			if f.damaged["b"] != nil {
				names = append(names[:1], names[2:]...)
			}
			return names, err
		}
	}},
	{"all ends at a damaged Pod", "Damage/is yielded by All as an error that names the Pod, and the others follow", func(f *faultyStore) {
		f.all = func(ctx context.Context, opts store.ReadOptions) iter.Seq2[*store.Metadata, error] {
			return func(yield func(*store.Metadata, error) bool) {
				for m, err := range f.ableStore.All(ctx, opts) {
					if !yield(m, err) || err != nil {
						return
					}
				}
			}
		}
	}},
	{"write does not heal", "Damage/is healed by Write", func(f *faultyStore) {
		f.write = func(ctx context.Context, m *store.Metadata) error {
			if err := f.damaged[m.PodName]; err != nil {
				return err
			}
			return store.Write(ctx, f.ableStore, m)
		}
	}},
	{"a damaged Pod cannot be deleted", "Damage/is removed by Delete", func(f *faultyStore) {
		f.delete = func(ctx context.Context, name string) error {
			if err := f.damaged[name]; err != nil {
				return err
			}
			return store.Do(ctx, f.ableStore, name, store.Delete{})
		}
	}},
	{"update takes a damaged Pod for a new one", "Damage/is ErrCorrupt for Update, which changes nothing", func(f *faultyStore) {
		f.update = func(ctx context.Context, name string, edit editFunc) (*store.Metadata, error) {
			delete(f.damaged, name)
			return f.ableStore.Update(ctx, name, edit)
		}
	}},
	{"an edit of several Pods takes a damaged one for missing", "Damage/is ErrCorrupt for UpdatePods, which names the Pod and changes nothing", func(f *faultyStore) {
		f.updatePods = func(ctx context.Context, names []string, edit editPods) ([]*store.Metadata, error) {
			damaged := f.damaged
			f.damaged = map[string]error{}
			defer func() { f.damaged = damaged }()
			return f.ableStore.UpdatePods(ctx, names, edit)
		}
	}},
}
