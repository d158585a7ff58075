package storetest

import (
	"context"
	"errors"
	"slices"

	"podstore/store"
)

// inTwoSteps first checks conditions of one kind, and later makes the changes without
// them.
func inTwoSteps(kind func(c store.Condition) bool) func(f *faultyStore) {
	return func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			changes = slices.Clone(changes)
			for i, c := range changes {
				if !kind(c.If) {
					continue
				}
				if _, err := f.ableStore.Apply(ctx, []store.Change{{Pod: c.Pod, If: c.If}}, nil); err != nil {
					return nil, err
				}
				if changes[i].If = (store.Condition{}); c.Op == nil {
					changes[i].If = store.SkipMissing
				}
			}
			letOthersRun()
			return f.ableStore.Apply(ctx, changes, opts)
		}
	}
}

func without(kinds ...store.Condition) func(f *faultyStore) {
	return asked(func(_ *faultyStore, c *store.Change) {
		if c.Op != nil && slices.Contains(kinds, c.If) {
			c.If = store.Condition{}
		}
	})
}

var conditionMutants = []mutant{
	{"Exists is ignored", "Conditions/Exists is met by a Pod that exists", without(store.Exists)},
	{"Missing is ignored", "Conditions/Missing is met where there is no such Pod", without(store.Missing)},
	{"Exists fails with another error", "Conditions/Exists is met by a Pod that exists", func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			applied, err := f.ableStore.Apply(ctx, changes, opts)
			if errors.Is(err, store.ErrNotFound) {
				err = &store.Error{Pod: changes[0].Pod, Kind: store.ErrConflict}
			}
			return applied, err
		}
	}},
	{"a change that is left out makes the Pod", "Conditions/SkipMissing leaves out the change of a missing Pod and makes the others", without(store.SkipMissing)},
	{"a change that is left out leaves out the others", "Conditions/SkipMissing leaves out the change of a missing Pod and makes the others", func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			for _, c := range changes {
				if c.If == store.SkipMissing && f.pods[c.Pod] == nil {
					return f.applied(ctx, changes, opts, nil)
				}
			}
			return f.ableStore.Apply(ctx, changes, opts)
		}
	}},
	{"revisions are ignored", "Conditions/AtRevision is met by a Pod at that revision", asked(func(_ *faultyStore, c *store.Change) {
		if c.If.NeedsRevision() {
			c.If = store.Exists
		}
	})},
	{"a revision is not looked at where nothing would change", "Conditions/AtRevision is met by a Pod at that revision", asked(func(f *faultyStore, c *store.Change) {
		if op, ok := c.Op.(store.AddPeer); ok && c.If.NeedsRevision() && f.pods[c.Pod] != nil && f.pods[c.Pod].HasPeer(op.PodName) {
			c.If = store.Condition{}
		}
	})},
	{"a Pod that is gone is at any revision", "Conditions/AtRevision is not met by a Pod that is gone", asked(func(f *faultyStore, c *store.Change) {
		if c.If.NeedsRevision() && f.pods[c.Pod] == nil {
			c.If = store.Missing
		}
	})},
	{"revisions are judged in order", "Conditions/AtRevision is judged at the start", func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			for i, c := range changes[1:] {
				if c.If.NeedsRevision() && changes[i].Op != nil {
					return nil, &store.Error{Pod: c.Pod, Kind: store.ErrConflict}
				}
			}
			return f.ableStore.Apply(ctx, changes, opts)
		}
	}},
	{"conditions are judged at the start", "Conditions/Exists, Missing and SkipMissing are judged in order", func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			changes = slices.Clone(changes)
			for i, c := range changes {
				do, err := c.If.Check(c.Pod, f.pods[c.Pod] != nil, store.Revision{})
				switch {
				case c.If.NeedsRevision():
				case err != nil:
					return nil, err
				case !do || c.Op == nil:
					changes[i] = store.Change{Pod: c.Pod, If: store.SkipMissing}
				default:
					changes[i].If = store.Condition{}
				}
			}
			return f.ableStore.Apply(ctx, changes, opts)
		}
	}},
	{"revisions are judged before other conditions", "Conditions/the first that is not met gives the error, which names the Pod", func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			for _, c := range changes {
				if c.If.NeedsRevision() {
					if _, err := f.ableStore.Apply(ctx, []store.Change{{Pod: c.Pod, If: c.If}}, nil); err != nil {
						return nil, err
					}
				}
			}
			return f.ableStore.Apply(ctx, changes, opts)
		}
	}},
	{"a condition that is not met does not name the Pod", "Conditions/the first that is not met gives the error, which names the Pod", func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			applied, err := f.ableStore.Apply(ctx, changes, opts)
			if errors.Is(err, store.ErrConflict) {
				err = store.ErrConflict
			}
			return applied, err
		}
	}},
	{"a condition on another Pod is not looked at", "Conditions/on one Pod guard the change of another", asked(func(_ *faultyStore, c *store.Change) {
		if c.Op == nil && c.If == store.Exists {
			c.If = store.SkipMissing
		}
	})},
	{"the revision of one Pod is enough", "Conditions/at revisions of several Pods are met or nothing is changed", func(f *faultyStore) {
		f.apply = func(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
			changes = slices.Clone(changes)
			for i := range changes {
				if changes[i].If.NeedsRevision() && i > 0 {
					changes[i].If = store.Exists
				}
			}
			return f.ableStore.Apply(ctx, changes, opts)
		}
	}},
	{"Missing is judged some time before", "Concurrency/of many that would create a Pod one does", inTwoSteps(func(c store.Condition) bool { return c == store.Missing })},
	{"a revision is judged some time before", "Concurrency/of many that name one revision one gets it", inTwoSteps(store.Condition.NeedsRevision)},
	{"Exists is judged some time before", "Concurrency/no link or child under a condition outlives a Pod that is removed", inTwoSteps(func(c store.Condition) bool { return c == store.Exists })},
}
