package socketstore

import "sync"

// buffer is memory for the bytes of one request or answer, which is used again
// after it.
type buffer struct{ bytes []byte }

var buffers = sync.Pool{New: func() any { return new(buffer) }}

// borrow gives an empty buffer.
func borrow() *buffer { return buffers.Get().(*buffer) }

// giveBack ends the use of a buffer, and of its bytes.
func (b *buffer) giveBack() {
	const most = 256 << 10 // what is larger is not kept
	if cap(b.bytes) <= most {
		b.bytes = b.bytes[:0]
		buffers.Put(b)
	}
}
