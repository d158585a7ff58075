package boltstore

import (
	"errors"
	"fmt"
	"hash/crc32"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
	"podstore/store/internal/codec"
)

// The file, format version 2. Names in angle brackets are Pod names.
//
//	(root)
//	├── "/podstore"                  bookkeeping; no Pod can have this name
//	│   ├── "base"       value       uint: revision numbers count from here; absent: 0
//	│   ├── "deletions"  value       [last uint, floor uint, ids bin]: IDs of deletions; absent: none
//	│   ├── "format"     value       uint: the format version
//	│   └── "names"      value       [count uint, sum uint]: the record of Pod names
//	└── <pod name>                   one bucket for each Pod; its sequence is the Pod's digest
//	    ├── "active"     value       [session bin16, segment bin16 | nil]
//	    ├── "children"   value       [[name str, socket str, rules, callback str] …]
//	    ├── "extra"      value       bin: canonical compact JSON object, unknown fields by name
//	    ├── "manifest"   value       bin: canonical compact JSON
//	    ├── "peers"      value       [name str …]
//	    ├── "reclaimed"  value       [[name str, rules] …]: a short history
//	    │      or        bucket      a longer one, until it is empty
//	    │   └── <number u64, big-endian>  value  [[name str, rules] …]: a chunk; numbers rise
//	    └── "stamp"      value       [number uint, created uint, changed uint,
//	                                  history's entries uint, history's sum uint, floor uint, ids bin]
//
//	rules = [[target str, permission str, recursive bool] …]
//	ids   = (request ID 16 bytes · checksum of the changes 4 · upper half of the digest
//	         that the next change finds 4 · number 8) …
//	value = CRC32C (4 bytes, big-endian) · msgpack
//
// An empty field has no sub-key; an empty Pod has only its stamp. The CRC of a value
// covers bucket name · 0 · sub-key · 0 · msgpack. In a chunk, its number · 0 stands
// before the msgpack. So podstore notices a value that turns up in another place. The
// digest covers the sub-keys that a Pod has, and their CRCs. The stamp counts and sums
// up the chunks of a history. The record covers which Pods exist. The transaction of a
// change writes all of them.
//
// The number of a revision is base + transaction id × 4096 + the place of the change
// in its transaction.
//
// Format version 1 has no stamps, bases or deletions, and every history is one value.
// podstore reads such a file as it is. The first change makes it version 2: see
// upgradeFormat. A Pod gets a stamp with its first change.
const (
	formatVersion = 2
	oldestFormat  = 1

	bookkeeping  = "/podstore"
	keyBase      = "base"
	keyDeletions = "deletions"
	keyFormat    = "format"
	keyNames     = "names"
)

// checkFormat returns the format version. It refuses a version, and a record, that this
// program does not know.
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

// parseFormat returns the format version, or an error if this program cannot read it.
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

// knownRecord returns an error for a record that this program does not know. If its
// checksum is right, a newer version wrote it. Otherwise it is damage, perhaps of a
// record that is missing elsewhere.
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

// upgradeFormat makes the file one of this version. Every transaction with changes calls
// it, so an older program never takes a file whose Pods it would misread.
func (s *Store) upgradeFormat(put func(key string, payload []byte) error) error {
	if s.format.Load() == formatVersion {
		return nil
	}
	return put(keyFormat, s.enc.Uint(formatVersion))
}

// upgraded notes that a transaction with changes is durable.
func (s *Store) upgraded() {
	if s.format.Swap(formatVersion) != formatVersion {
		s.log.Warn("podstore: the file now has a format that older programs cannot open", "path", s.path, "format", formatVersion)
	}
}

// placeBits is the number of bits of a revision number that number the changes within
// one transaction.
const placeBits = 12

// maxGroup limits the changes of one transaction: each needs a revision number of its
// own.
const maxGroup = 1 << placeBits

// unseal is codec.Unseal, except for the mutant that ignores checksums.
func unseal(bucket uint32, sub int, value []byte) ([]byte, bool) {
	return unsealKey(bucket, codec.KeySums[sub], value)
}

func unsealKey(bucket uint32, key, value []byte) ([]byte, bool) {
	payload, ok := codec.UnsealKey(bucket, key, value)
	if mutant == "nocrc" && payload != nil {
		return payload, true
	}
	return payload, ok
}

// sealBook and unsealBook seal and unseal values of the bookkeeping bucket.
func sealBook(key string, payload []byte) []byte {
	return codec.SealKey(codec.NameSum([]byte(bookkeeping)), append([]byte(key), 0), payload)
}

func unsealBook(key string, value []byte) ([]byte, bool) {
	return unsealKey(codec.NameSum([]byte(bookkeeping)), append([]byte(key), 0), value)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// digest returns a Pod's digest, which its bucket keeps as its sequence. The upper half
// is a CRC32C over sub-key · 0 · CRC of each value. The lower half is the Pod's
// codec.NameSum.
func digest(bucket uint32, values *[codec.NumSubKeys][]byte) uint64 {
	if mutant == "norecord" {
		return 0
	}
	var upper uint32
	for i, v := range values {
		if len(v) >= codec.SumSize {
			upper = crc32.Update(upper, castagnoli, codec.KeySums[i])
			upper = crc32.Update(upper, castagnoli, v[:codec.SumSize])
		}
	}
	return uint64(upper)<<32 | uint64(bucket)
}

// numberOf returns the highest revision number that a transaction can give.
func (s *Store) numberOf(tx int64) uint64 {
	return s.base + uint64(tx)<<placeBits + maxGroup - 1
}
