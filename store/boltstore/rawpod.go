package boltstore

import (
	"bytes"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
	"podstore/store/boltstore/internal/boltfile"
	"podstore/store/internal/codec"
)

// rawPod is a stored Pod outside any transaction.
type rawPod struct {
	stored
	history []chunk
}

// copyAs copies the Pod out of the transaction, with the given values, stamp and digest.
func (p *stored) copyAs(values *[codec.NumSubKeys][]byte, stamp codec.Stamp, digest uint64) *rawPod {
	raw := &rawPod{stored: *p}
	raw.bucket, raw.stamp, raw.digest = nil, stamp, digest
	for i, v := range values {
		raw.values[i] = bytes.Clone(v)
	}
	raw.chunks = stamp.HistoryCount > 0
	if raw.chunks {
		c := p.bucket.Bucket(historyKey).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			raw.history = append(raw.history, chunk{bytes.Clone(k), bytes.Clone(v)})
		}
	}
	return raw
}

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

func (p *rawPod) size() (n int) {
	for _, v := range p.values {
		n += len(v)
	}
	for _, c := range p.history {
		n += len(c.v)
	}
	return n
}

func (p *rawPod) put(tx *bolt.Tx) error {
	b, err := tx.CreateBucket([]byte(p.name))
	if err != nil {
		return err
	}
	for i, v := range p.values {
		if v != nil {
			if err := b.Put(codec.SubKeyBytes(i), v); err != nil {
				return err
			}
		}
	}
	if p.chunks {
		h, err := b.CreateBucket(historyKey)
		if err != nil {
			return err
		}
		h.FillPercent = bulkFill
		for _, c := range p.history {
			if err := h.Put(c.k, c.v); err != nil {
				return err
			}
		}
	}
	return b.SetSequence(p.digest)
}

// wholePod makes a Pod of what could be read from its bucket, or says why it is not
// whole. A damaged page may have a sub-key twice: wholePod then takes the one with the
// right checksum. Digest and stamp decide whether everything is there.
func wholePod(b *boltfile.Bucket) (*rawPod, error) {
	p := &rawPod{stored: stored{name: string(b.Name), nameSum: codec.NameSum(b.Name), digest: b.Sequence}}
	for _, kv := range b.Values {
		i := codec.SubKeyIndex(kv.Key)
		if i < 0 {
			return nil, p.unknown(kv.Key, kv.Value)
		}
		if _, ok := unseal(p.nameSum, i, kv.Value); ok || p.values[i] == nil {
			p.values[i] = kv.Value
		}
	}
	for _, in := range b.Inner {
		if !bytes.Equal(in.Name, historyKey) {
			continue
		}
		p.chunks = true
		for _, kv := range in.Values {
			p.history = append(p.history, chunk{kv.Key, kv.Value})
		}
	}
	if err := p.finish(); err != nil {
		return nil, err
	}
	_, err := p.metadata()
	return p, err
}
