package boltstore

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"podstore/store"
	"podstore/store/internal/codec"
)

// prepare plans the writes of one Pod and reports whether there are any. After prepare
// only bbolt itself can fail.
func (p *staged) prepare(g *txn) (changed bool, err error) {
	switch {
	case !p.exists && !p.there:
		return false, nil
	case !p.exists:
		return true, g.checkRemovable(p.name)
	case p.damage != nil && p.dirty != store.AllFields:
		return false, nil // damaged, and no change replaces it
	}
	if changed, err = p.plan(g); err != nil {
		return false, asDamage(p.name, err)
	}
	if p.damage != nil || p.history.remove {
		if err := g.checkRemovable(p.name); err != nil {
			return false, err
		}
	}
	if p.asked && p.damage == nil {
		if err := p.checkUnread(g.tx, p.have); err != nil {
			return false, asDamage(p.name, err)
		}
	}
	return changed || !p.there || p.damage != nil, nil
}

// plan finds what differs from the stored values and reports whether anything does.
func (p *staged) plan(g *txn) (bool, error) {
	if p.dirty != 0 || p.drop > 0 || len(p.add) > 0 {
		p.dirty |= p.promoted
	}
	p.history = historyPlan{p: &p.stored, enc: g.s.enc, count: p.stamp.HistoryCount, sum: p.stamp.HistorySum}
	if p.damage != nil {
		p.history.count, p.history.sum = 0, 0
	}
	changed := false
	var fresh [store.NumFields][]byte
	for f := range store.Field(store.NumFields) {
		switch {
		case !p.dirty.Has(f) || f == store.FieldReclaimed:
			continue
		case p.isSealed.Has(f):
			fresh[f] = p.sealed[f]
		case f == store.FieldManifest && codec.SameBinary(codec.Payload(p.values[f]), p.m.Manifest):
			continue // by far the largest field, and nearly always unchanged
		default:
			if err := sealFields(g.s.enc, p.m, p.name, store.Fields(f), &fresh); err != nil {
				return false, err
			}
		}
		if !bytes.Equal(fresh[f], p.values[f]) {
			p.next[f], changed = fresh[f], true
		}
	}
	if err := p.planHistory(g); err != nil {
		return false, err
	}
	if p.history.tooLarge {
		return false, &store.Error{Pod: p.name, Kind: store.ErrInvalid,
			Err: fmt.Errorf("an entry of the history has more than %d bytes as stored, which is the limit", codec.MaxPayload)}
	}
	return changed || !p.history.nothing() || !bytes.Equal(p.next[codec.Reclaimed], p.values[codec.Reclaimed]), nil
}

// planHistory decides whether the history is one value or chunks, and what to write.
func (p *staged) planHistory(g *txn) error {
	h := &p.history
	if !p.dirty.Has(store.FieldReclaimed) {
		if p.drop > 0 || len(p.add) > 0 {
			return h.change(g.tx, p.drop, p.add)
		}
		return nil
	}
	list := p.m.Reclaimed
	if p.chunks && p.damage == nil {
		was, err := p.stored.history(g.tx)
		switch {
		case err != nil && p.dirty != store.AllFields:
			return damaged("", p.name, err)
		case err != nil: // the change replaces the whole Pod, damage included
		case len(was) == len(list) && beginsWith(list, was):
			return nil
		case len(was) > 0 && beginsWith(list, was):
			return h.change(g.tx, 0, list[len(was):])
		}
	}
	if len(list) <= inlineHistory || !p.chunks && p.values[codec.Reclaimed] != nil {
		var fresh [store.NumFields][]byte
		if err := sealFields(g.s.enc, p.m, p.name, store.Fields(store.FieldReclaimed), &fresh); err != nil {
			return err
		}
		if bytes.Equal(fresh[codec.Reclaimed], p.values[codec.Reclaimed]) && !p.chunks {
			return nil
		}
		if len(list) <= inlineHistory {
			h.replace(nil)
			p.next[codec.Reclaimed] = fresh[codec.Reclaimed]
			return nil
		}
	}
	p.next[codec.Reclaimed] = nil
	h.replace(list)
	return nil
}

// checkRemovable checks that bbolt can free the pages of a Pod, which may be damaged,
// without freeing those of others.
func (g *txn) checkRemovable(name string) error {
	err := guard(func() error {
		b, err := g.s.enter(g.tx, name)
		if err != nil {
			return err
		}
		return b.ForEachBucket(func(k []byte) error {
			if !bytes.Equal(k, historyKey) {
				return fmt.Errorf("it has a bucket %.32q inside", k)
			}
			return checkHistory(g.tx, b.Bucket(k), false)
		})
	})
	if err != nil {
		return damaged("", name, &pageDamage{fmt.Errorf("its pages are damaged and cannot be freed: %w", err)})
	}
	return nil
}

func (p *staged) stampNext(g *txn, id codec.MadeID, now time.Time) {
	if !p.exists {
		p.version = store.Version{Revision: store.Revision{Number: id.Number}}
		return
	}
	var was *store.Metadata
	p.nextStamp = codec.Stamp{}
	switch {
	case !p.there:
		p.nextStamp.Floor = g.deletions.last
	case p.damage != nil:
		p.nextStamp.Floor = id.Number - 1
	default:
		was = &store.Metadata{Version: p.stored.version()}
		p.nextStamp = p.stamp
		p.nextStamp.IDs = slices.Clone(p.stamp.IDs)
		if n := len(p.stamp.IDs); n > 0 && p.stamp.IDs[n-1].Number == p.stamp.Number {
			p.nextStamp.IDs[n-1].Digest = uint32(p.digest >> 32)
		}
	}
	s := &p.nextStamp
	s.Number = id.Number
	s.SetTimes(store.NextVersion(was, p.puts, p.name, now))
	s.HistoryCount, s.HistorySum = p.history.count, p.history.sum
	if id.ID != (store.RequestID{}) {
		s.IDs = codec.AddID(s.IDs, &s.Floor, id, codec.MaxIDs)
	}
	p.next[codec.StampKey] = codec.Seal(p.nameSum, codec.StampKey, g.s.enc.Stamp(s))
	p.version = s.Version(digest(p.nameSum, &p.next))
}

func sealFields(e *codec.Encoder, m *store.Metadata, pod string, fields store.FieldSet, values *[store.NumFields][]byte) error {
	nameSum := codec.NameSum([]byte(pod))
	for f := range store.Field(store.NumFields) {
		if !fields.Has(f) {
			continue
		}
		payload := e.Encode(m, int(f))
		if len(payload) > codec.MaxPayload {
			return &store.Error{Op: "apply", Pod: pod, Kind: store.ErrInvalid,
				Err: fmt.Errorf("%s has %d bytes as stored, the limit is %d", codec.SubKeys[f], len(payload), codec.MaxPayload)}
		}
		values[f] = nil
		if payload != nil {
			values[f] = codec.Seal(nameSum, int(f), payload)
		}
	}
	return nil
}
