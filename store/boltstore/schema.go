package boltstore

import (
	"encoding/binary"
	"hash/crc32"
	"hash/fnv"
)

// The file, format version 1. Names in angle brackets are Pod names.
//
//	(root)
//	├── "/podstore"                 bookkeeping; no Pod can have this name
//	│   ├── "format"    value       uint: the format version
//	│   └── "names"     value       [count uint, sum uint]: the record of Pod names
//	└── <pod name>                  one bucket a Pod; its sequence is the Pod's digest
//	    ├── "active"    value       [session bin16, segment bin16 | nil]
//	    ├── "children"  value       [[name str, socket str, rules, callback str] …]
//	    ├── "extra"     value       bin: canonical compact JSON object, unknown fields by name
//	    ├── "manifest"  value       bin: canonical compact JSON
//	    ├── "peers"     value       [name str …]
//	    └── "reclaimed" value       [[name str, rules] …]
//
//	rules = [[target str, permission str, recursive bool] …]
//	value = CRC32C (4 bytes, big-endian) · msgpack
//
// A sub-key is absent when there is nothing to keep; a Pod with nothing set is
// an empty bucket. The CRC of a value covers bucket name · 0 · sub-key · 0 ·
// msgpack, so that a value that turns up elsewhere is noticed. The digest covers
// which sub-keys a Pod has and their CRCs, the record covers which Pods there
// are; both are written in the transaction of the change itself.
const (
	formatVersion = 1

	bookkeeping = "/podstore"
	keyFormat   = "format"
	keyNames    = "names"
)

// subKeys are a Pod's sub-keys in bbolt's order.
var subKeys = [...]string{"active", "children", "extra", "manifest", "peers", "reclaimed"}

// Indexes into subKeys.
const (
	subActive = iota
	subChildren
	subExtra
	subManifest
	subPeers
	subReclaimed
	numSubKeys
)

// subKeyIndex is the index of a sub-key, or -1.
func subKeyIndex(key []byte) int {
	for i, k := range subKeys {
		if string(key) == k {
			return i
		}
	}
	return -1
}

// pageSize is the page size of new files. A Pod with a 4 KB manifest and all its
// sub-keys fits one page of 8 KiB, and takes four of 4 KiB: bbolt splits a node
// of more than four keys that does not fit a page.
const pageSize = 8192

const crcSize = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// zero ends a bucket's name, and a sub-key, in what a checksum covers.
var zero = []byte{0}

// keySums are what a checksum takes of each sub-key: sub-key · 0.
var keySums = func() (b [numSubKeys][]byte) {
	for i, k := range subKeys {
		b[i] = append([]byte(k), 0)
	}
	return b
}()

// nameSum is the checksum of a bucket's name and a zero byte, with which every
// checksum of what is in it begins.
func nameSum(name []byte) uint32 {
	return crc32.Update(crc32.Checksum(name, castagnoli), castagnoli, zero)
}

// valueSum is the checksum of a value: of its bucket's name, its sub-key and its
// msgpack.
func valueSum(bucket uint32, key, payload []byte) uint32 {
	return crc32.Update(crc32.Update(bucket, castagnoli, key), castagnoli, payload)
}

// seal returns the value of a Pod's sub-key: checksum and msgpack, in memory of
// its own. bucket is the nameSum of the Pod.
func seal(bucket uint32, sub int, payload []byte) []byte {
	return sealKey(bucket, keySums[sub], payload)
}

func sealKey(bucket uint32, key, payload []byte) []byte {
	v := make([]byte, crcSize, crcSize+len(payload))
	binary.BigEndian.PutUint32(v, valueSum(bucket, key, payload))
	return append(v, payload...)
}

// unseal returns the msgpack of a value, or false when the checksum is not that
// of this bucket and sub-key.
func unseal(bucket uint32, sub int, value []byte) ([]byte, bool) {
	return unsealKey(bucket, keySums[sub], value)
}

func unsealKey(bucket uint32, key, value []byte) ([]byte, bool) {
	if len(value) <= crcSize {
		return nil, false
	}
	payload := value[crcSize:]
	if mutant == "nocrc" {
		return payload, true
	}
	return payload, binary.BigEndian.Uint32(value) == valueSum(bucket, key, payload)
}

// sealBook and unsealBook are seal and unseal for the bookkeeping bucket.
func sealBook(key string, payload []byte) []byte {
	return sealKey(nameSum([]byte(bookkeeping)), append([]byte(key), 0), payload)
}

func unsealBook(key string, value []byte) ([]byte, bool) {
	return unsealKey(nameSum([]byte(bookkeeping)), append([]byte(key), 0), value)
}

// digest is what a Pod's bucket has as its sequence: in the upper half a CRC32C
// over sub-key · 0 · CRC of each value there is, in the lower half the Pod's
// nameSum.
func digest(bucket uint32, values *[numSubKeys][]byte) uint64 {
	if mutant == "norecord" {
		return 0
	}
	var upper uint32
	for i, v := range values {
		if len(v) >= crcSize {
			upper = crc32.Update(upper, castagnoli, keySums[i])
			upper = crc32.Update(upper, castagnoli, v[:crcSize])
		}
	}
	return uint64(upper)<<32 | uint64(bucket)
}

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
