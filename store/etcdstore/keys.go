package etcdstore

import (
	"encoding/binary"
	"fmt"
	"strings"

	"podstore/store"
	"podstore/store/internal/codec"
)

// The keys, format version 1. Names in angle brackets are Pod names, as they are:
// they contain no slash, and sort below pods/ as List does.
//
//	<prefix>
//	├── format                 value  uint: the format version
//	├── deleted                value  [writer uint]: who last deleted Pods alone
//	├── pods/<pod name>        value  [writer uint, sum uint × 6]: the record of the Pod
//	└── values/<pod name>/
//	    ├── active … reclaimed        the sub-keys and values of a database file
//
//	value = CRC32C (4 bytes, big-endian) · msgpack
//
// A Pod exists when its record does. Every change of a Pod writes its record, so
// that the revision of that one key is the Pod's version. The sums are one for each
// sub-key in their order: 0 where there is none, otherwise the CRC32C that its
// value begins with, plus 1. They notice values that vanished or are old ones.
//
// writer is a random number for each transaction. Whoever lost the answer to a
// transaction looks for it among the changes since.
//
// format is compared by every transaction and written only by the first one, and
// again, unchanged, to keep a transaction whose answer was lost from happening
// later.
const (
	formatVersion = 1

	bookkeeping = "/podstore" // the Pod's place in the checksums of format and deleted

	keyFormat  = "format"
	keyDeleted = "deleted"
	keyPod     = "pod" // the sub-key's place in the checksum of a record

	dirPods   = "pods/"
	dirValues = "values/"
)

func (s *Store) formatKey() string          { return s.prefix + keyFormat }
func (s *Store) deletedKey() string         { return s.prefix + keyDeleted }
func (s *Store) podKey(name string) string  { return s.prefix + dirPods + name }
func (s *Store) valueDir(pod string) string { return s.prefix + dirValues + pod + "/" }

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

// record is the value of a Pod's own key.
type record struct {
	writer uint64
	sums   [codec.NumSubKeys]uint64
}

// sumOf is what a record keeps of a value.
func sumOf(value []byte) uint64 {
	if len(value) < codec.SumSize {
		return 0
	}
	return uint64(binary.BigEndian.Uint32(value)) + 1
}

func (r *record) seal(enc *codec.Encoder, pod uint32) []byte {
	return codec.SealKey(pod, []byte(keyPod+"\x00"), enc.Uints(append([]uint64{r.writer}, r.sums[:]...)...))
}

func parseRecord(pod uint32, value []byte) (*record, error) {
	payload, ok := codec.UnsealKey(pod, []byte(keyPod+"\x00"), value)
	if !ok {
		return nil, fmt.Errorf("checksum of its record does not match")
	}
	n, err := codec.DecodeUints(payload, 1+codec.NumSubKeys)
	if err != nil {
		return nil, fmt.Errorf("its record: %w", err)
	}
	return &record{writer: n[0], sums: [codec.NumSubKeys]uint64(n[1:])}, nil
}

// sealBook and unsealBook are for the keys that belong to no Pod.
func sealBook(key string, payload []byte) []byte {
	return codec.SealKey(codec.NameSum([]byte(bookkeeping)), []byte(key+"\x00"), payload)
}

func unsealBook(key string, value []byte) ([]byte, bool) {
	return codec.UnsealKey(codec.NameSum([]byte(bookkeeping)), []byte(key+"\x00"), value)
}

func formatValue() []byte { return sealBook(keyFormat, codec.NewEncoder().Uint(formatVersion)) }

// judgeFormat decides by the value of format whether this version can read what
// is below the prefix.
func (s *Store) judgeFormat(value []byte) error {
	payload, ok := unsealBook(keyFormat, value)
	if !ok {
		return &store.Error{Path: s.formatKey(), Kind: store.ErrCorrupt,
			Err: fmt.Errorf("the format version is damaged; if nothing else uses this prefix, delete the key and the next change writes it again")}
	}
	n, err := codec.DecodeUints(payload, 0)
	if err != nil {
		return &store.Error{Path: s.formatKey(), Kind: store.ErrCorrupt, Err: fmt.Errorf("the format version: %w", err)}
	}
	if n[0] != formatVersion {
		return &store.Error{Path: s.formatKey(), Kind: store.ErrFormat,
			Err: fmt.Errorf("the store has format version %d, this program reads version %d; use a newer podstore", n[0], formatVersion)}
	}
	return nil
}

// writerOf is the writer that a mark names, or false where it is damaged. A mark
// is a Pod's record or the key deleted.
func (t *transaction) writerOf(value []byte) (uint64, bool) {
	if t.markPod != "" {
		r, err := parseRecord(codec.NameSum([]byte(t.markPod)), value)
		if err != nil {
			return 0, false
		}
		return r.writer, true
	}
	payload, ok := unsealBook(keyDeleted, value)
	if !ok {
		return 0, false
	}
	n, err := codec.DecodeUints(payload, 1)
	if err != nil {
		return 0, false
	}
	return n[0], true
}
