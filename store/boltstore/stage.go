package boltstore

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
	"podstore/store/internal/codec"
)

// staging is what one request wants done. Nothing of it is in the transaction before
// all of it is known.
type staging struct {
	g     *txn
	order []*staged
	index map[string]*staged // of order, once that is long
}

// find returns a Pod that is staged, or nil.
func (st *staging) find(name string) *staged {
	if st.index != nil {
		return st.index[name]
	}
	for _, p := range st.order {
		if p.name == name {
			return p
		}
	}
	return nil
}

// manyPods is from how many Pods on staging has an index.
const manyPods = 8

func (st *staging) add(p *staged) {
	st.order = append(st.order, p)
	if len(st.order) == manyPods {
		st.index = make(map[string]*staged)
		for _, p := range st.order {
			st.index[p.name] = p
		}
	} else if st.index != nil {
		st.index[p.name] = p
	}
}

// staged is one Pod of a request.
type staged struct {
	stored
	there  bool  // in the transaction
	damage error // why it cannot be read
	asked  bool  // its metadata is wanted

	exists   bool // after the changes so far
	anew     bool // it was deleted by them
	m        *store.Metadata
	own      store.Metadata          // which m is, but after a Put
	have     store.FieldSet          // fields of m that are known
	dirty    store.FieldSet          // fields that the changes touched
	promoted store.FieldSet          // fields that are written with the first that is changed
	sealed   [store.NumFields][]byte // values of dirty fields
	isSealed store.FieldSet          // for which sealed is known
	drop     int                     // of a history in chunks, the oldest entries
	add      []store.ReclaimedChild  // to a history in chunks
	puts     []store.Change          // those that were made, which may tell times

	// How it is to be afterwards. Before plan, as it is.
	next      [codec.NumSubKeys][]byte
	nextStamp codec.Stamp
	history   historyPlan
	version   store.Version
	raw       *rawPod // where it is asked
}

// pod stages a Pod as it is.
func (st *staging) pod(name string) (*staged, error) {
	if p := st.find(name); p != nil {
		return p, nil
	}
	p := &staged{own: store.Metadata{PodName: name}}
	p.m = &p.own
	err := guard(func() error {
		_, changed := st.g.touched[name]
		if err := st.g.s.loadChanged(st.g.tx, name, &p.stored, changed); err != nil {
			return err
		}
		return p.promote()
	})
	switch {
	case err == nil:
		p.there, p.exists = true, true
		p.version = p.stored.version()
		p.next, p.nextStamp = p.values, p.stamp
	case errors.Is(err, errMissing):
		p.stored = stored{name: name, nameSum: codec.NameSum([]byte(name))}
	case errors.Is(err, store.ErrFormat):
		return nil, newer(name, err)
	default:
		p.stored = stored{name: name, nameSum: codec.NameSum([]byte(name))}
		p.there, p.exists = true, true
		p.damage = damaged("", name, err)
	}
	st.add(p)
	return p, nil
}

// change makes one change to what is staged.
func (st *staging) change(c store.Change, sealed *[store.NumFields][]byte, referrers *referrers) error {
	p := st.find(c.Pod)
	if !replaces(c) {
		if p.damage != nil && p.dirty != store.AllFields {
			return p.damage
		}
		if !p.exists && !p.anew && st.g.s.recordErr != nil {
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

// replaces reports whether a change needs nothing of what was there.
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

// atStart is the Pod's revision before the changes.
func (p *staged) atStart() store.Revision {
	if !p.there {
		return store.Revision{}
	}
	return p.stored.version().Revision
}

func (p *staged) delete() {
	p.exists, p.anew = false, p.there
	p.m = &store.Metadata{PodName: p.name}
	p.replace(store.AllFields)
	p.add, p.drop = nil, 0
}

// replace notes that fields of m are set whatever they were.
func (p *staged) replace(fields store.FieldSet) {
	p.have |= fields
	p.dirty |= fields
	p.isSealed &^= fields
}

// do makes one operation. An error means that what it needs is damaged.
func (p *staged) do(op store.Op, sealed *[store.NumFields][]byte) error {
	p.exists = true
	history := p.chunks && !p.have.Has(store.FieldReclaimed) // kept apart, and not replaced
	fields := op.Touches()
	switch op := op.(type) {
	case store.Put:
		p.puts = append(p.puts, store.Change{Pod: p.name, Op: op})
		p.m = op.Metadata
		p.replace(fields)
		p.add, p.drop = nil, 0
	case store.SetActive, store.SetSegment, store.SetChildren, store.SetPeers:
		p.replace(fields)
		op.Apply(p.m)
	case store.TrimReclaimed:
		if history {
			if over := int(p.stamp.HistoryCount) - p.drop + len(p.add) - op.Keep; over > 0 {
				old := min(over, int(p.stamp.HistoryCount)-p.drop)
				p.drop += old
				p.add = p.add[over-old:]
			}
			return nil
		}
		return p.edit(op, store.Fields(store.FieldReclaimed))
	case store.Reclaim:
		if !history {
			return p.edit(op, fields|store.Fields(store.FieldReclaimed))
		}
		p.m.Reclaimed = p.add
		err := p.edit(op, fields)
		p.add, p.m.Reclaimed = p.m.Reclaimed, nil
		return err
	default:
		return p.edit(op, fields)
	}
	if sealed != nil {
		sealedFields := fields &^ store.Fields(store.FieldReclaimed)
		for f := range store.Field(store.NumFields) {
			if sealedFields.Has(f) {
				p.sealed[f] = sealed[f]
			}
		}
		p.isSealed |= sealedFields
	}
	return nil
}

// edit runs a rule on fields that it reads.
func (p *staged) edit(op store.Op, fields store.FieldSet) error {
	if err := p.know(fields); err != nil {
		return err
	}
	op.Apply(p.m)
	p.replace(fields)
	return nil
}

// promote takes the fields that this version knows out of the unknown ones.
func (p *staged) promote() (err error) {
	v := p.values[codec.Extra]
	if v == nil || !codec.Promotes(v) {
		return nil
	}
	payload, ok := unseal(p.nameSum, codec.Extra, v)
	if !ok {
		return errSum(codec.Extra)
	}
	p.promoted, err = codec.DecodeExtra(p.m, payload, p.has)
	p.have |= p.promoted
	return err
}

// know decodes fields that are not known yet.
func (p *staged) know(fields store.FieldSet) error {
	for f := range store.Field(store.NumFields) {
		if fields.Has(f) && !p.have.Has(f) {
			if err := p.field(p.m, int(f)); err != nil {
				return err
			}
			p.have |= store.Fields(f)
		}
	}
	return nil
}

// plan finds what differs from what is stored, and reports whether anything does.
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
			continue // by far the largest, and nearly always unchanged
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
			Err: fmt.Errorf("an entry of the history has more bytes as stored than the limit, %d", codec.MaxPayload)}
	}
	return changed || !p.history.nothing() || !bytes.Equal(p.next[codec.Reclaimed], p.values[codec.Reclaimed]), nil
}

// planHistory decides what becomes of the history, as a value or in chunks.
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
		case err != nil: // the Pod is replaced, and so healed
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

// whole makes sure that what the changes did not touch can be read too.
func (p *staged) whole(tx *bolt.Tx) error {
	for f := range store.Field(store.NumFields) {
		if v := p.values[f]; v != nil && !p.have.Has(f) {
			if _, ok := unseal(p.nameSum, int(f), v); !ok {
				return errSum(int(f))
			}
		}
	}
	if p.chunks && !p.have.Has(store.FieldReclaimed) {
		_, err := p.stored.history(tx)
		return err
	}
	return nil
}

// commit puts everything into the transaction. An error concerns this request
// alone, but for errFatal, which says that the transaction is lost.
func (st *staging) commit(id codec.MadeID) error {
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
		}
		for _, p := range todo {
			st.g.touched[p.name] = struct{}{}
			if err := p.put(st.g, id); err != nil {
				return err
			}
		}
		for _, p := range st.order {
			if p.asked && p.exists {
				p.raw = p.copyRaw()
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

// prepare decides what to do with a Pod, and reports whether it is anything. After
// it nothing can fail but bbolt itself.
func (p *staged) prepare(g *txn) (changed bool, err error) {
	switch {
	case !p.exists && !p.there:
		return false, nil
	case !p.exists:
		return true, g.removable(p.name)
	case p.damage != nil && p.dirty != store.AllFields:
		return false, nil // its change was left out
	}
	if changed, err = p.plan(g); err != nil {
		return false, asDamage(p.name, err)
	}
	if p.damage != nil || p.history.remove {
		if err := g.removable(p.name); err != nil {
			return false, err
		}
	}
	if p.asked && p.damage == nil {
		if err := p.whole(g.tx); err != nil {
			return false, asDamage(p.name, err)
		}
	}
	return changed || !p.there || p.damage != nil, nil
}

// asDamage is the error for a Pod of which something could not be read, or the
// error itself where it says what it is.
func asDamage(name string, err error) error {
	if errors.As(err, new(*store.Error)) {
		return err
	}
	return damaged("", name, err)
}

// stampNext makes the Pod's new stamp.
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

// put puts a Pod into the transaction.
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
				// The history in chunks has the same key.
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

// size is how many bytes the values have that are put.
func (p *staged) size() (n int) {
	for i := range p.next {
		n += len(p.next[i])
	}
	return n
}

// A transaction that creates many Pods is an import: names come in order, and where
// the Pods are so small that bbolt keeps them in the tree of names, full pages halve
// the file. A larger Pod has a page of its own, beside which that tree is small; it is
// left half full, since every later commit reads and writes whole leaves of it
// (BenchmarkAddPeer: 4 % for a lone writer).
const (
	bulkCreates = 64
	bulkFill    = 0.95
	inlineSize  = pageSize / 4 // what bbolt takes for small
)

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

// removable makes sure that bbolt can free the pages of a Pod that may be
// damaged, without taking those of others with them.
func (g *txn) removable(name string) error {
	err := guard(func() error {
		if err := g.s.broken[name]; err != nil {
			return err
		}
		b, err := podBucket(g.tx, []byte(name))
		if err != nil {
			return err
		}
		if err := checkPod(g.tx, b, func(leaf) error { return nil }); err != nil {
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
		return &store.Error{Pod: name, Path: g.s.path, Kind: store.ErrCorrupt,
			Err: fmt.Errorf("its pages are damaged and cannot be freed: %w; %s", err, adviceSalvage)}
	}
	return nil
}

// rawPod is a Pod's values, copied out of a transaction.
type rawPod struct {
	stored
	history []chunk
}

func (p *staged) copyRaw() *rawPod {
	raw := &rawPod{stored: p.stored}
	raw.bucket, raw.stamp, raw.digest = nil, p.nextStamp, p.version.Revision.Digest
	for i, v := range p.next {
		raw.values[i] = bytes.Clone(v)
	}
	raw.chunks = p.nextStamp.HistoryCount > 0
	if raw.chunks {
		c := p.bucket.Bucket(historyKey).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			raw.history = append(raw.history, chunk{bytes.Clone(k), bytes.Clone(v)})
		}
	}
	return raw
}

// metadata decodes it.
func (p *rawPod) metadata() (*store.Metadata, error) {
	m := &store.Metadata{PodName: p.name, Version: p.version()}
	h := historyReader{nameSum: p.nameSum}
	for _, c := range p.history {
		if err := h.chunk(c.k, c.v); err != nil {
			return nil, err
		}
	}
	if err := h.end(&p.stamp); err != nil {
		return nil, err
	}
	m.Reclaimed = h.list
	return m, p.fields(m, store.ReadOptions{})
}

// note notes a deletion.
func (d *deletions) note(id codec.MadeID) {
	d.last, d.changed = id.Number, true
	if id.ID != (store.RequestID{}) && codec.FindID(d.ids, id.ID) == nil {
		d.ids = codec.AddID(d.ids, &d.floor, id, maxDeletionIDs)
	}
}

// forget drops every reference to a Pod that is removed, but in what is damaged: that
// is damaged for whoever asks for it, and no matter of this Pod. Candidates are those
// that were found before, and of what changed since, those that have its name in them.
func (st *staging) forget(name string, found *referrers) error {
	candidates, needle := slices.Clone(found.names), [][]byte{[]byte(name)}
	for _, other := range slices.AppendSeq(slices.Clone(found.since), maps.Keys(st.g.touched)) {
		if st.find(other) == nil && st.mayRefer(other, needle) {
			candidates = append(candidates, other)
		}
	}
	for _, referrer := range candidates {
		if _, err := st.pod(referrer); err != nil {
			return err
		}
	}
	for _, p := range st.order { // also those that the changes before this one made
		p.forget(name)
	}
	return nil
}

// forget drops the references to a Pod.
func (p *staged) forget(name string) {
	if !p.exists || p.damage != nil && p.dirty != store.AllFields {
		return
	}
	for _, f := range []store.Field{store.FieldChildren, store.FieldPeers} {
		_ = guard(func() error { return p.know(store.Fields(f)) })
	}
	if p.have.Has(store.FieldPeers) && p.m.HasPeer(name) {
		p.m.RemovePeer(name)
		p.replace(store.Fields(store.FieldPeers))
	}
	if p.have.Has(store.FieldChildren) && p.m.HasChild(name) {
		p.m.RemoveChild(name)
		p.replace(store.Fields(store.FieldChildren))
	}
}

// mayRefer is [Store.mayRefer] in the transaction that writes.
func (st *staging) mayRefer(pod string, needles [][]byte) bool {
	_, changed := st.g.touched[pod]
	return st.g.s.mayRefer(st.g.tx, pod, changed, needles)
}

// referrers are the Pods that may refer to those that are removed, as they were at a
// place in the log or later.
type referrers struct {
	names []string
	place int64
	since []string // those that were changed behind it, as the leader knows
}

// referrerPods is how many Pods one transaction looks at: bbolt cannot let the file
// grow while it is open.
const referrerPods = 1 << 8

// referrerYield is after how many Pods the search lets others run. Go would let it have
// a processor for 10 ms at a time, which writers would wait for.
const referrerYield = 1 << 4

// findReferrers looks for them before the leader has to, so that writers need not
// wait for it.
func (s *Store) findReferrers(removed []string) (*referrers, error) {
	needles := make([][]byte, len(removed))
	for i, name := range removed {
		needles[i] = []byte(name)
	}
	r := &referrers{place: s.changes.begin(s)}
	for from := []byte{}; from != nil; {
		start := time.Now()
		err := s.view("remove", removed[0], func(tx *bolt.Tx) error {
			c := tx.Cursor()
			k, v := c.Seek(from)
			for n := 0; k != nil && n < referrerPods; n++ {
				if v == nil && string(k) != bookkeeping && s.mayRefer(tx, string(k), false, needles) {
					r.names = append(r.names, string(k))
				}
				if n%referrerYield == 0 {
					runtime.Gosched()
				}
				k, v = c.Next()
			}
			from = bytes.Clone(k)
			return nil
		})
		if panicked(err) {
			return nil, &store.Error{Pod: removed[0], Path: s.path, Kind: store.ErrCorrupt, Err: err}
		} else if err != nil {
			return nil, err
		}
		if s.busy() {
			time.Sleep(time.Since(start) / 2) // writers have the processor meanwhile
		}
	}
	return r, nil
}

// mayRefer tells whether a Pod has one of the names in its children or peers, or may
// have children or peers among its unknown fields. Of what is damaged nothing is told.
func (s *Store) mayRefer(tx *bolt.Tx, pod string, changed bool, needles [][]byte) (refers bool) {
	_ = guard(func() error {
		var p stored
		if err := s.loadValues(tx, pod, &p, changed); err != nil {
			return err
		}
		refers = p.values[codec.Extra] != nil && codec.Promotes(p.values[codec.Extra])
		for _, needle := range needles {
			refers = refers || bytes.Contains(p.values[codec.Children], needle) || bytes.Contains(p.values[codec.Peers], needle)
		}
		return nil
	})
	return refers
}
