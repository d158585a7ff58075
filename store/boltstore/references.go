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

// mayRefer is [Store.mayRefer] in the transaction that writes.
func (st *staging) mayRefer(pod string, needles [][]byte) bool {
	_, changed := st.g.touched[pod]
	return st.g.s.mayRefer(st.g.tx, pod, changed, needles)
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
