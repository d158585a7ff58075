package socketstore

import (
	"sync"

	"podstore/store/internal/bigcopy"
)

// The server does not count requests and answers up to this size: each connection holds
// at most that much.
const smallBytes = 64 << 10

// buffer is reusable memory for one request or answer.
type buffer struct{ bytes []byte }

var buffers = sync.Pool{New: func() any { return new(buffer) }}

// borrow returns an empty buffer.
func borrow() *buffer { return buffers.Get().(*buffer) }

// grow makes the buffer n bytes long and keeps its content.
func (b *buffer) grow(n int) {
	if n > cap(b.bytes) {
		b.bytes = bigcopy.Append(make([]byte, 0, n), b.bytes)
	}
	b.bytes = b.bytes[:n]
}

// more makes the buffer longer, up to all bytes, and returns the new part to read into. It
// grows with what has arrived: one side may announce much more than it sends, and taking
// that would keep the garbage collector busy.
func (b *buffer) more(all int) []byte {
	have := len(b.bytes)
	b.grow(min(max(4*have, smallBytes), all))
	return b.bytes[have:]
}

// release returns the buffer. The caller must not use its bytes afterwards. A large
// buffer is not kept for reuse.
func (b *buffer) release() {
	if cap(b.bytes) <= smallBytes {
		b.bytes = b.bytes[:0]
		buffers.Put(b)
	}
}
