package boltstore

import (
	"hash/crc32"

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
// podstore reads such a file as it is. The first change makes it version 2. A Pod gets
// a stamp with its first change.
const (
	formatVersion = 2
	oldestFormat  = 1

	bookkeeping  = "/podstore"
	keyBase      = "base"
	keyDeletions = "deletions"
	keyFormat    = "format"
	keyNames     = "names"
)

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
