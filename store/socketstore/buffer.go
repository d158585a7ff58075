package socketstore

import "sync"

// smallBytes is up to which size bytes are not counted: each connection has at
// most that.
const smallBytes = 64 << 10

// buffer is memory for the bytes of one request or answer, which is used again
// after it.
type buffer struct{ bytes []byte }

var buffers = sync.Pool{New: func() any { return new(buffer) }}

// borrow gives an empty buffer.
func borrow() *buffer { return buffers.Get().(*buffer) }

// grow makes the buffer n bytes long and keeps what is in it.
func (b *buffer) grow(n int) {
	if n > cap(b.bytes) {
		b.bytes = append(make([]byte, 0, n), b.bytes...)
	}
	b.bytes = b.bytes[:n]
}

// release ends the use of a buffer, and of its bytes. What is large is not kept.
func (b *buffer) release() {
	if cap(b.bytes) <= smallBytes {
		b.bytes = b.bytes[:0]
		buffers.Put(b)
	}
}
