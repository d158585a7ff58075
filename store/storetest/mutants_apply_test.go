package storetest

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"

	"podstore/store"
)

// asked is a fault in what the store understands: it makes other changes than the
// caller asked for.
func asked(change func(f *faultyStore, c *store.Change)) func(f *faultyStore) {
	return func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			changes = slices.Clone(changes)
			for i := range changes {
				change(f, &changes[i])
			}
			return f.ableStore.Apply(ctx, changes, opts)
		}
	}
}

// answered is a fault in what the store does or returns after it has made changes.
func answered(change func(f *faultyStore, changes []store.Change, opts *store.ApplyOptions, applied []store.Applied) []store.Applied) func(f *faultyStore) {
	return func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			applied, err := f.ableStore.Apply(ctx, changes, opts)
			if err == nil {
				if opts == nil {
					opts = &store.ApplyOptions{}
				}
				applied = change(f, changes, opts, applied)
			}
			return applied, err
		}
	}
}

// edited is a fault in one operation: it does what edit does instead.
func edited(name string, edit func(op store.Op, m *store.Metadata)) func(f *faultyStore) {
	return func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			if len(changes) != 1 || changes[0].Op == nil || changes[0].Op.Name() != name || changes[0].If != (store.Condition{}) {
				return f.ableStore.Apply(ctx, changes, opts)
			}
			prepared, err := store.Prepare(changes)
			if err == nil {
				_, err = f.ableStore.Update(ctx, changes[0].Pod, func(m *store.Metadata) error { edit(prepared[0].Op, m); return nil })
			}
			return f.applied(ctx, changes, opts, err)
		}
	}
}

// changesOneByOne makes each change by itself.
func changesOneByOne(f *faultyStore) {
	f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) (applied []store.Applied, err error) {
		for _, c := range changes {
			one, err := f.ableStore.Apply(ctx, []store.Change{c}, opts)
			if err != nil {
				return nil, err
			}
			applied = append(applied, one...)
		}
		return applied, nil
	}
}

var applyMutants = []mutant{
	{"changes are made one by one", "Apply/makes all changes or none", changesOneByOne},
	{"a change is made before a later one is judged", "Apply/refuses what breaks a rule and changes nothing", changesOneByOne},
	{"changes that take each other back are written", "Apply/with changes that change nothing writes nothing", changesOneByOne},
	{"results are sorted by Pod", "Apply/makes changes of several Pods in one step", answered(func(_ *faultyStore, _ []store.Change, _ *store.ApplyOptions, applied []store.Applied) []store.Applied {
		slices.SortStableFunc(applied, func(a, b store.Applied) int { return strings.Compare(a.Pod, b.Pod) })
		return applied
	})},
	{"a Pod has one result", "Apply/makes changes of one Pod in order", answered(func(_ *faultyStore, _ []store.Change, _ *store.ApplyOptions, applied []store.Applied) []store.Applied {
		return slices.CompactFunc(applied, func(a, b store.Applied) bool { return a.Pod == b.Pod })
	})},
	{"changes are made in the order of their Pods' names", "Remove/among other changes has its place", func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			sorted := slices.Clone(changes)
			slices.SortStableFunc(sorted, func(a, b store.Change) int { return strings.Compare(a.Pod, b.Pod) })
			_, err := f.ableStore.Apply(ctx, sorted, opts)
			return f.applied(ctx, changes, opts, err)
		}
	}},
	{"metadata comes unasked", "Apply/without an operation is its condition alone", func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			return f.ableStore.Apply(ctx, changes, &store.ApplyOptions{Metadata: true})
		}
	}},
	{"a Pod that is gone is given as an empty one", "Apply/gives nil where the Pod does not exist", answered(func(_ *faultyStore, _ []store.Change, opts *store.ApplyOptions, applied []store.Applied) []store.Applied {
		for i := range applied {
			if applied[i].Metadata == nil && opts.Metadata {
				applied[i].Metadata = minimal(applied[i].Pod)
			}
		}
		return applied
	})},
	{"results are the store's memory", "Apply/gives metadata that is the caller's", answered(func(f *faultyStore, _ []store.Change, _ *store.ApplyOptions, applied []store.Applied) []store.Applied {
		for i := range applied {
			applied[i].Metadata = f.pods[applied[i].Pod]
		}
		return applied
	})},
	{"changes are kept as they were given", "Apply/neither changes nor keeps what it is given", answered(func(f *faultyStore, changes []store.Change, _ *store.ApplyOptions, applied []store.Applied) []store.Applied {
		for _, c := range changes {
			if op, ok := c.Op.(store.SetPeers); ok {
				f.pods[c.Pod].Peers = op.Peers
			}
		}
		return applied
	})},
	{"changes are brought to normal form in place", "Apply/neither changes nor keeps what it is given", asked(func(_ *faultyStore, c *store.Change) {
		if op, ok := c.Op.(store.Put); ok && op.Metadata != nil {
			_ = op.Metadata.Normalize()
		}
	})},
	{"a condition alone makes the Pod", "Apply/without an operation is its condition alone", asked(func(_ *faultyStore, c *store.Change) {
		if c.Op == nil && c.If == store.Missing {
			c.Op = store.Reclaim{}
		}
	})},
	{"a change of nothing is let through", "Apply/refuses no change, and a change that is nothing", asked(func(_ *faultyStore, c *store.Change) {
		if c.Op == nil && c.If == (store.Condition{}) {
			c.If = store.SkipMissing
		}
	})},
	{"a known field is set as an unknown one is", "Apply/refuses what breaks a rule and changes nothing", asked(func(_ *faultyStore, c *store.Change) {
		if op, ok := c.Op.(store.SetField); ok && store.IsFieldName(op.Field) {
			c.Op = store.SetPeers{}
		}
	})},
	{"a condition alone does not mind the context", "Contexts/one that has ended is the error and nothing is changed", func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			if changes[0].Op == nil {
				ctx = background
			}
			return f.ableStore.Apply(ctx, changes, opts)
		}
	}},
	{"SetSegment clears the manifest", "Operations/SetSegment keeps the manifest", asked(func(_ *faultyStore, c *store.Change) {
		if op, ok := c.Op.(store.SetSegment); ok {
			c.Op = store.SetActive{Active: op.Active}
		}
	})},
	{"AddChild appends in any case", "Operations/AddChild replaces the first of its name and drops the others", edited("add_child", func(op store.Op, m *store.Metadata) {
		m.Children = append(m.Children, op.(store.AddChild).Child)
	})},
	{"RemoveChild removes one", "Operations/RemoveChild removes every child of the name and keeps the history", edited("remove_child", func(op store.Op, m *store.Metadata) {
		for i, c := range m.Children {
			if c.PodName == op.(store.RemoveChild).PodName {
				m.Children = slices.Delete(m.Children, i, i+1)
				return
			}
		}
	})},
	{"RemoveChild of a missing Pod does not create it", "Operations/RemoveChild of what is not listed changes nothing", asked(func(_ *faultyStore, c *store.Change) {
		if _, ok := c.Op.(store.RemoveChild); ok {
			c.If = store.SkipMissing
		}
	})},
	{"TrimReclaimed keeps the oldest", "Operations/TrimReclaimed keeps the newest", edited("trim_reclaimed", func(op store.Op, m *store.Metadata) {
		m.Reclaimed = m.Reclaimed[:min(len(m.Reclaimed), op.(store.TrimReclaimed).Keep)]
	})},
	{"SetField to null drops the field", "Operations/SetField to null keeps the field", asked(func(_ *faultyStore, c *store.Change) {
		if op, ok := c.Op.(store.SetField); ok && strings.TrimSpace(string(op.Value)) == "null" {
			c.Op = store.ClearField{Field: op.Field}
		}
	})},
	{"ClearField drops all", "Operations/ClearField drops one unknown field", edited("clear_field", func(_ store.Op, m *store.Metadata) { m.Extra = nil })},
	{"UnlinkPeers needs both Pods", "Links/of which one Pod is gone are removed from the other", asked(func(_ *faultyStore, c *store.Change) {
		if _, ok := c.Op.(store.RemovePeer); ok && c.If == store.SkipMissing {
			c.If = store.Exists
		}
	})},
	{"the third of several changes is left out", "Random/operations agree with the model", func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			if _, err := store.Prepare(changes); err == nil && len(changes) > 2 && changes[2].If == (store.Condition{}) {
				changes = slices.Clone(changes)
				changes[2].Op, changes[2].If = nil, store.SkipMissing
			}
			return f.ableStore.Apply(ctx, changes, opts)
		}
	}},
	{"a part does not say that it is one", "Parts/have all but what was left out, and say so", func(f *faultyStore) {
		f.readPart = func(ctx context.Context, name string, opts store.ReadOptions) (*store.Metadata, error) {
			m, err := f.ableStore.ReadPart(ctx, name, opts)
			if m != nil {
				m.Omitted = store.ReadOptions{}
			}
			return m, err
		}
	}},
	{"all gives whole Pods where the history was not wanted", "Parts/have all but what was left out, and say so", func(f *faultyStore) {
		f.all = func(ctx context.Context, opts store.ReadOptions) iter.Seq2[*store.Metadata, error] {
			opts.OmitReclaimed = false
			return f.ableStore.All(ctx, opts)
		}
	}},
	{"what was read in part is put", "Parts/are written by no method", asked(func(_ *faultyStore, c *store.Change) {
		if op, ok := c.Op.(store.Put); ok {
			m := op.Metadata.Clone()
			m.Omitted = store.ReadOptions{}
			c.Op = store.Put{Metadata: m}
		}
	})},
	{"what was read in part is written by an edit", "Parts/are written by no method", wrapEdit(func(m *store.Metadata, edit editFunc) error {
		err := edit(m)
		m.Omitted = store.ReadOptions{}
		return err
	})},
	{"a history loses what is beyond 256", "History/that is long grows, is trimmed and is left alone", edited("reclaim", func(op store.Op, m *store.Metadata) {
		op.Apply(m)
		m.Reclaimed = m.Reclaimed[max(0, len(m.Reclaimed)-256):]
	})},
	{"trimming forgets to drop one of many", "History/of any length goes through any sequence of changes", edited("trim_reclaimed", func(op store.Op, m *store.Metadata) {
		if keep := op.(store.TrimReclaimed).Keep; len(m.Reclaimed) > 64 && keep > 0 {
			m.TrimReclaimed(keep + 1)
		} else {
			op.Apply(m)
		}
	})},
	{"a history outlives its Pod", "History/that is long is put, replaced and deleted with the Pod", func(f *faultyStore) {
		left := map[string][]store.ReclaimedChild{}
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			for _, c := range changes {
				if m, err := f.ableStore.Read(ctx, c.Pod); err == nil && len(m.Reclaimed) > 256 {
					left[c.Pod] = m.Reclaimed
				}
			}
			applied, err := f.ableStore.Apply(ctx, changes, opts)
			for pod, history := range left {
				f.poke(pod, func(m *store.Metadata) {
					if len(m.Reclaimed) == 0 && len(m.Peers) == 1 {
						m.Reclaimed = history
					}
				})
			}
			return applied, err
		}
	}},
	{"changes beside a damaged Pod are made", "Damage/is ErrCorrupt for an Apply to several, which names the Pod and changes nothing", func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			applied, err := f.ableStore.Apply(ctx, changes, opts)
			if errors.Is(err, store.ErrCorrupt) {
				for _, c := range changes {
					_, _ = f.ableStore.Apply(ctx, []store.Change{c}, nil)
				}
			}
			return applied, err
		}
	}},
	{"a damaged Pod counts as missing", "Damage/leaves the Pod one that exists", func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			if changes[0].If == store.Missing && f.damaged[changes[0].Pod] != nil {
				delete(f.pods, changes[0].Pod)
				delete(f.damaged, changes[0].Pod)
			}
			return f.ableStore.Apply(ctx, changes, opts)
		}
	}},
	{"an operation on a damaged Pod begins anew", "Damage/is ErrCorrupt for an operation that needs what is stored, and is never half repaired", func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			if _, ok := changes[0].Op.(store.SetPeers); ok && f.damaged["b"] != nil {
				delete(f.pods, "b")
				delete(f.damaged, "b")
			}
			return f.ableStore.Apply(ctx, changes, opts)
		}
	}},
	{"a damaged Pod cannot be put under a condition", "Damage/is healed or removed by an Apply that begins with that", func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			if err := f.damaged[changes[0].Pod]; err != nil && changes[0].If != (store.Condition{}) {
				return nil, err
			}
			return f.ableStore.Apply(ctx, changes, opts)
		}
	}},
	{"a damaged Pod cannot be removed", "Damage/does not keep a Pod from being removed", func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			if err := f.damaged[changes[0].Pod]; err != nil && changes[0].Op == (store.Remove{}) {
				return nil, err
			}
			return f.ableStore.Apply(ctx, changes, opts)
		}
	}},
}
