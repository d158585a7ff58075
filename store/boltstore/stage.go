package boltstore

import (
	"errors"

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
	deleted  bool // they deleted one that was there
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

// atStart is the Pod's revision before the changes.
func (p *staged) atStart() store.Revision {
	if !p.there {
		return store.Revision{}
	}
	return p.stored.version().Revision
}

func (p *staged) delete() {
	p.exists, p.deleted = false, p.there
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
