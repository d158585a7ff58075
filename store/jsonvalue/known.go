package jsonvalue

import (
	"hash/maphash"
	"sync/atomic"
)

// An import brings each manifest to canonical form twice: when it reads the file, and
// when it stores the Pod, because a store checks what it is given. That would be most of
// its work. So this package remembers which documents it has made, by a hash of their
// bytes with a seed of this process. A document that is not canonical passes for one
// that is with a probability of 2⁻⁶⁴.

const (
	// knownSlots is larger than the number of documents that an import has under way at
	// once. A later document takes the slot of an earlier one.
	knownSlots = 1 << 14

	// Smaller documents, in bytes, are faster made again than remembered.
	knownSize = 256

	// knownDepth bounds the nesting of documents that are remembered. The depth itself is
	// not remembered, so they are known only where that much is allowed.
	knownDepth = 32
)

var (
	knownSeed = maphash.MakeSeed()
	known     [knownSlots]atomic.Uint64
)

// remember notes that doc, which nests nesting containers, is canonical.
func remember(doc []byte, nesting int) {
	if len(doc) >= knownSize && nesting <= knownDepth {
		h := maphash.Bytes(knownSeed, doc)
		known[h%knownSlots].Store(h)
	}
}

// isKnown reports whether doc is remembered and nests at most maxDepth containers.
func isKnown(doc []byte, maxDepth int) bool {
	if len(doc) < knownSize || maxDepth < knownDepth {
		return false
	}
	h := maphash.Bytes(knownSeed, doc)
	return h != 0 && known[h%knownSlots].Load() == h
}
