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

// The keys, format version 2. Names in angle brackets are Pod names, as they are:
// they contain no slash, and sort below pods/ as List does.
//
//	<prefix>
//	├── format                 value  uint: the format version
//	├── deleted/00 … ff        value  [0, floor uint, IDs]: who deleted Pods
//	├── pods/<pod name>        value  [created, changed, floor uint, IDs, sum uint × 6]: the record of the Pod
//	└── values/<pod name>/
//	    ├── active … reclaimed        the sub-keys and values of a database file
//	    └── held                      empty: see below
//
//	value = CRC32C (4 bytes, big-endian) · msgpack
//	IDs   = binary: (ID 16 bytes, checksum of the changes 4, digest 4, number 8) × up to 16
//
// A Pod exists when its record does. Every change of a Pod writes its record, so
// that the revision of that one key is the number of the Pod's revision. The sums are
// one for each sub-key in their order: 0 where there is none, otherwise the CRC32C
// that its value begins with, plus 1. They notice values that vanished or are old
// ones.
//
// Every Apply has an ID, its caller's or one of its own. It is added to the record of
// each Pod that it changes, and for a Pod that it deletes to one of the keys
// deleted/, by the checksum of the Pod's name. So whoever lost the answer to a
// transaction reads the Pod again and knows. What is not known before, the number,
// which is the revision of the key, and the digest, of the record, is 0 in the ID that
// was added last, and filled in with the next one; floor is the number of the last ID
// that was dropped, and of a new record the revision of the key deleted/.
//
// A transaction compares the revision of format, of the record of each Pod that it
// concerns, and for a Pod that is missing that of its key deleted/. So of requests
// that were sent again at most one can be made, however late they arrive.
//
// held is written by a transaction that makes other Pods refer to this one because it
// exists, and does not change it. Remove compares it, so that no reference to the Pod
// is made while it looks for them.
//
// In format version 1 a record is [writer uint, sum uint × 6], and there is one key
// deleted, [writer uint]. Both are read; the first change writes the new number and
// removes deleted, and each Pod's record is written anew when the Pod is changed.
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

// deletedName is the name, below the prefix, of the key for IDs that deleted a Pod.
func deletedName(pod string) string {
	return fmt.Sprintf("%s%02x", dirDeleted, byte(codec.NameSum([]byte(pod))))
}

// after is the end of the range of all keys that begin with dir, which ends in a
// slash.
func after(dir string) string { return dir[:len(dir)-1] + "0" }

// splitValueKey takes a key below values/ apart.
func (s *Store) splitValueKey(key []byte) (pod, sub string, ok bool) {
	rest, ok := strings.CutPrefix(string(key), s.prefix+dirValues)
	if !ok {
		return "", "", false
	}
	return strings.Cut(rest, "/")
}

// sums are what a record keeps of the values.
type sums = [store.NumFields]uint64

// sumOf is what a record keeps of a value.
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

// parseRecord reads a record that was written at a revision. The error matches
// store.ErrFormat where it is whole, and none that this version writes.
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

// complete fills in what could not be known of the ID that was added last.
func complete(ids []codec.MadeID, rev int64, digest uint32) {
	for i := range ids {
		if ids[i].Number == 0 {
			ids[i].Number, ids[i].Digest = uint64(rev), digest
		}
	}
}

// recordSum is what a revision's digest has of a record, which holds an ID that was
// chosen at random.
func recordSum(record []byte) uint32 {
	h := fnv.New32a()
	_, _ = h.Write(record)
	return h.Sum32()
}

// digest is that of a Pod's revision.
func digest(recordSum, nameSum uint32) uint64 { return uint64(recordSum)<<32 | uint64(nameSum) }

// deletions are the value of one of the keys deleted/.
type deletions struct {
	key   string
	rev   int64 // of the key, 0 where there is none
	floor uint64
	ids   []codec.MadeID
}

func (d *deletions) seal(enc *codec.Encoder, name string) []byte {
	return sealBook(name, enc.Deletions(0, d.floor, d.ids))
}

// parseDeletions reads what seal wrote. Where it is damaged no ID of it is known.
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

// checkFormat reads the value of format, and decides whether this version can read
// what is below the prefix.
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
