package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
	"podstore/store/internal/codec"
)

// The reclaim history of a Pod grows as long as the Pod lives. As one value, every
// change of the Pod would write all of it again. So a history of more than a few
// entries is a bucket of chunks. An append reads and writes only the last chunk.

const (
	inlineHistory = 16 // most entries of a history that is one value
	chunkEntries  = 16
	chunkBytes    = 4 << 10 // a chunk with this much takes no more entries; an entry with more has a chunk of its own
)

var historyKey = codec.SubKeyBytes(codec.Reclaimed)

// history reads a history in chunks.
func (p *stored) history(tx *bolt.Tx) ([]store.ReclaimedChild, error) {
	b := p.bucket.Bucket(historyKey)
	if b == nil {
		return nil, errors.New("its history is not a bucket")
	}
	if err := checkHistory(tx, b, false); err != nil {
		return nil, fmt.Errorf("its history: %w", err)
	}
	h := historyReader{nameSum: p.nameSum}
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if err := h.chunk(k, v); err != nil {
			return nil, err
		}
	}
	return h.list, h.end(&p.stamp)
}

// historyReader reads the chunks of a history in their order.
type historyReader struct {
	nameSum uint32
	list    []store.ReclaimedChild
	last    []byte
	sum     uint64
}

func (h *historyReader) chunk(k, v []byte) error {
	if h.last != nil && bytes.Compare(h.last, k) >= 0 {
		return fmt.Errorf("its history: chunk %x is not in its place", k)
	}
	h.last = k
	var err error
	if h.list, err = openChunk(h.list, h.nameSum, k, v); err != nil {
		return err
	}
	h.sum += codec.ChunkSum(k, v)
	return nil
}

func (h *historyReader) end(stamp *codec.Stamp) error {
	if mutant != "nohistory" && (uint64(len(h.list)) != stamp.HistoryCount || h.sum != stamp.HistorySum) {
		return fmt.Errorf("its history has %d entries, its stamp counts %d, or their sums differ: a chunk was lost, or is an old one", len(h.list), stamp.HistoryCount)
	}
	return nil
}

// openChunk appends the entries of a chunk to list.
func openChunk(list []store.ReclaimedChild, nameSum uint32, k, v []byte) ([]store.ReclaimedChild, error) {
	payload, ok := codec.UnsealChunk(nameSum, k, v)
	if len(k) != 8 || !ok && (mutant != "nocrc" || payload == nil) {
		return list, fmt.Errorf("its history: checksum of chunk %x does not match", k)
	}
	list, err := codec.DecodeChunk(list, payload)
	if err != nil {
		return list, fmt.Errorf("its history: chunk %x: %w", k, err)
	}
	return list, nil
}

// historyPlan is a change of a history in chunks. The leader makes the plans of a
// request before it puts anything into the transaction, so that a damaged chunk fails
// only this request.
type historyPlan struct {
	p          *stored
	enc        *codec.Encoder
	count, sum uint64 // the stamp's after the change

	tooLarge bool // an entry is too large for a chunk

	remove  bool // delete the bucket first
	create  bool // then create it
	deletes [][]byte
	puts    []chunk
}

type chunk struct{ k, v []byte }

func (h *historyPlan) nothing() bool {
	return !h.remove && !h.create && len(h.deletes)+len(h.puts) == 0
}

func (h *historyPlan) put(k []byte, entries []store.ReclaimedChild) {
	payload := h.enc.Chunk(entries)
	h.tooLarge = h.tooLarge || len(payload) > codec.MaxPayload
	v := codec.SealChunk(h.p.nameSum, k, payload)
	h.count += uint64(len(entries))
	h.sum += codec.ChunkSum(k, v)
	h.puts = append(h.puts, chunk{k, v})
}

// forget takes a chunk out of count and sum. The caller then replaces or deletes it.
func (h *historyPlan) forget(k, v []byte, entries int) {
	h.count -= uint64(entries)
	h.sum -= codec.ChunkSum(k, v)
}

// fill puts entries into new chunks, the first of which has number next.
func (h *historyPlan) fill(next uint64, entries []store.ReclaimedChild) {
	for ; len(entries) > 0; next++ {
		n := fitting(0, 0, entries)
		h.put(codec.ChunkKey(next), entries[:n])
		entries = entries[n:]
	}
}

func (h *historyPlan) replace(list []store.ReclaimedChild) {
	h.remove, h.create = h.p.chunks, len(list) > 0
	h.count, h.sum = 0, 0
	h.fill(1, list)
}

// change drops the oldest entries and appends others. The last chunk takes as many new
// entries as it has room for, unless it loses some of its own.
func (h *historyPlan) change(tx *bolt.Tx, drop int, add []store.ReclaimedChild) error {
	b := h.p.bucket.Bucket(historyKey)
	if b == nil {
		return errors.New("its history is not a bucket")
	}
	if err := checkHistory(tx, b, drop == 0); err != nil {
		return fmt.Errorf("its history: %w", err)
	}
	if uint64(drop) >= h.count {
		h.replace(add)
		return nil
	}
	c := b.Cursor()
	lastKey, v := c.Last()
	if lastKey == nil {
		return errors.New("its history is empty, and its stamp counts entries")
	}
	last, err := openChunk(nil, h.p.nameSum, lastKey, v)
	if err != nil {
		return err
	}
	kept := uint64(drop+len(last)) <= h.count
	next := binary.BigEndian.Uint64(lastKey) + 1
	if n := fitting(len(last), len(v), add); kept && n > 0 {
		h.forget(lastKey, v, len(last))
		h.put(bytes.Clone(lastKey), append(last, add[:n]...))
		add = add[n:]
	}
	if drop > 0 {
		if err := h.drop(c, drop, kept, lastKey); err != nil {
			return err
		}
	}
	h.fill(next, add)
	return nil
}

// drop drops the oldest entries. If the last chunk is kept, it leaves that one alone.
func (h *historyPlan) drop(c *bolt.Cursor, drop int, kept bool, last []byte) error {
	for k, v := c.First(); k != nil && !(kept && bytes.Equal(k, last)); k, v = c.Next() {
		entries, err := openChunk(nil, h.p.nameSum, k, v)
		if err != nil {
			return err
		}
		h.forget(k, v, len(entries))
		if drop < len(entries) {
			h.put(bytes.Clone(k), entries[drop:])
			return nil
		}
		h.deletes = append(h.deletes, bytes.Clone(k))
		if drop -= len(entries); drop == 0 {
			return nil
		}
	}
	return errors.New("its history has fewer entries than its stamp counts: a chunk was lost")
}

// carryOut changes the buckets. After an error the transaction cannot be committed.
func (h *historyPlan) carryOut(pod *bolt.Bucket) error {
	if h.remove {
		if err := pod.DeleteBucket(historyKey); err != nil {
			return err
		}
	}
	if h.create {
		if _, err := pod.CreateBucket(historyKey); err != nil {
			return err
		}
	}
	if len(h.deletes)+len(h.puts) == 0 {
		return nil
	}
	b := pod.Bucket(historyKey)
	for _, k := range h.deletes {
		if err := b.Delete(k); err != nil {
			return err
		}
	}
	for _, c := range h.puts {
		if err := b.Put(c.k, c.v); err != nil {
			return err
		}
	}
	return nil
}

// fitting returns how many entries a chunk takes that has so many, and so many bytes.
// Were a large entry to share its chunk, the two could be too large together.
func fitting(has, size int, entries []store.ReclaimedChild) int {
	for n := range min(chunkEntries-has, len(entries)) {
		entry := len(entries[n].PodName)
		for _, r := range entries[n].ScopeDelegated {
			entry += len(r.Target) + len(r.Permission) + 8
		}
		if has+n > 0 && (size >= chunkBytes || entry > chunkBytes) {
			return n
		}
		size += entry
	}
	return min(chunkEntries-has, len(entries))
}

func beginsWith(now, was []store.ReclaimedChild) bool {
	return len(was) <= len(now) && slices.EqualFunc(was, now[:len(was)], func(a, b store.ReclaimedChild) bool {
		return a.PodName == b.PodName && slices.Equal(a.ScopeDelegated, b.ScopeDelegated)
	})
}
