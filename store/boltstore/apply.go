package boltstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"podstore/store"
	"podstore/store/internal/codec"
)

// An Apply has three parts. First the caller encodes and seals what the operations set.
// Then the leader (group.go) reads what the operations and conditions need and runs the
// rules (stage.go), finds out what differs (plan.go), and puts it into the transaction
// (put.go). After the commit (commit.go) the caller builds its result.

// Apply makes changes: see [store.MetadataStore]. It reads and writes only what the
// operations and conditions name, so it does not notice damage elsewhere in a Pod. Each
// Pod keeps the IDs of the last 16 requests with an ID that changed it. A request that
// deleted a Pod, or that changed only Pods it does not name, as Remove of a missing Pod
// does, leaves no Pod to keep its ID: the file keeps the last 64 of these. Once a request
// with Resent was answered, a sending of it that arrives later is not made any more.
// [store.Remove] looks at every Pod of the file.
func (s *Store) Apply(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
	var a application
	if opts != nil {
		a.opts = *opts
	}
	var err error
	if a.changes, err = store.Prepare(changes); err != nil {
		return nil, err
	}
	if err := a.seal(); err != nil {
		return nil, err
	}
	removed := removedPods(a.changes)
	if len(removed) > 0 {
		defer s.changes.keep()()
	}
	for err = errLogTooShort; err == errLogTooShort; {
		if len(removed) > 0 {
			if a.referrers, err = s.findReferrers(removed); err != nil {
				return nil, err
			}
		}
		err = s.submit(ctx, "apply", changes[0].Pod, a.run)
	}
	if err != nil {
		return nil, err
	}
	return a.results()
}

func removedPods(changes []store.Change) (names []string) {
	for _, c := range changes {
		if _, ok := c.Op.(store.Remove); ok {
			names = append(names, c.Pod)
		}
	}
	return names
}

// application is one Apply.
type application struct {
	changes   []store.Change
	opts      store.ApplyOptions
	sum       uint32                     // checksum of the changes, if they have an ID
	sealed    []*[store.NumFields][]byte // by change: the values that it sets
	referrers *referrers                 // of the removed Pods
	applied   []store.Applied
	pods      []*rawPod // by change, if the caller wants metadata
}

var encoders = sync.Pool{New: func() any { return codec.NewEncoder() }}

// seal encodes the values that operations set without reading the Pod.
func (a *application) seal() error {
	e := encoders.Get().(*codec.Encoder)
	defer encoders.Put(e)
	a.sealed = make([]*[store.NumFields][]byte, len(a.changes))
	for i, c := range a.changes {
		var set *store.Metadata
		switch op := c.Op.(type) {
		case store.Put:
			set = op.Metadata
		case store.SetActive, store.SetSegment, store.SetChildren, store.SetPeers:
			set = &store.Metadata{}
			op.Apply(set)
		default:
			continue
		}
		fields := c.Op.Touches() &^ store.Fields(store.FieldReclaimed)
		values := new([store.NumFields][]byte)
		if err := sealFields(e, set, c.Pod, fields, values); err != nil {
			return err
		}
		a.sealed[i] = values
	}
	if a.opts.ID != (store.RequestID{}) {
		a.sum = codec.ChangesSum(a.changes)
	}
	return nil
}

// run is the leader's part.
func (a *application) run(g *txn, r *request) error {
	err := a.make(g)
	if a.opts.Resent && a.opts.ID != (store.RequestID{}) {
		if g.s.resent.put(a.opts.ID, answer{a.sum, err, slices.Clone(a.applied)}) {
			r.answered = a.opts.ID
		}
	}
	return err
}

func (a *application) make(g *txn) error {
	st := g.stage()
	defer st.clear()
	if r := a.referrers; r != nil {
		var ok bool
		if r.since, ok = g.s.changes.since(r.place, func(string) bool { return true }); !ok {
			return errLogTooShort // too many Pods changed since the search: search again
		}
	}
	for _, c := range a.changes {
		p, err := st.pod(c.Pod)
		if err != nil {
			return inOp(c.Op, err)
		}
		p.named, p.asked = true, a.opts.Metadata
	}
	if a.opts.ID != (store.RequestID{}) {
		if made, err := a.madeBefore(g, st); made || err != nil {
			return err
		}
	}
	for i, c := range a.changes {
		if err := st.change(c, a.sealed[i], a.referrers); err != nil {
			return inOp(c.Op, err)
		}
	}
	if err := st.put(codec.MadeID{ID: a.opts.ID, Changes: a.sum}); err != nil {
		return err
	}
	a.take(st)
	return nil
}

// take keeps the results.
func (a *application) take(st *staging) {
	a.applied = make([]store.Applied, len(a.changes))
	if a.opts.Metadata {
		a.pods = make([]*rawPod, len(a.changes))
	}
	for i, c := range a.changes {
		p := st.find(c.Pod)
		a.applied[i] = store.Applied{Pod: c.Pod, Version: p.version}
		if a.opts.Metadata {
			a.pods[i] = p.raw
		}
	}
}

// madeBefore looks for the request's ID among the changes that were made. If it finds
// the ID, it keeps the results of that time.
func (a *application) madeBefore(g *txn, st *staging) (bool, error) {
	o := &a.opts
	deleted, err := g.deleted()
	if err != nil {
		return false, err
	}
	found := codec.FindID(deleted.ids, o.ID)
	lost := o.Seen > g.s.highest || deleted.floor > o.Seen // someone put an older file back
	for _, p := range st.order {
		if id := codec.FindID(p.stamp.IDs, o.ID); id != nil {
			found = id
		}
		lost = lost || p.there && p.stamp.Floor > o.Seen || !p.there && deleted.last > o.Seen
	}
	if found == nil {
		if was, ok := g.s.resent.get(o.ID); ok {
			return true, a.repeat(was)
		}
		if lost && o.Resent {
			return false, a.fail(store.ErrUnknown, "the store keeps no request IDs from so far back; read, and decide whether to ask again")
		}
		return false, nil
	}
	if found.Changes != a.sum {
		return false, a.fail(store.ErrInvalid, otherChanges)
	}
	for _, p := range st.order {
		id := codec.FindID(p.stamp.IDs, o.ID)
		switch {
		case !p.there || a.deletes(p.name), id == nil && p.stamp.Number > found.Number:
			// The Pod is gone, or a later request created it.
			p.raw = nil
			p.version = store.Version{Revision: store.Revision{Number: found.Number}}
		case id != nil && id.Number != p.stamp.Number: // others changed it later
			p.version = store.Version{Revision: store.Revision{Number: id.Number, Digest: uint64(id.Digest)<<32 | uint64(p.nameSum)}}
		case id == nil && p.stamp.Number > found.Number: // others created it again later
			p.version = store.Version{Revision: store.Revision{Number: found.Number}}
		case a.opts.Metadata:
			err := guard(func() error {
				err := p.checkUnread(g.tx, p.have)
				if err == nil {
					p.raw = p.copyNext()
				}
				return err
			})
			if err != nil {
				return false, damaged("apply", p.name, err)
			}
		}
	}
	a.take(st)
	return true, nil
}

const otherChanges = "other changes were made under the same ID"

// repeat gives a late sending the answer that a later one got.
func (a *application) repeat(was answer) error {
	switch {
	case was.changes != a.sum:
		return a.fail(store.ErrInvalid, otherChanges)
	case was.err != nil:
		return was.refusal()
	case was.applied == nil:
		return a.fail(store.ErrUnknown, "the request was sent again meanwhile, and that was answered; nothing is changed now")
	}
	a.applied = slices.Clone(was.applied)
	return nil
}

func (a *application) fail(kind error, reason string) error {
	return &store.Error{Op: "apply", Pod: a.changes[0].Pod, Kind: kind, Err: errors.New(reason)}
}

// deletes reports whether a Pod is deleted after the changes.
func (a *application) deletes(pod string) (gone bool) {
	for _, c := range a.changes {
		if c.Pod != pod || c.Op == nil {
			continue
		}
		switch c.Op.(type) {
		case store.Delete, store.Remove:
			gone = true
		default:
			gone = false
		}
	}
	return gone
}

func (a *application) results() ([]store.Applied, error) {
	built := make(map[*rawPod]*store.Metadata, len(a.pods))
	for i, raw := range a.pods {
		if raw == nil {
			continue
		}
		m := built[raw]
		if m == nil {
			var err error
			if m, err = raw.metadata(); err != nil {
				// Not ErrCorrupt, which promises that nothing was changed.
				return nil, &store.Error{Op: "apply", Pod: a.changes[i].Pod, Err: fmt.Errorf("the changes were made, but the Pod cannot be decoded: %w", err)}
			}
			built[raw] = m
		}
		a.applied[i].Metadata = m
	}
	return a.applied, nil
}

// inOp adds the operation to an error that names none.
func inOp(op store.Op, err error) error {
	if op == nil {
		return withOp("check", err)
	}
	return withOp(strings.ReplaceAll(op.Name(), "_", " "), err)
}

// change applies one change to the staged Pods.
func (st *staging) change(c store.Change, sealed *[store.NumFields][]byte, referrers *referrers) error {
	p := st.find(c.Pod)
	if !replaces(c) {
		if p.damage != nil && p.dirty != store.AllFields {
			return p.damage
		}
		if !p.exists && !p.deleted && st.g.s.recordErr != nil {
			return st.g.s.maybeLost("", c.Pod)
		}
	}
	do, err := c.If.Check(c.Pod, p.exists, p.atStart())
	if err != nil || !do {
		return err
	}
	switch op := c.Op.(type) {
	case nil:
		return nil
	case store.Delete:
		p.delete()
		return nil
	case store.Remove:
		p.delete()
		return st.forget(c.Pod, referrers)
	default:
		err = guard(func() error { return p.do(op, sealed) })
	}
	if err != nil {
		return damaged("", c.Pod, err)
	}
	return nil
}

// replaces reports whether a change works without the Pod's old values.
func replaces(c store.Change) bool {
	if c.If.NeedsRevision() {
		return false
	}
	switch c.Op.(type) {
	case store.Put, store.Delete, store.Remove:
		return true
	}
	return false
}
