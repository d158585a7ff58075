package etcdstore

import (
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"podstore/store"
	"podstore/store/internal/codec"
)

// pod is what etcd keeps of one Pod at one revision.
type pod struct {
	name    string
	nameSum uint32
	record  []byte // the value of its own key, nil when there is none
	rev     int64  // the revision of that key, 0 when there is none
	values  [codec.NumSubKeys][]byte
	strange []string // keys among its values that are no sub-keys
	partial bool     // the manifest was not read
}

// errMissing is the error for a Pod of which nothing is kept.
var errMissing = errors.New("no keys of this name")

// newPod sorts what was read of a Pod.
func (s *Store) newPod(name string, own, values []*mvccpb.KeyValue) *pod {
	p := &pod{name: name, nameSum: codec.NameSum([]byte(name))}
	if len(own) > 0 {
		p.record, p.rev = own[0].Value, own[0].ModRevision
		if p.record == nil {
			p.record = []byte{}
		}
	}
	for _, kv := range values {
		_, sub, _ := s.splitValueKey(kv.Key)
		i := codec.SubKeyIndex([]byte(sub))
		if i < 0 {
			p.strange = append(p.strange, string(kv.Key))
			continue
		}
		p.values[i] = kv.Value
		if kv.Value == nil {
			p.values[i] = []byte{}
		}
	}
	return p
}

// missing reports whether nothing is kept of the Pod.
func (p *pod) missing() bool {
	if p.record != nil || p.strange != nil {
		return false
	}
	for _, v := range p.values {
		if v != nil {
			return false
		}
	}
	return true
}

// metadata decodes a Pod. An error other than errMissing means damage.
func (p *pod) metadata() (*store.Metadata, error) {
	switch {
	case p.missing():
		return nil, errMissing
	case p.record == nil:
		return nil, errors.New("its record is lost, and values of it are left")
	case p.strange != nil:
		return nil, fmt.Errorf("unexpected key %.300q", p.strange[0])
	}
	r, err := parseRecord(p.nameSum, p.record)
	if err != nil {
		return nil, err
	}
	var payloads [codec.NumSubKeys][]byte
	for i, v := range p.values {
		if i == codec.Manifest && p.partial {
			continue
		}
		if sumOf(v) != r.sums[i] {
			return nil, fmt.Errorf("sub-key %q is not the one of its record: a value was lost, or is an old one", codec.SubKeys[i])
		}
		if v == nil {
			continue
		}
		var ok bool
		if payloads[i], ok = codec.Unseal(p.nameSum, i, v); !ok {
			return nil, fmt.Errorf("checksum of sub-key %q does not match", codec.SubKeys[i])
		}
	}
	m := &store.Metadata{PodName: p.name}
	if err := codec.Decode(m, &payloads); err != nil {
		return nil, err
	}
	return m, nil
}

// damaged is the error for a Pod of which metadata said err.
func damaged(op, name string, err error) error {
	return &store.Error{Op: op, Pod: name, Kind: store.ErrCorrupt,
		Err: fmt.Errorf("%w; the others are not affected; write or import it again, or delete it", err)}
}

// readErr is what a method that reads says of what metadata returned.
func readErr(op, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errMissing):
		return &store.Error{Op: op, Pod: name, Kind: store.ErrNotFound}
	}
	return damaged(op, name, err)
}
