package etcdstore

import (
	"context"
	"errors"
	"slices"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"podstore/store"
)

// references are the Pods that referred to others at a revision.
type references struct {
	rev   int64
	names []string
}

// referrers looks through all Pods for those that refer to a Pod in to. It skips
// damaged ones, because nobody can tell.
func (s *Store) referrers(ctx context.Context, to []string) (*references, error) {
	m, _, err := s.now().txn(ctx, opApply, "", nil)
	if err != nil {
		return nil, err
	}
	refs := &references{rev: m.rev}
	for m, err := range (view{s: s, rev: m.rev}).all(ctx, store.ReadOptions{OmitManifest: true, OmitReclaimed: true}) {
		switch {
		case err == nil:
			if slices.ContainsFunc(to, m.RefersTo) {
				refs.names = append(refs.names, m.PodName)
			}
		case errors.Is(err, rpctypes.ErrCompacted):
			return s.referrers(ctx, to)
		case !errors.Is(err, store.ErrCorrupt):
			return nil, err
		}
	}
	return refs, nil
}

// with returns names and, behind them, the other referring Pods.
func (r *references) with(names []string) []string {
	all := slices.Clone(names)
	for _, name := range r.names {
		if !slices.Contains(names, name) {
			all = append(all, name)
		}
	}
	return all
}

// older reports whether others may have come to refer to a removed Pod since the
// search: by a link, which changes the removed Pod, or because it exists, which its key
// held shows.
func (r *references) older(read *moment, removes []string) bool {
	return slices.ContainsFunc(read.pods, func(p *pod) bool {
		return slices.Contains(removes, p.name) && max(p.rev, p.held) > r.rev
	})
}
