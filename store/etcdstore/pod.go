package etcdstore

import (
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"podstore/store"
	"podstore/store/internal/codec"
)

// pod is what etcd has of one Pod at one revision.
type pod struct {
	name     string
	nameSum  uint32
	record   []byte // the value of its own key, or nil
	rev      int64  // the revision of that key, or 0
	held     int64  // the revision of its key held, or 0
	values   [store.NumFields][]byte
	strange  []string // unknown keys among its values
	omitted  store.ReadOptions
	bookkept *deletions // if the caller asked for it
}

// errMissing: etcd has nothing of a Pod of this name.
var errMissing = errors.New("no keys of this name")

// newPod makes a Pod of the keys read.
func (s *Store) newPod(name string, own, values []*mvccpb.KeyValue, omitted store.ReadOptions) *pod {
	p := &pod{name: name, nameSum: codec.NameSum([]byte(name)), omitted: omitted}
	if len(own) > 0 {
		p.record, p.rev = notNil(own[0].Value), own[0].ModRevision
	}
	for _, kv := range values {
		_, sub, _ := s.splitValueKey(kv.Key)
		i := codec.SubKeyIndex([]byte(sub))
		switch {
		case sub == keyHeld:
			p.held = kv.ModRevision
		case i < 0 || i >= len(p.values):
			p.strange = append(p.strange, string(kv.Key))
		default:
			p.values[i] = notNil(kv.Value)
		}
	}
	return p
}

func notNil(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}

// missing reports whether etcd has nothing of the Pod.
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

// unread reports whether the read left out a value.
func (p *pod) unread(sub int) bool {
	return sub == codec.Manifest && p.omitted.OmitManifest || sub == codec.Reclaimed && p.omitted.OmitReclaimed
}

// promotes reports whether an unknown field may be one that the read left out.
func (p *pod) promotes() bool {
	extra := p.values[codec.Extra]
	return p.omitted != store.ReadOptions{} && len(extra) > codec.SumSize && codec.Promotes(codec.Payload(extra))
}

// parse decodes a Pod and its record. An error means damage, unless it is errMissing or
// matches store.ErrFormat.
func (p *pod) parse() (*store.Metadata, *record, error) {
	switch {
	case p.missing():
		return nil, nil, errMissing
	case p.strange != nil:
		return nil, nil, fmt.Errorf("%w: the key %.300q was written by a newer version, or not by podstore; use a newer podstore, or delete the key", store.ErrFormat, p.strange[0])
	case p.record == nil:
		return nil, nil, errors.New("its record is lost, but some of its values are left")
	}
	r, err := parseRecord(p.nameSum, p.record, p.rev)
	if err != nil {
		return nil, nil, err
	}
	var payloads [store.NumFields][]byte
	for i, v := range p.values {
		if p.unread(i) {
			continue
		}
		if sumOf(v) != r.sums[i] {
			return nil, nil, fmt.Errorf("sub-key %q does not match its record: a value was lost, or is an old one", codec.SubKeys[i])
		}
		if v == nil {
			continue
		}
		var ok bool
		if payloads[i], ok = codec.Unseal(p.nameSum, i, v); !ok {
			return nil, nil, fmt.Errorf("checksum of sub-key %q does not match", codec.SubKeys[i])
		}
	}
	m := &store.Metadata{PodName: p.name}
	if err := codec.Decode(m, &payloads, func(sub int) bool { return p.values[sub] != nil }); err != nil {
		return nil, nil, err
	}
	m.Version, m.Omitted = r.stamp.Version(digest(recordSum(p.record), p.nameSum)), p.omitted
	return m, r, nil
}

// metadata decodes a Pod for a reader.
func (p *pod) metadata(op string) (*store.Metadata, error) {
	m, _, err := p.parse()
	if err != nil {
		return nil, readErr(op, p.name, err)
	}
	return m, nil
}

// readErr turns an error of parse into the caller's.
func readErr(op, name string, err error) error {
	switch {
	case errors.Is(err, errMissing):
		return &store.Error{Op: op, Pod: name, Kind: store.ErrNotFound}
	case errors.Is(err, store.ErrFormat):
		return &store.Error{Op: op, Pod: name, Err: err}
	}
	return &store.Error{Op: op, Pod: name, Kind: store.ErrCorrupt,
		Err: fmt.Errorf("%w; the others are not affected; write or import it again, or delete it", err)}
}
