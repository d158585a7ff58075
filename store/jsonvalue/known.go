package jsonvalue

import (
	"hash/maphash"
	"sync/atomic"
)

// A manifest is brought to canonical form where it is read, and once more where
// it is stored, because the store takes nobody's word for it: then most of the
// work of an import is done twice. So this package remembers which documents it
// has made, by a hash of their bytes with a seed of this process. That a document
// which is not canonical is taken for one that is has a chance of 2⁻⁶⁴ each time.

const (
	// knownSlots is more than an import has under way at a time; a later document
	// takes the slot of an earlier one.
	knownSlots = 1 << 14

	// knownSize is the size in bytes from which remembering pays.
	knownSize = 256

	// knownDepth bounds the nesting of what is remembered, so that it is known to
	// fit wherever that much is allowed.
	knownDepth = 32
)

var (
	knownSeed = maphash.MakeSeed()
	known     [knownSlots]atomic.Uint64
)

// remember notes that doc, which nests as many containers, is canonical.
func remember(doc []byte, nesting int) {
	if len(doc) >= knownSize && nesting <= knownDepth {
		h := maphash.Bytes(knownSeed, doc)
		known[h%knownSlots].Store(h)
	}
}

// isKnown reports whether doc is remembered and may nest maxDepth containers.
func isKnown(doc []byte, maxDepth int) bool {
	if len(doc) < knownSize || maxDepth < knownDepth {
		return false
	}
	h := maphash.Bytes(knownSeed, doc)
	return h != 0 && known[h%knownSlots].Load() == h
}
