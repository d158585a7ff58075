package boltstore

import (
	"bytes"
	"slices"
	"time"

	"podstore/store"
	"podstore/store/internal/codec"
)

// put puts everything into the transaction. An error concerns only this request, except
// errFatal: then the whole transaction is lost.
func (st *staging) put(id codec.MadeID) error {
	var todo []*staged
	var err error
	names := false
	for _, p := range st.order {
		changed := false
		if err := guard(func() (err error) { changed, err = p.prepare(st.g); return err }); err != nil {
			return asDamage(p.name, err)
		}
		if changed {
			todo = append(todo, p)
			names = names || p.there != p.exists
		}
	}
	if names {
		if _, err = st.g.names(); err == nil {
			_, err = st.g.deleted()
		}
		if err != nil {
			return err
		}
	}
	// If only Pods that the request does not name have changed, the file keeps the ID:
	// nobody would find it in them.
	unnamed := id.ID != (store.RequestID{}) && len(todo) > 0 && !slices.ContainsFunc(todo, func(p *staged) bool { return p.named })
	if unnamed {
		if _, err = st.g.deleted(); err != nil {
			return err
		}
	}
	id.Number = st.g.number()
	now := time.Now()
	for _, p := range todo {
		p.stampNext(st.g, id, now)
	}
	err = guard(func() error {
		if len(todo) > 0 {
			st.g.changed = true
			st.g.highest = id.Number
			st.g.bulk(todo)
			if unnamed {
				st.g.deletions.note(id)
			}
		}
		for _, p := range todo {
			st.g.touched[p.name] = struct{}{}
			if err := p.put(st.g, id); err != nil {
				return err
			}
		}
		for _, p := range st.order {
			if p.asked && p.exists {
				p.raw = p.copyNext()
			}
		}
		return nil
	})
	if err != nil {
		st.g.fail(err)
		return errFatal
	}
	return nil
}

func (p *staged) put(g *txn, id codec.MadeID) error {
	if p.there && (!p.exists || p.damage != nil) {
		if err := g.tx.DeleteBucket([]byte(p.name)); err != nil {
			return err
		}
	}
	if !p.exists {
		g.record.remove([]byte(p.name))
		g.deletions.note(id)
		return nil
	}
	var err error
	switch {
	case !p.there:
		g.record.add([]byte(p.name))
		p.bucket, err = g.tx.CreateBucket([]byte(p.name))
	case p.damage != nil:
		p.bucket, err = g.tx.CreateBucket([]byte(p.name))
	}
	if err != nil {
		return err
	}
	for i := range p.next {
		switch {
		case p.next[i] != nil && bytes.Equal(p.next[i], p.values[i]), p.next[i] == nil && p.values[i] == nil:
			continue
		case p.next[i] == nil:
			err = p.bucket.Delete(codec.SubKeyBytes(i))
		default:
			if i == codec.Reclaimed {
				// The bucket of chunks has the same key: it must go first.
				if err = p.history.carryOut(p.bucket); err != nil {
					return err
				}
				p.history = historyPlan{}
			}
			err = p.bucket.Put(codec.SubKeyBytes(i), p.next[i])
		}
		if err != nil {
			return err
		}
	}
	if err := p.history.carryOut(p.bucket); err != nil {
		return err
	}
	return p.bucket.SetSequence(digest(p.nameSum, &p.next))
}

// size returns the number of bytes of the new values.
func (p *staged) size() (n int) {
	for i := range p.next {
		n += len(p.next[i])
	}
	return n
}

func (g *txn) bulk(todo []*staged) {
	creating, size := 0, 0
	for _, p := range todo {
		if !p.there {
			creating++
			size += p.size()
		}
	}
	if creating >= bulkCreates && size/creating <= inlineSize {
		g.tx.Cursor().Bucket().FillPercent = bulkFill
	}
}

// copyNext copies the Pod as the transaction leaves it.
func (p *staged) copyNext() *rawPod {
	return p.stored.copyAs(&p.next, p.nextStamp, p.version.Revision.Digest)
}
