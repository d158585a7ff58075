package boltstore

import (
	"errors"

	"podstore/store"
	"podstore/store/internal/codec"
)

// staging collects what one request wants. The request puts nothing into the
// transaction before it has collected everything, so that an error leaves no trace in
// the transaction.
type staging struct {
	g     *txn
	order []*staged
	index map[string]*staged // of order, once order is long
}

// stage begins to collect a request. The requests of a store take turns with one
// staging, because a new one for each was a quarter of all memory that a change
// allocates.
func (g *txn) stage() *staging {
	g.s.staging.g = g
	return &g.s.staging
}

// clear ends a request. It keeps nothing of what the request held.
func (st *staging) clear() {
	for _, p := range st.order {
		*p = staged{}
	}
	if len(st.order) > manyPods {
		st.order = nil
	}
	*st = staging{order: st.order[:0]}
}

// blank adds an empty Pod.
func (st *staging) blank(name string) *staged {
	var p *staged
	if n := len(st.order); n < cap(st.order) {
		p = st.order[:n+1][n] // of an earlier request
	}
	if p == nil {
		p = new(staged)
	}
	p.name, p.own.PodName = name, name
	p.m = &p.own
	st.add(p)
	return p
}

// find returns a staged Pod, or nil.
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

// With this many Pods, staging builds an index.
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
	there  bool  // the transaction has it
	damage error // why it cannot be read, or nil
	named  bool  // a change names it; the others refer to removed Pods
	asked  bool  // the caller wants its metadata

	exists   bool // it exists after the changes so far
	deleted  bool // the changes so far deleted it
	m        *store.Metadata
	own      store.Metadata          // m points here until a Put
	have     store.FieldSet          // fields of m that are decoded or set
	dirty    store.FieldSet          // fields that the changes touched
	promoted store.FieldSet          // fields out of the unknown ones, to write with the first change
	sealed   [store.NumFields][]byte // values of dirty fields
	isSealed store.FieldSet          // fields that sealed has
	drop     int                     // oldest entries to drop from a history in chunks
	add      []store.ReclaimedChild  // entries to append to a history in chunks
	puts     []store.Change          // the Puts so far, which may set times

	// The Pod after the request. Before plan, it is the Pod as it is.
	next      [codec.NumSubKeys][]byte
	nextStamp codec.Stamp
	history   historyPlan
	version   store.Version
	raw       *rawPod // if asked
}

func (st *staging) pod(name string) (*staged, error) {
	if p := st.find(name); p != nil {
		return p, nil
	}
	p := st.blank(name)
	err := guard(func() error {
		if err := st.g.s.load(st.g.tx, name, &p.stored); err != nil {
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
	return p, nil
}

// atStart returns the Pod's revision before the changes.
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

// replace notes that m has new values of some fields, which do not depend on the old
// ones.
func (p *staged) replace(fields store.FieldSet) {
	p.have |= fields
	p.dirty |= fields
	p.isSealed &^= fields
}

// do applies one operation. An error means that what the operation reads is damaged.
func (p *staged) do(op store.Op, sealed *[store.NumFields][]byte) error {
	p.exists = true
	history := p.chunks && !p.have.Has(store.FieldReclaimed) // it stays in its chunks
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

// edit applies an operation that reads the given fields.
func (p *staged) edit(op store.Op, fields store.FieldSet) error {
	if err := p.know(fields); err != nil {
		return err
	}
	op.Apply(p.m)
	p.replace(fields)
	return nil
}

// promote takes those fields out of the unknown ones that this version knows.
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

// know decodes the given fields, unless that has been done.
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
