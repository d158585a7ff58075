package boltstore

import (
	"bytes"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
	"podstore/store/internal/codec"
)

// stored is a Pod as a transaction sees it. Its raw values point into the file's
// mapping and are valid as long as the transaction.
type stored struct {
	name    string
	nameSum uint32
	digest  uint64
	values  [codec.NumSubKeys][]byte
	bucket  *bolt.Bucket // nil if boltfile read the Pod
	chunks  bool         // the history is a bucket
	stamp   codec.Stamp  // zero if the Pod has none
}

// podBucket returns the bucket of a Pod, or errMissing. An entry of this name that is
// not a bucket is damage, which bbolt itself reports like a missing bucket.
func podBucket(tx *bolt.Tx, name []byte) (*bolt.Bucket, error) {
	if b := tx.Bucket(name); b != nil {
		return b, nil
	}
	if k, _ := tx.Cursor().Seek(name); bytes.Equal(k, name) {
		return nil, errors.New("its entry in the tree of names is not a bucket")
	}
	return nil, errMissing
}

// enter returns the bucket of a Pod whose pages bbolt may follow. The error is errMissing
// or a *pageDamage.
func (s *Store) enter(tx *bolt.Tx, name string) (*bolt.Bucket, error) {
	if err := s.broken[name]; err != nil {
		return nil, &pageDamage{err}
	}
	b, err := podBucket(tx, []byte(name))
	if err == nil {
		err = checkPod(tx, b)
	}
	if err != nil && err != errMissing {
		return nil, &pageDamage{err}
	}
	return b, err
}

// load reads the raw values of a Pod into p, as the transaction sees them. An error
// other than errMissing means damage, or that a newer version wrote the Pod.
func (s *Store) load(tx *bolt.Tx, name string, p *stored) error {
	if err := s.loadValues(tx, name, p); err != nil {
		return err
	}
	return p.finish()
}

// loadValues is load, but does not check that the values belong together.
func (s *Store) loadValues(tx *bolt.Tx, name string, p *stored) error {
	b, err := s.enter(tx, name)
	if err != nil {
		return err
	}
	p.name, p.nameSum, p.digest, p.bucket = name, codec.NameSum([]byte(name)), b.Sequence(), b
	last := -1
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		i, err := p.put(k, v)
		if err != nil {
			return err
		}
		if i <= last {
			return fmt.Errorf("sub-key %.32q is not in its place", k)
		}
		last = i
	}
	return nil
}

// put keeps one sub-key. v is nil for a bucket.
func (p *stored) put(k, v []byte) (sub int, err error) {
	sub = codec.SubKeyIndex(k)
	switch {
	case sub < 0:
		return sub, p.unknown(k, v)
	case v != nil:
		p.values[sub] = v
	case sub == codec.Reclaimed:
		p.chunks = true
	default:
		return sub, fmt.Errorf("sub-key %.32q is a bucket", k)
	}
	return sub, nil
}

// unknown returns the error for a sub-key that this version does not know. If its
// checksum is right, a newer version wrote it.
func (p *stored) unknown(k, v []byte) error {
	if _, ok := codec.UnsealKey(p.nameSum, append(bytes.Clone(k), 0), v); ok {
		return &store.Error{Kind: store.ErrFormat, Err: fmt.Errorf("sub-key %.32q was written by a newer version; use a newer podstore", k)}
	}
	return fmt.Errorf("unexpected sub-key %.32q", k)
}

// finish checks the digest and reads the stamp. The caller has put all sub-keys.
func (p *stored) finish() error {
	if p.digest != digest(p.nameSum, &p.values) {
		return errDigest
	}
	v := p.values[codec.StampKey]
	if v == nil {
		if p.chunks {
			return errors.New("its history is in a bucket, and the stamp that counts it is missing")
		}
		return nil
	}
	payload, ok := unseal(p.nameSum, codec.StampKey, v)
	if !ok {
		return errSum(codec.StampKey)
	}
	if err := codec.DecodeStamp(&p.stamp, payload); err != nil {
		return fmt.Errorf("sub-key %q: %w", codec.SubKeys[codec.StampKey], err)
	}
	if p.chunks != (p.stamp.HistoryCount > 0) {
		return errors.New("its history is not where its stamp says")
	}
	return nil
}

func errSum(sub int) error {
	return fmt.Errorf("checksum of sub-key %q does not match", codec.SubKeys[sub])
}

func (p *stored) version() store.Version { return p.stamp.Version(p.digest) }

// metadata decodes a Pod. The result shares no memory with the file. metadata does not
// read what opts leave out. The digest still shows whether those values are there and
// belong to the Pod.
func (p *stored) metadata(tx *bolt.Tx, name string, opts store.ReadOptions) (*store.Metadata, error) {
	m := &store.Metadata{PodName: name, Omitted: opts, Version: p.version()}
	if p.chunks && !opts.OmitReclaimed {
		var err error
		if m.Reclaimed, err = p.history(tx); err != nil {
			return nil, err
		}
	}
	if err := p.fields(m, opts); err != nil {
		return nil, err
	}
	return m, nil
}

// fields decodes into m the fields that are stored as values.
func (p *stored) fields(m *store.Metadata, opts store.ReadOptions) error {
	var payloads [store.NumFields][]byte
	for i := range payloads {
		v := p.values[i]
		if v == nil || i == codec.Manifest && opts.OmitManifest || i == codec.Reclaimed && opts.OmitReclaimed {
			continue
		}
		var ok bool
		if payloads[i], ok = unseal(p.nameSum, i, v); !ok {
			return errSum(i)
		}
	}
	err := codec.Decode(m, &payloads, p.has)
	// An older version may have kept these among the unknown fields.
	if opts.OmitManifest {
		m.Manifest = nil
	}
	if opts.OmitReclaimed {
		m.Reclaimed = nil
	}
	return err
}

// has reports whether a field is stored as itself, not among the unknown fields.
func (p *stored) has(sub int) bool {
	return p.values[sub] != nil || sub == codec.Reclaimed && p.chunks
}

// field decodes into m one field that is stored as a value.
func (p *stored) field(m *store.Metadata, sub int) error {
	v := p.values[sub]
	if v == nil {
		return nil
	}
	payload, ok := unseal(p.nameSum, sub, v)
	if !ok {
		return errSum(sub)
	}
	return codec.DecodeField(m, sub, payload)
}

// checkUnread checks the checksums of the fields that are not in read, so that a copy
// of the Pod carries no damage on.
func (p *stored) checkUnread(tx *bolt.Tx, read store.FieldSet) error {
	for f := range store.Field(store.NumFields) {
		if v := p.values[f]; v != nil && !read.Has(f) {
			if _, ok := unseal(p.nameSum, int(f), v); !ok {
				return errSum(int(f))
			}
		}
	}
	if p.chunks && !read.Has(store.FieldReclaimed) {
		_, err := p.history(tx)
		return err
	}
	return nil
}
