package boltstore

import (
	"bytes"
	"maps"
	"runtime"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
	"podstore/store/internal/codec"
)

// referrers are the Pods that may refer to the removed ones.
type referrers struct {
	names []string
	place int64    // in the log: names holds all referrers up to here
	since []string // the Pods that changed behind place; the leader fills it in
}

// One transaction looks at this many Pods. While it is open, bbolt cannot grow the
// file.
const referrerPods = 1 << 8

// The search lets others run after this many Pods. Otherwise Go would let it have a
// processor for 10 ms at a time, while writers wait.
const referrerYield = 1 << 4

// findReferrers searches before the leader does, so that writers do not wait for the
// search.
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
				if v == nil && string(k) != bookkeeping && s.mayRefer(tx, string(k), needles) {
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
			time.Sleep(time.Since(start) / 2) // leave the processor to writers
		}
	}
	return r, nil
}

// mayRefer reports whether a Pod has one of the names in its children or peers, or may
// have children or peers among its unknown fields. It reports false for a damaged Pod.
func (s *Store) mayRefer(tx *bolt.Tx, pod string, needles [][]byte) (refers bool) {
	_ = guard(func() error {
		var p stored
		if err := s.loadValues(tx, pod, &p); err != nil {
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

func (st *staging) mayRefer(pod string, needles [][]byte) bool {
	return st.g.s.mayRefer(st.g.tx, pod, needles)
}

// forget drops every reference to a removed Pod. It looks at the referrers found
// before, and at the Pods that changed since and contain the name. It leaves damaged
// Pods alone: their damage is an error for those who ask for them, not for this
// request.
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
	for _, p := range st.order { // includes references from earlier changes of this request
		p.forget(name)
	}
	return nil
}

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
