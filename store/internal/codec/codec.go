// Package codec encodes what every engine stores of a Pod: the sub-keys of section "The
// tree" in docs/format.md. Each is msgpack under a checksum that binds it to its place.
// The package does not know where an engine keeps the values.
package codec

import (
	"encoding/binary"
	"hash/crc32"
	"slices"

	"podstore/store"
	"podstore/store/internal/bigcopy"
)

// SubKeys are a Pod's sub-keys, sorted by bytes: one for each [store.Field], by its
// index, and the stamp.
var SubKeys = [NumSubKeys]string{"active", "children", "extra", "manifest", "peers", "reclaimed", "stamp"}

// Indexes into SubKeys.
const (
	Active     = int(store.FieldActive)
	Children   = int(store.FieldChildren)
	Extra      = int(store.FieldExtra)
	Manifest   = int(store.FieldManifest)
	Peers      = int(store.FieldPeers)
	Reclaimed  = int(store.FieldReclaimed)
	StampKey   = store.NumFields
	NumSubKeys = store.NumFields + 1
)

// SubKeyIndex returns the index of a sub-key, or -1.
func SubKeyIndex(key []byte) int {
	for i := range SubKeys {
		if string(key) == SubKeys[i] {
			return i
		}
	}
	return -1
}

// SubKeyBytes returns a sub-key for bbolt, which does not change the bytes.
func SubKeyBytes(sub int) []byte { return KeySums[sub][:len(SubKeys[sub])] }

// SumSize is the size of the checksum at the beginning of a value. It is big-endian.
const SumSize = 4

// MaxPayload limits the msgpack of a value: the largest manifest and its header.
const MaxPayload = store.MaxValueSize + 5

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// zero separates a Pod's name, and a sub-key, from what follows them in a checksum.
var zero = []byte{0}

// KeySums are the parts of the checksums that come from the sub-keys: sub-key · 0.
var KeySums = func() (b [NumSubKeys][]byte) {
	for i, k := range SubKeys {
		b[i] = append([]byte(k), 0)
	}
	return b
}()

// NameSum returns the checksum of a Pod's name and a zero byte. The checksum of every
// value of the Pod begins with it.
func NameSum(name []byte) uint32 {
	return crc32.Update(crc32.Checksum(name, castagnoli), castagnoli, zero)
}

// valueSum returns the checksum of a value: of its Pod's name, its sub-key and its
// msgpack.
func valueSum(pod uint32, key, payload []byte) uint32 {
	sum := crc32.Update(pod, castagnoli, key)
	for piece := range slices.Chunk(payload, bigcopy.Piece) { // may have to come from the disk
		sum = crc32.Update(sum, castagnoli, piece)
	}
	return sum
}

// Seal returns the value of a Pod's sub-key, checksum and msgpack, in new memory. pod
// is the Pod's NameSum.
func Seal(pod uint32, sub int, payload []byte) []byte {
	return SealKey(pod, KeySums[sub], payload)
}

// SealKey is Seal for a key that is not a sub-key. key is its name and a zero byte.
func SealKey(pod uint32, key, payload []byte) []byte {
	v := make([]byte, SumSize, SumSize+len(payload))
	binary.BigEndian.PutUint32(v, valueSum(pod, key, payload))
	return append(v, payload...)
}

// Unseal returns the msgpack inside a value, in the value's memory. It returns false if
// the checksum is not that of this Pod and sub-key.
func Unseal(pod uint32, sub int, value []byte) ([]byte, bool) {
	return UnsealKey(pod, KeySums[sub], value)
}

// UnsealKey is Unseal for a key that is not a sub-key.
func UnsealKey(pod uint32, key, value []byte) ([]byte, bool) {
	if len(value) <= SumSize {
		return nil, false
	}
	payload := value[SumSize:]
	return payload, binary.BigEndian.Uint32(value) == valueSum(pod, key, payload)
}

// Payload returns the msgpack inside a verified value, or nil if there is no value.
func Payload(value []byte) []byte {
	if value == nil {
		return nil
	}
	return value[SumSize:]
}
