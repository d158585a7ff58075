package etcdstore

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"podstore/store"
	"podstore/store/internal/codec"
)

// found is an ID and the Pod that had it.
type found struct {
	*codec.MadeID
	pod string
}

// madeBefore looks for the ID of an Apply: in the Pods read, and, if an earlier request
// may have been made, in everything that was there since then. It returns nil if the
// changes were not made.
func (a *application) madeBefore(ctx context.Context, read *moment) (*found, error) {
	if a.opts.ID == (store.RequestID{}) && a.unclear == nil {
		return nil, nil
	}
	since := a.since
	if a.opts.Resent {
		if a.opts.Seen > uint64(read.rev) {
			return nil, a.failure(store.ErrUnknown, errors.New("the store is older than the caller has seen it; read, and decide whether to ask again"))
		}
		since = min(since, int64(a.opts.Seen))
	}
	search := a.unclear != nil || a.opts.Resent
	for _, p := range read.pods[:len(a.names)] {
		made, err := a.find(ctx, p, since, search)
		if err != nil {
			return nil, err
		}
		if made == nil {
			continue
		}
		if made.Changes != a.id.Changes {
			return nil, a.failure(store.ErrInvalid, errors.New("other changes were made under the same ID"))
		}
		return &found{made, p.name}, nil
	}
	return nil, nil
}

// find looks for the ID at one Pod, and, with search, in the Pod's history since a
// revision.
func (a *application) find(ctx context.Context, p *pod, since int64, search bool) (*codec.MadeID, error) {
	for {
		ids, before := p.ids()
		if made := codec.FindID(ids, a.id.ID); made != nil {
			return made, nil
		}
		if before <= since || !search {
			return nil, nil
		}
		at, err := view{s: a.s, rev: before}.fetch(ctx, opApply, []string{p.name}, store.ReadOptions{OmitManifest: true, OmitReclaimed: true}, true)
		if errors.Is(err, rpctypes.ErrCompacted) {
			return nil, a.failure(store.ErrUnknown, errors.New("the Pod has changed too often since to keep the IDs of all requests, and etcd has compacted the history that would show them; read, and decide whether to ask again"))
		}
		if err != nil {
			return nil, err
		}
		p = at.pods[0]
	}
}

// ids returns the IDs kept with a Pod, and the last revision that they do not cover.
func (p *pod) ids() (ids []codec.MadeID, before int64) {
	ids = p.bookkept.ids
	if p.record == nil {
		return ids, p.bookkept.rev - 1
	}
	r, err := parseRecord(p.nameSum, p.record, p.rev)
	if err != nil {
		return ids, p.rev - 1
	}
	return append(r.stamp.IDs, ids...), int64(r.stamp.Floor)
}

// again returns the results of changes made before. For a Pod that others changed
// since, it returns the revision, as far as that is kept, and no metadata. If this
// Apply itself lost its answer, it returns the Pods of that time, if etcd still has
// them.
func (a *application) again(ctx context.Context, read *moment, made *found) ([]store.Applied, error) {
	if a.unclear != nil {
		at, err := view{s: a.s, rev: int64(made.Number)}.fetch(ctx, opApply, a.names, a.omit, true)
		switch {
		case err == nil:
			read = at
		case ctx.Err() != nil:
			return nil, err
		}
	}
	results := make(map[string]store.Applied, len(a.names))
	for _, p := range read.pods[:len(a.names)] {
		result := store.Applied{Pod: p.name, Version: store.Version{Revision: store.Revision{Number: made.Number}}}
		ids, _ := p.ids()
		own := codec.FindID(ids, a.id.ID)
		if p.name == made.pod {
			own = made.MadeID
		}
		m, _, err := p.parse()
		switch {
		case err != nil:
		case uint64(p.rev) <= made.Number:
			if result.Version = m.Version; a.opts.Metadata {
				result.Metadata = m
			}
		case own != nil && own.Digest != 0:
			result.Version.Revision.Digest = digest(own.Digest, p.nameSum)
		}
		results[p.name] = result
	}
	applied := make([]store.Applied, len(a.changes))
	for i, c := range a.changes {
		applied[i] = results[c.Pod]
	}
	return applied, nil
}
