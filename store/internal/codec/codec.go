// Package codec is what every engine stores of a Pod: the sub-keys of section
// "The tree" in docs/format.md, each as msgpack under a checksum that binds it to
// its place. It knows nothing of where the values are kept.
package codec

import (
	"encoding/binary"
	"hash/crc32"

	"podstore/store"
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

// SubKeyIndex is the index of a sub-key, or -1.
func SubKeyIndex(key []byte) int {
	for i := range SubKeys {
		if string(key) == SubKeys[i] {
			return i
		}
	}
	return -1
}

// SubKeyBytes is a sub-key for bbolt, which does not change it.
func SubKeyBytes(sub int) []byte { return KeySums[sub][:len(SubKeys[sub])] }

// SumSize is the size of the checksum that a value begins with, big-endian.
const SumSize = 4

// MaxPayload bounds the msgpack of a value: a manifest of the largest size and
// the header before it.
const MaxPayload = store.MaxValueSize + 5

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// zero ends a Pod's name, and a sub-key, in what a checksum covers.
var zero = []byte{0}

// KeySums are what a checksum takes of each sub-key: sub-key · 0.
var KeySums = func() (b [NumSubKeys][]byte) {
	for i, k := range SubKeys {
		b[i] = append([]byte(k), 0)
	}
	return b
}()

// NameSum is the checksum of a Pod's name and a zero byte, with which every
// checksum of what is kept of it begins.
func NameSum(name []byte) uint32 {
	return crc32.Update(crc32.Checksum(name, castagnoli), castagnoli, zero)
}

// valueSum is the checksum of a value: of its Pod's name, its sub-key and its
// msgpack.
func valueSum(pod uint32, key, payload []byte) uint32 {
	return crc32.Update(crc32.Update(pod, castagnoli, key), castagnoli, payload)
}

// Seal returns the value of a Pod's sub-key: checksum and msgpack, in memory of
// its own. pod is the NameSum of the Pod.
func Seal(pod uint32, sub int, payload []byte) []byte {
	return SealKey(pod, KeySums[sub], payload)
}

// SealKey is Seal for a key that is no sub-key: key is its name and a zero byte.
func SealKey(pod uint32, key, payload []byte) []byte {
	v := make([]byte, SumSize, SumSize+len(payload))
	binary.BigEndian.PutUint32(v, valueSum(pod, key, payload))
	return append(v, payload...)
}

// Unseal returns the msgpack of a value, which is a part of it, or false when
// the checksum is not that of this Pod and sub-key.
func Unseal(pod uint32, sub int, value []byte) ([]byte, bool) {
	return UnsealKey(pod, KeySums[sub], value)
}

// UnsealKey is Unseal for a key that is no sub-key.
func UnsealKey(pod uint32, key, value []byte) ([]byte, bool) {
	if len(value) <= SumSize {
		return nil, false
	}
	payload := value[SumSize:]
	return payload, binary.BigEndian.Uint32(value) == valueSum(pod, key, payload)
}

// Payload is the msgpack within a value that was verified before, nil where there
// is no value.
func Payload(value []byte) []byte {
	if value == nil {
		return nil
	}
	return value[SumSize:]
}
