package boltstore

import (
	"bytes"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
	"podstore/store/internal/codec"
)

// stored is a Pod as a transaction sees it: raw values, which point into the
// file's mapping and are valid as long as the transaction.
type stored struct {
	key     []byte // its name
	nameSum uint32
	digest  uint64
	values  [codec.NumSubKeys][]byte
}

// errMissing is returned by load for a name that has no bucket.
var errMissing = errors.New("no bucket of this name")

var errDigest = errors.New("the digest of its sub-keys does not match: a value was lost, or is an old one")

// podBucket returns the bucket of a Pod, or errMissing. What stands under the name
// but is no bucket is damage: bbolt says of it only that there is no bucket.
func podBucket(tx *bolt.Tx, name []byte) (*bolt.Bucket, error) {
	if b := tx.Bucket(name); b != nil {
		return b, nil
	}
	if k, _ := tx.Cursor().Seek(name); bytes.Equal(k, name) {
		return nil, errors.New("its entry in the tree of names is not a bucket")
	}
	return nil, errMissing
}

// load reads the raw values of a Pod into p. An error other than errMissing means
// damage.
func (s *Store) load(tx *bolt.Tx, name string, p *stored) error {
	if err := s.broken[name]; err != nil {
		return err
	}
	key := []byte(name)
	b, err := podBucket(tx, key)
	if err != nil {
		return err
	}
	only, err := checkPodPages(tx, b)
	if err != nil {
		return err
	}
	p.key, p.nameSum, p.digest = key, codec.NameSum(key), b.Sequence()
	last := -1
	put := func(k, v []byte) error {
		i := codec.SubKeyIndex(k)
		if i <= last || v == nil {
			return fmt.Errorf("unexpected sub-key %.32q, or not in its place", k)
		}
		p.values[i], last = v, i
		return nil
	}
	if only != nil && !tx.Writable() {
		// As it was checked; of a transaction that writes, bbolt has what changed.
		for i := range only {
			if err := put(only[i].key(), only[i].value()); err != nil {
				return err
			}
		}
	} else {
		c := b.Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if err := put(k, v); err != nil {
				return err
			}
		}
	}
	if p.digest != digest(p.nameSum, &p.values) {
		return errDigest
	}
	return nil
}

// metadata decodes a Pod. It shares no memory with the file. With omitManifest
// the manifest is left out and its bytes are not read; that it is there and
// which it should be is still covered by the digest.
func (s *stored) metadata(name string, omitManifest bool) (*store.Metadata, error) {
	var payloads [codec.NumSubKeys][]byte
	for i, v := range s.values {
		if v == nil || i == codec.Manifest && omitManifest {
			continue
		}
		var ok bool
		if payloads[i], ok = unseal(s.nameSum, i, v); !ok {
			return nil, fmt.Errorf("checksum of sub-key %q does not match", codec.SubKeys[i])
		}
	}
	m := &store.Metadata{PodName: name}
	if err := codec.Decode(m, &payloads); err != nil {
		return nil, err
	}
	return m, nil
}

// damaged is the error for a Pod of which load or metadata said err.
func damaged(op, name string, err error) error {
	return &store.Error{Op: op, Pod: name, Kind: store.ErrCorrupt,
		Err: fmt.Errorf("%w; the others are not affected; write or import it again, or delete it", err)}
}

// unstored is a Pod that does not exist.
func unstored(name string) *stored {
	key := []byte(name)
	return &stored{key: key, nameSum: codec.NameSum(key)}
}

// diff encodes m, which must be in normal form, and notes the sub-keys in which
// it differs from old, and the digest afterwards. It reports whether any does.
func (st *stage) diff(e *codec.Encoder, m *store.Metadata, old *stored) (bool, error) {
	now, sum := old.values, old.nameSum
	changed := false
	for i := range codec.SubKeys {
		if i == codec.Manifest && codec.SameBinary(codec.Payload(old.values[i]), m.Manifest) {
			continue // by far the largest, and nearly always unchanged
		}
		payload := e.Encode(m, i)
		if len(payload) > codec.MaxPayload {
			return false, &store.Error{Pod: m.PodName, Kind: store.ErrInvalid,
				Err: fmt.Errorf("%s has %d bytes as stored, the limit is %d", codec.SubKeys[i], len(payload), codec.MaxPayload)}
		}
		if bytes.Equal(payload, codec.Payload(old.values[i])) {
			continue
		}
		changed = true
		st.changes[i].set = true
		now[i] = nil
		if payload != nil {
			st.changes[i].value = codec.Seal(sum, i, payload)
			now[i] = st.changes[i].value
		}
	}
	st.digest = digest(sum, &now)
	return changed, nil
}

// change is what happens to one sub-key: nothing, a new value, or deletion.
type change struct {
	set   bool
	value []byte
}
