package linear

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"podstore/store"
)

// caller makes one call after another.
type caller struct {
	*history
	client int
	s      store.MetadataStore
	r      *rand.Rand
	marks  int
	last   []store.Revision // by Pod: the last that a call returned
	seen   uint64           // highest number among them
}

func (c *caller) fail(what call, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = fmt.Errorf("%v gave %w", what, err)
	}
}

func (c *caller) make(ctx context.Context, what call) {
	id := store.NewRequestID()
	begun, seen := c.now(), c.seen
	out, err := c.try(ctx, what, id, false, seen)
	for tries := 0; out.unknown && what.id != 0 && tries < 20; tries++ {
		time.Sleep(time.Duration(tries) * c.Call)
		again, err := c.try(context.WithoutCancel(ctx), what, id, true, seen)
		if err == nil {
			out = again // otherwise this attempt did nothing, and the first stays unknown
		}
	}
	ended := c.now()
	if out.unknown {
		ended = math.MaxInt64
	}
	switch {
	case err == nil:
		c.record(what, begun, ended, out)
	case !beforeBegun(err):
		c.fail(what, err)
	}
	if err == nil && !out.unknown && out.err == nil && what.id != 0 && c.r.IntN(3) == 0 {
		begun := c.now()
		if out, err := c.try(ctx, what, id, true, seen); err == nil && !out.unknown {
			c.record(what, begun, c.now(), out)
		} else if err != nil && !beforeBegun(err) {
			c.fail(what, err)
		}
	}
}

func (c *caller) record(what call, begun, ended int64, out result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done = append(c.done, porcupine.Operation{ClientId: c.client, Input: what, Call: begun, Output: out, Return: ended})
}

// beforeBegun reports whether an error means that the call did nothing, whatever the
// store held.
func beforeBegun(err error) bool {
	for _, kind := range []error{context.Canceled, context.DeadlineExceeded, store.ErrUnavailable, store.ErrUnusable, store.ErrForbidden} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// try makes a call once. An error means that the call did nothing.
func (c *caller) try(ctx context.Context, what call, id store.RequestID, resent bool, seen uint64) (out result, err error) {
	switch what.kind {
	case read:
		var m *store.Metadata
		if m, err = c.s.Read(ctx, c.name(what.pods[0])); err == nil {
			out.pods = []pod{c.given(what.pods[0], m)}
		}
		if errors.Is(err, store.ErrNotFound) {
			return result{err: store.ErrNotFound}, nil
		}
	case list:
		var names []string
		names, err = c.s.List(ctx)
		for _, name := range names {
			if i := c.index(name); i >= 0 {
				out.names |= 1 << i
			}
		}
	case moment:
		err = c.edit(ctx, what.pods, &out, func(*store.Metadata) {})
		for _, kind := range []error{store.ErrConflict, store.ErrUnknown, store.ErrNoSpace} {
			if errors.Is(err, kind) {
				return out, context.DeadlineExceeded // it got no turn, or others' changes failed together with it
			}
		}
	case edit:
		add := func(m *store.Metadata) {
			m.Reclaimed = append(m.Reclaimed, store.ReclaimedChild{PodName: what.mark})
		}
		if what.creates {
			var m *store.Metadata
			if m, err = c.s.Update(ctx, c.name(what.pods[0]), func(m *store.Metadata) error { add(m); return nil }); err == nil {
				out.pods = []pod{c.given(what.pods[0], m)}
			}
		} else {
			err = c.edit(ctx, what.pods, &out, add)
		}
		if errors.Is(err, store.ErrConflict) {
			return out, context.DeadlineExceeded
		}
	case apply:
		opts := &store.ApplyOptions{Metadata: what.asked}
		if what.id != 0 {
			opts.ID, opts.Resent, opts.Seen = id, resent, seen
		}
		var applied []store.Applied
		applied, err = c.s.Apply(ctx, c.named(what.changes), opts)
		for _, a := range applied {
			i := c.index(a.Pod)
			out.revs = append(out.revs, a.Version.Revision)
			out.there = append(out.there, a.Metadata != nil)
			out.pods = append(out.pods, podOf(a.Metadata, c.index))
			if a.Version.Revision.Digest != 0 {
				c.last[i] = a.Version.Revision
			}
			c.seen = max(c.seen, a.Version.Revision.Number)
		}
		if c.Crowded && errors.Is(err, store.ErrConflict) {
			return out, context.DeadlineExceeded
		}
		for _, kind := range []error{store.ErrNotFound, store.ErrExists, store.ErrConflict} {
			if errors.Is(err, kind) && !errors.Is(err, store.ErrUnknown) {
				return result{err: kind}, nil
			}
		}
	}
	for _, kind := range []error{store.ErrUnknown, store.ErrUnusable, store.ErrNoSpace} {
		if what.kind >= apply && errors.Is(err, kind) {
			return result{unknown: true}, nil
		}
	}
	return out, err
}

// edit edits those Pods that exist.
func (c *caller) edit(ctx context.Context, pods []int, out *result, f func(*store.Metadata)) error {
	names := make([]string, len(pods))
	for k, i := range pods {
		names[k] = c.name(i)
	}
	got, err := store.UpdatePods(ctx, c.s, names, func(pods []*store.Metadata) error {
		for _, m := range pods {
			if m != nil {
				f(m)
			}
		}
		return nil
	})
	for k, m := range got {
		out.pods = append(out.pods, c.given(pods[k], m))
	}
	return err
}

// given keeps what the caller learns of Pod i.
func (c *caller) given(i int, m *store.Metadata) pod {
	p := podOf(m, c.index)
	if p.there {
		c.last[i] = p.rev
		c.seen = max(c.seen, p.rev.Number)
	}
	return p
}

// named returns changes with the names that the Pods have in the store.
func (c *caller) named(changes []store.Change) []store.Change {
	name := func(letter string) string { return c.prefix + letter }
	changes = slices.Clone(changes)
	for k := range changes {
		ch := &changes[k]
		ch.Pod = name(ch.Pod)
		switch op := ch.Op.(type) {
		case store.AddPeer:
			ch.Op = store.AddPeer{PodName: name(op.PodName)}
		case store.RemovePeer:
			ch.Op = store.RemovePeer{PodName: name(op.PodName)}
		case store.AddChild:
			ch.Op = store.AddChild{Child: store.SpawnedChild{PodName: name(op.Child.PodName)}}
		case store.RemoveChild:
			ch.Op = store.RemoveChild{PodName: name(op.PodName)}
		case store.Put:
			m := op.Metadata.Clone()
			m.PodName = ch.Pod
			ch.Op = store.Put{Metadata: m}
		}
	}
	return changes
}
