package boltstore

import "math/bits"

// pageSize is the page size of new files. A Pod with a manifest of 4 KB and all its
// sub-keys fits one page of 8 KiB. With pages of 4 KiB it takes four: bbolt splits a
// node of more than four keys that does not fit a page.
const pageSize = 8192

// allocSize is the step by which a larger file grows. A smaller file doubles.
const allocSize = 1 << 20

// initialMapping is address space, not memory. When a file outgrows its mapping, bbolt
// waits for all readers and copies what the transaction has changed so far. That made
// an import a fifth slower. A machine of 32 bits has too little address space for it.
// Tests change it.
var initialMapping = (256 << 20) * (bits.UintSize / 64)

// A transaction that creates many Pods is an import. Its names come in order. If the
// Pods are so small that bbolt keeps them in the tree of names, full pages halve the
// file. A larger Pod has a page of its own, and the tree is small beside those pages.
// Its leaves then stay half full, because every later commit reads and writes whole
// leaves (BenchmarkAddPeer: 4 % for a lone writer).
const (
	bulkCreates = 64
	bulkFill    = 0.95
	inlineSize  = pageSize / 4 // bbolt keeps smaller buckets in their parent's page
)
