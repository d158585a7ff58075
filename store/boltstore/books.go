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

// nameRecord is the record of Pod names: how many there are, and the sum of
// their FNV-1a hashes modulo 2^64, which a creation or deletion changes without
// reading the others.
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

// compare says in what the names found differ from the record.
func (r *nameRecord) compare(found nameRecord) error {
	switch {
	case mutant == "norecord" || *r == found:
		return nil
	case r.count == found.count:
		return fmt.Errorf("the %d Pod names are not those that were recorded: a name was altered", found.count)
	}
	return fmt.Errorf("there are %d Pods and %d were recorded", found.count, r.count)
}

// readRecord reads the record of names.
func readRecord(tx *bolt.Tx) (*nameRecord, error) {
	var value []byte
	if b := tx.Bucket([]byte(bookkeeping)); b != nil {
		value = b.Get([]byte(keyNames))
	}
	return parseRecord(value)
}

// parseRecord reads the value of the record of names.
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

// deletions are those that were made under a request ID, which no Pod's stamp can
// keep.
type deletions struct {
	last    uint64 // number of the last deletion of any Pod
	floor   uint64 // highest number of which the ID was dropped
	ids     []codec.MadeID
	changed bool
}

// maxDeletionIDs is how many IDs of deletions a file keeps.
const maxDeletionIDs = 64

// note notes a deletion.
func (d *deletions) note(id codec.MadeID) {
	d.last, d.changed = id.Number, true
	if id.ID != (store.RequestID{}) && codec.FindID(d.ids, id.ID) == nil {
		d.ids = codec.AddID(d.ids, &d.floor, id, maxDeletionIDs)
	}
}

func readDeletions(tx *bolt.Tx) (*deletions, error) {
	return parseDeletions(tx.Bucket([]byte(bookkeeping)).Get([]byte(keyDeletions)))
}

// parseDeletions reads the value of the record of deletions, nil where there were
// none.
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

// readBase reads what revision numbers are counted from.
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

// checkFormat reads the format version, and refuses what this version does not know.
func checkFormat(tx *bolt.Tx) (int64, error) {
	b := tx.Bucket([]byte(bookkeeping))
	if b == nil {
		return 0, &store.Error{Kind: store.ErrFormat, Err: errors.New("this is a bbolt file, but not a podstore database")}
	}
	version, err := parseFormat(b.Get([]byte(keyFormat)))
	if err != nil {
		return 0, err
	}
	return version, b.ForEach(func(k, v []byte) error { return knownRecord(string(k), v) })
}

// parseFormat reads the format version, and fails where this version cannot read
// the file.
func parseFormat(value []byte) (int64, error) {
	payload, ok := unsealBook(keyFormat, value)
	if !ok {
		return 0, &store.Error{Kind: store.ErrCorrupt, Err: errors.New("the format version is damaged; " + adviceSalvage)}
	}
	n, err := codec.DecodeUints(payload, 0)
	if err != nil {
		return 0, &store.Error{Kind: store.ErrCorrupt, Err: fmt.Errorf("the format version: %w", err)}
	}
	if n[0] < oldestFormat || n[0] > formatVersion {
		return 0, &store.Error{Kind: store.ErrFormat, Err: fmt.Errorf("the file has format version %d, this program reads versions %d to %d; use a newer podstore", n[0], oldestFormat, formatVersion)}
	}
	return int64(n[0]), nil
}

// knownRecord is an error for a record of the bookkeeping that this version does not
// know: one whose checksum is right was written by a newer version, the other may have
// been one that is missed.
func knownRecord(key string, value []byte) error {
	switch key {
	case keyBase, keyDeletions, keyFormat, keyNames:
		return nil
	}
	if _, ok := unsealBook(key, value); ok {
		return &store.Error{Kind: store.ErrFormat, Err: fmt.Errorf("the file has a record %.32q, which was written by a newer version; use a newer podstore", key)}
	}
	return &store.Error{Kind: store.ErrCorrupt, Err: fmt.Errorf("the bookkeeping has an unexpected record %.32q; %s", key, adviceSalvage)}
}

// readBooks reads the record of names, and makes sure that all of the bookkeeping is
// whole.
func readBooks(b *boltfile.Bucket) (*nameRecord, error) {
	if b == nil {
		return nil, &store.Error{Kind: store.ErrFormat, Err: errors.New("this is a bbolt file, but not a podstore database, or its bookkeeping is lost")}
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

// recorded is how many Pods the bookkeeping bucket says there are, or 0.
func recorded(books *boltfile.Bucket) int {
	record, err := readBooks(books)
	if err != nil {
		return 0
	}
	return int(min(record.count, math.MaxInt32))
}
