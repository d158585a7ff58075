package boltstore

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
	"podstore/store/boltstore/internal/boltfile"
	"podstore/store/internal/codec"
)

// nameRecord is the record of Pod names: their number, and the sum of their FNV-1a
// hashes modulo 2^64. Creating or deleting a Pod updates it without reading the other
// names.
type nameRecord struct {
	count uint64
	sum   uint64
}

func (r *nameRecord) add(name []byte) {
	r.count++
	r.sum += nameHash(name)
}

func (r *nameRecord) remove(name []byte) {
	r.count--
	r.sum -= nameHash(name)
}

func nameHash(name []byte) uint64 {
	h := fnv.New64a()
	h.Write(name)
	return h.Sum64()
}

// compare returns an error if the names found are not those in the record.
func (r *nameRecord) compare(found nameRecord) error {
	switch {
	case mutant == "norecord" || *r == found:
		return nil
	case r.count == found.count:
		return fmt.Errorf("the %d Pod names are not those that were recorded: a name was altered", found.count)
	}
	return fmt.Errorf("there are %d Pods and %d were recorded", found.count, r.count)
}

func readRecord(tx *bolt.Tx) (*nameRecord, error) {
	var value []byte
	if b := tx.Bucket([]byte(bookkeeping)); b != nil {
		value = b.Get([]byte(keyNames))
	}
	return parseRecord(value)
}

func parseRecord(value []byte) (*nameRecord, error) {
	payload, ok := unsealBook(keyNames, value)
	if !ok {
		return nil, &store.Error{Kind: store.ErrCorrupt, Err: errors.New("the record of Pod names is damaged; " + adviceSalvage)}
	}
	n, err := codec.DecodeUints(payload, 2)
	if err != nil {
		return nil, &store.Error{Kind: store.ErrCorrupt, Err: fmt.Errorf("the record of Pod names: %w", err)}
	}
	return &nameRecord{count: n[0], sum: n[1]}, nil
}

// deletions records what a stamp cannot: a deleted Pod has none, and nobody looks for a
// request in Pods that it does not name.
type deletions struct {
	last    uint64 // revision number of the last deletion of any Pod
	floor   uint64 // highest revision number whose ID was dropped
	ids     []codec.MadeID
	changed bool
}

// maxDeletionIDs limits how many IDs of deletions a file keeps.
const maxDeletionIDs = 64

// note records a deletion, or a request that changed only Pods which it does not name.
func (d *deletions) note(id codec.MadeID) {
	d.last, d.changed = id.Number, true
	if id.ID != (store.RequestID{}) && codec.FindID(d.ids, id.ID) == nil {
		d.ids = codec.AddID(d.ids, &d.floor, id, maxDeletionIDs)
	}
}

func readDeletions(tx *bolt.Tx) (*deletions, error) {
	return parseDeletions(tx.Bucket([]byte(bookkeeping)).Get([]byte(keyDeletions)))
}

// parseDeletions accepts nil: a file without deletions has no record of them.
func parseDeletions(value []byte) (*deletions, error) {
	d := &deletions{}
	if value == nil {
		return d, nil
	}
	payload, ok := unsealBook(keyDeletions, value)
	err := errors.New("its checksum does not match")
	if ok {
		d.last, d.floor, d.ids, err = codec.DecodeDeletions(payload)
	}
	if err != nil {
		return nil, &store.Error{Kind: store.ErrCorrupt, Err: fmt.Errorf("the record of deletions is damaged: %w; %s", err, adviceSalvage)}
	}
	return d, nil
}

// readBase reads the number from which revision numbers count.
func readBase(value []byte) (uint64, error) {
	if value == nil {
		return 0, nil
	}
	payload, ok := unsealBook(keyBase, value)
	n := []uint64{0}
	err := errors.New("its checksum does not match")
	if ok {
		n, err = codec.DecodeUints(payload, 0)
	}
	if err != nil {
		return 0, &store.Error{Kind: store.ErrCorrupt, Err: fmt.Errorf("the base of revision numbers is damaged: %w; %s", err, adviceSalvage)}
	}
	return n[0], nil
}

// readBooks checks all of the bookkeeping and returns the record of names.
func readBooks(b *boltfile.Bucket) (*nameRecord, error) {
	if b == nil {
		return nil, &store.Error{Kind: store.ErrFormat, Err: errors.New("this is a bbolt file, but not a podstore database, or its bookkeeping is lost; give another file, or restore a backup")}
	}
	values := make(map[string][]byte)
	for _, kv := range b.Values {
		values[string(kv.Key)] = kv.Value
	}
	if _, err := parseFormat(values[keyFormat]); err != nil {
		return nil, err
	}
	for key, value := range values {
		if err := knownRecord(key, value); err != nil {
			return nil, err
		}
	}
	if _, err := readBase(values[keyBase]); err != nil {
		return nil, err
	}
	if _, err := parseDeletions(values[keyDeletions]); err != nil {
		return nil, err
	}
	return parseRecord(values[keyNames])
}

// recorded returns the number of Pods in the record of names, or 0 if that is damaged.
func recorded(books *boltfile.Bucket) int {
	record, err := readBooks(books)
	if err != nil {
		return 0
	}
	return int(min(record.count, math.MaxInt32))
}
