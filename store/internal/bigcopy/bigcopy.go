// Package bigcopy copies much memory without holding up other goroutines.
//
// The runtime cannot interrupt the instructions that clear or copy memory. If it wants to
// stop such a goroutine, for the garbage collector or so that others may run, it waits
// for their end. Fresh memory costs a page fault for every 4 KiB, so 8 MiB were seen to
// stop a whole server for 60 ms.
package bigcopy

import "slices"

// Piece is how many bytes are done before the runtime can step in.
const Piece = 64 << 10

// Append appends src to dst, as append does.
func Append(dst, src []byte) []byte {
	if len(src) <= Piece {
		return append(dst, src...)
	}
	dst = Grow(dst, len(src))
	for piece := range slices.Chunk(src, Piece) {
		dst = appendPiece(dst, piece)
	}
	return dst
}

// Grow returns dst with room for n more bytes. make clears much memory in steps, and
// [slices.Grow] does not.
func Grow(dst []byte, n int) []byte {
	if n <= cap(dst)-len(dst) {
		return dst
	}
	return Append(make([]byte, 0, len(dst)+n), dst)
}

// appendPiece is where the runtime steps in: it does so at the call of a function, and a
// signal hardly ever meets the loop outside of a copy.
//
//go:noinline
func appendPiece(dst, piece []byte) []byte { return append(dst, piece...) }
