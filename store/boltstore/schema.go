package boltstore

import (
	"hash/crc32"

	"podstore/store/internal/codec"
)

// The file, format version 2. Names in angle brackets are Pod names.
//
//	(root)
//	├── "/podstore"                  bookkeeping; no Pod can have this name
//	│   ├── "base"       value       uint: what revision numbers are counted from; absent: 0
//	│   ├── "deletions"  value       [last uint, floor uint, ids bin]: deletions made under IDs; absent: none
//	│   ├── "format"     value       uint: the format version
//	│   └── "names"      value       [count uint, sum uint]: the record of Pod names
//	└── <pod name>                   one bucket a Pod; its sequence is the Pod's digest
//	    ├── "active"     value       [session bin16, segment bin16 | nil]
//	    ├── "children"   value       [[name str, socket str, rules, callback str] …]
//	    ├── "extra"      value       bin: canonical compact JSON object, unknown fields by name
//	    ├── "manifest"   value       bin: canonical compact JSON
//	    ├── "peers"      value       [name str …]
//	    ├── "reclaimed"  value       [[name str, rules] …]: a short history
//	    │      or        bucket      a longer one, until it is emptied
//	    │   └── <number u64, big-endian>  value  [[name str, rules] …]: a chunk; numbers rise
//	    └── "stamp"      value       [number uint, created uint, changed uint,
//	                                  history's entries uint, history's sum uint, floor uint, ids bin]
//
//	rules = [[target str, permission str, recursive bool] …]
//	ids   = (request ID 16 bytes · checksum of the changes 4 · upper half of the digest
//	         that the next change found 4 · number 8) …
//	value = CRC32C (4 bytes, big-endian) · msgpack
//
// A sub-key is absent when there is nothing to keep; a Pod with nothing set has
// its stamp alone. The CRC of a value covers bucket name · 0 · sub-key · 0 ·
// msgpack, and for a chunk its number · 0 before the msgpack, so that a value that
// turns up elsewhere is noticed. The digest covers which sub-keys a Pod has and
// their CRCs; the stamp counts and sums up the chunks of a history in a bucket; the
// record covers which Pods there are. All are written in the transaction of the
// change itself.
//
// A revision's number is base + transaction id × 4096 + the place of the change in
// its transaction.
//
// Format version 1 has no stamps, bases or deletions, and every history is a value.
// A file of it is read as it is. The first change makes it version 2; a Pod gets a
// stamp when it is changed.
const (
	formatVersion = 2
	oldestFormat  = 1

	bookkeeping  = "/podstore"
	keyBase      = "base"
	keyDeletions = "deletions"
	keyFormat    = "format"
	keyNames     = "names"
)

// placeBits are the bits of a revision's number that tell the changes of one
// transaction apart.
const placeBits = 12

// maxGroup is how many changes one transaction takes: each has a revision number of
// its own.
const maxGroup = 1 << placeBits

// unseal is codec.Unseal, but for the mutant that ignores checksums.
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

// sealBook and unsealBook are seal and unseal for the bookkeeping bucket.
func sealBook(key string, payload []byte) []byte {
	return codec.SealKey(codec.NameSum([]byte(bookkeeping)), append([]byte(key), 0), payload)
}

func unsealBook(key string, value []byte) ([]byte, bool) {
	return unsealKey(codec.NameSum([]byte(bookkeeping)), append([]byte(key), 0), value)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// digest is what a Pod's bucket has as its sequence: in the upper half a CRC32C
// over sub-key · 0 · CRC of each value there is, in the lower half the Pod's
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

// numberOf is the highest revision number of a transaction.
func (s *Store) numberOf(tx int64) uint64 {
	return s.base + uint64(tx)<<placeBits + maxGroup - 1
}
