package bigcopy

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func TestAppend(t *testing.T) {
	src := make([]byte, 3*Piece+1)
	for i := range src {
		src[i] = byte(rand.Uint32())
	}
	for _, have := range []int{0, 3, 2*Piece + 5} {
		for _, n := range []int{0, 1, Piece - 1, Piece, Piece + 1, 2 * Piece, len(src)} {
			want := append(bytes.Clone(src[:have]), src[:n]...)
			if got := Append(bytes.Clone(src[:have]), src[:n]); !bytes.Equal(got, want) {
				t.Errorf("%d bytes after %d: %d come out, or others", n, have, len(got))
			}
			if got := Grow(src[:have:have], n); !bytes.Equal(got, src[:have]) || cap(got) < have+n {
				t.Errorf("room for %d bytes after %d: %d of %d", n, have, len(got), cap(got))
			}
		}
	}
}
