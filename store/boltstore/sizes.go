package boltstore

import (
	"math/bits"
	"runtime"
)

// pageSize is the page size of new files. A Pod with a 4 KB manifest and all its
// sub-keys fits one page of 8 KiB, and takes four of 4 KiB: bbolt splits a node
// of more than four keys that does not fit a page.
const pageSize = 8192

// allocSize is the step by which a file grows, once it is larger than that; a
// smaller one is doubled.
const allocSize = 1 << 20

// initialMapping is address space, not memory. When a file outgrows its mapping
// bbolt waits for all readers and copies what the transaction has changed so far,
// which made an import a fifth slower. On Windows the file itself would grow to
// that size.
var initialMapping = func() int {
	if runtime.GOOS == "windows" || bits.UintSize == 32 {
		return 0
	}
	return 256 << 20
}()

// A transaction that creates many Pods is an import: names come in order, and where
// the Pods are so small that bbolt keeps them in the tree of names, full pages halve
// the file. A larger Pod has a page of its own, beside which that tree is small; it is
// left half full, since every later commit reads and writes whole leaves of it
// (BenchmarkAddPeer: 4 % for a lone writer).
const (
	bulkCreates = 64
	bulkFill    = 0.95
	inlineSize  = pageSize / 4 // what bbolt takes for small
)
