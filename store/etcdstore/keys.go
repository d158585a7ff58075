package etcdstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"

	"podstore/store"
	"podstore/store/internal/codec"
)

// The keys, format version 2. Names in angle brackets are Pod names. They contain no
// slash, so they stand there unchanged and sort below pods/ as List does.
//
//	<prefix>
//	├── format                 value  uint: the format version
//	├── deleted/00 … ff        value  [0, floor uint, IDs]: IDs of deletions
//	├── pods/<pod name>        value  [created, changed, floor uint, IDs, sum uint × 6]: the record of the Pod
//	└── values/<pod name>/
//	    ├── active … reclaimed        the sub-keys and values of a database file
//	    └── held                      empty: see below
//
//	value = CRC32C (4 bytes, big-endian) · msgpack
//	IDs   = binary: (ID 16 bytes, checksum of the changes 4, digest 4, number 8) × up to 16
//
// A Pod exists if its record does. Every change of a Pod writes its record, so the
// revision of that one key is the number of the Pod's revision. A record has one sum for
// each sub-key, in their order: 0 if the sub-key is absent, otherwise the CRC32C at the
// beginning of its value, plus 1. The sums reveal values that vanished or are old.
//
// Every Apply has an ID, its caller's or one of its own. The record of each changed Pod
// keeps it. For a deleted Pod, one of the keys deleted/ keeps it, chosen by the checksum
// of the Pod's name. So a client that lost the answer to a transaction reads the Pod
// again and knows. The number of an ID is the revision of the key, and its digest is
// that of the record. Neither is known when the ID is added: both are 0 in the last ID
// and are filled in when the next one is added. floor is the number of the last dropped
// ID; in a new record it is the revision of the key deleted/.
//
// A transaction compares the revision of format, of the record of each Pod that it
// concerns, and, for a missing Pod, of its key deleted/. So if a request is sent several
// times, at most one of them is made, however late they arrive.
//
// A transaction writes held if it makes other Pods refer to this one because it exists,
// and does not change this one. Remove compares held, so that nobody makes such a
// reference while Remove looks for them.
//
// In format version 1 a record is [writer uint, sum uint × 6], and there is one key
// deleted, [writer uint]. This version reads both. The first change writes the new
// number and removes deleted. Each Pod's record becomes new with its first change.
const (
	formatVersion = 2

	bookkeeping = "/podstore" // the Pod's place in the checksums of format and deleted

	keyFormat  = "format"
	keyDeleted = "deleted"
	keyPod     = "pod" // the sub-key's place in the checksum of a record
	keyHeld    = "held"

	dirPods    = "pods/"
	dirValues  = "values/"
	dirDeleted = keyDeleted + "/"
)

func (s *Store) formatKey() string          { return s.prefix + keyFormat }
func (s *Store) oldDeletedKey() string      { return s.prefix + keyDeleted }
func (s *Store) podKey(name string) string  { return s.prefix + dirPods + name }
func (s *Store) valueDir(pod string) string { return s.prefix + dirValues + pod + "/" }

// deletedName returns the name, below the prefix, of the key for IDs that deleted a
// Pod.
func deletedName(pod string) string {
	return fmt.Sprintf("%s%02x", dirDeleted, byte(codec.NameSum([]byte(pod))))
}

// after returns the end of the range of all keys that begin with dir, which ends in a
// slash.
func after(dir string) string { return dir[:len(dir)-1] + "0" }

// splitValueKey splits a key below values/.
func (s *Store) splitValueKey(key []byte) (pod, sub string, ok bool) {
	rest, ok := strings.CutPrefix(string(key), s.prefix+dirValues)
	if !ok {
		return "", "", false
	}
	return strings.Cut(rest, "/")
}

// sums hold one sum for each value of a Pod.
type sums = [store.NumFields]uint64

// sumOf returns the sum of a value for the record.
func sumOf(value []byte) uint64 {
	if len(value) < codec.SumSize {
		return 0
	}
	return uint64(binary.BigEndian.Uint32(value)) + 1
}

// record is the value of a Pod's own key.
type record struct {
	stamp codec.Stamp // Number is the revision of the key
	sums  sums
}

func (r *record) seal(enc *codec.Encoder, pod uint32) []byte {
	return codec.SealKey(pod, []byte(keyPod+"\x00"), enc.Record(&r.stamp, &r.sums))
}

// parseRecord reads a record that was written at a revision. Its error matches
// store.ErrFormat if the record is whole but this version cannot read it.
func parseRecord(pod uint32, value []byte, rev int64) (*record, error) {
	payload, ok := codec.UnsealKey(pod, []byte(keyPod+"\x00"), value)
	if !ok {
		return nil, errors.New("checksum of its record does not match")
	}
	r := new(record)
	if n, err := codec.DecodeUints(payload, 1+len(r.sums)); err == nil {
		r.sums = sums(n[1:]) // format version 1
	} else if err := codec.DecodeRecord(&r.stamp, &r.sums, payload); err != nil {
		return nil, fmt.Errorf("%w: its record was written by a newer version; use a newer podstore", store.ErrFormat)
	}
	r.stamp.Number = uint64(rev)
	complete(r.stamp.IDs, rev, recordSum(value))
	return r, nil
}

// complete fills in the number and digest of the ID that was added last.
func complete(ids []codec.MadeID, rev int64, digest uint32) {
	for i := range ids {
		if ids[i].Number == 0 {
			ids[i].Number, ids[i].Digest = uint64(rev), digest
		}
	}
}

// recordSum returns the record's part of a revision's digest. The record has a random
// ID, so equal content still gets another digest.
func recordSum(record []byte) uint32 {
	h := fnv.New32a()
	_, _ = h.Write(record)
	return h.Sum32()
}

// digest returns the digest of a Pod's revision.
func digest(recordSum, nameSum uint32) uint64 { return uint64(recordSum)<<32 | uint64(nameSum) }

// deletions is the value of one of the keys deleted/.
type deletions struct {
	key   string
	rev   int64 // of the key, or 0 if it is absent
	floor uint64
	ids   []codec.MadeID
}

func (d *deletions) seal(enc *codec.Encoder, name string) []byte {
	return sealBook(name, enc.Deletions(0, d.floor, d.ids))
}

// parseDeletions reads a value of seal. A damaged value has no IDs.
func parseDeletions(key, name string, value []byte, rev int64) *deletions {
	d := &deletions{key: key, rev: rev}
	if rev == 0 {
		return d
	}
	payload, ok := unsealBook(name, value)
	if ok {
		var err error
		_, d.floor, d.ids, err = codec.DecodeDeletions(payload)
		ok = err == nil
	}
	if !ok {
		d.floor, d.ids = uint64(rev), nil
	}
	complete(d.ids, rev, 0)
	return d
}

// sealBook and unsealBook are for the keys that belong to no Pod.
func sealBook(key string, payload []byte) []byte {
	return codec.SealKey(codec.NameSum([]byte(bookkeeping)), []byte(key+"\x00"), payload)
}

func unsealBook(key string, value []byte) ([]byte, bool) {
	return codec.UnsealKey(codec.NameSum([]byte(bookkeeping)), []byte(key+"\x00"), value)
}

func formatValue() []byte { return sealBook(keyFormat, codec.NewEncoder().Uint(formatVersion)) }

// checkFormat returns the format version, or an error if this version cannot read the
// store.
func (s *Store) checkFormat(value []byte) (version uint64, err error) {
	payload, ok := unsealBook(keyFormat, value)
	if !ok {
		return 0, &store.Error{Path: s.formatKey(), Kind: store.ErrCorrupt,
			Err: errors.New("the format version is damaged; if nothing else uses this prefix, delete the key and the next change writes it again")}
	}
	n, err := codec.DecodeUints(payload, 0)
	if err != nil {
		return 0, &store.Error{Path: s.formatKey(), Kind: store.ErrCorrupt, Err: fmt.Errorf("the format version: %w", err)}
	}
	if n[0] != 1 && n[0] != formatVersion {
		return 0, &store.Error{Path: s.formatKey(), Kind: store.ErrFormat,
			Err: fmt.Errorf("the store has format version %d, this program reads versions 1 and %d; use a newer podstore", n[0], formatVersion)}
	}
	return n[0], nil
}
