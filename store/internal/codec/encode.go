package codec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/vmihailenco/msgpack/v5"

	"podstore/store"
	"podstore/store/jsonvalue"
)

// Encoder writes the msgpack of sub-keys. It calls msgpack field by field, which is two
// to three times as fast for these shapes as reflection.
type Encoder struct {
	buf bytes.Buffer
	enc *msgpack.Encoder
}

// NewEncoder returns an encoder that one goroutine at a time may use.
func NewEncoder() *Encoder {
	e := &Encoder{}
	e.enc = msgpack.NewEncoder(&e.buf)
	e.enc.UseCompactInts(true)
	return e
}

// maxKept limits the memory, in bytes, that an Encoder keeps between two values.
const maxKept = 1 << 20

// Encode returns the msgpack of one field of m, or nil if the field is empty. The
// result is valid until the next call. m must be in normal form.
func (e *Encoder) Encode(m *store.Metadata, sub int) []byte {
	if e.buf.Cap() > maxKept {
		e.buf = bytes.Buffer{}
	}
	e.buf.Reset()
	fields[sub].encode(e, m)
	if e.buf.Len() == 0 {
		return nil
	}
	return e.buf.Bytes()
}

// must panics on an error of writing to memory, which never happens.
func (e *Encoder) must(err error) {
	if err != nil {
		panic(fmt.Sprintf("codec: writing msgpack to memory: %v", err))
	}
}

func (e *Encoder) array(n int)     { e.must(e.enc.EncodeArrayLen(n)) }
func (e *Encoder) string(s string) { e.must(e.enc.EncodeString(s)) }

func (e *Encoder) active(a *store.ActiveSegment) {
	if a == nil {
		return
	}
	e.array(2)
	e.must(e.enc.EncodeBytes(a.SessionID[:]))
	if a.SegmentID == nil {
		e.must(e.enc.EncodeNil())
	} else {
		e.must(e.enc.EncodeBytes(a.SegmentID[:]))
	}
}

func (e *Encoder) children(children []store.SpawnedChild) {
	if len(children) == 0 {
		return
	}
	e.array(len(children))
	for i := range children {
		c := &children[i]
		e.array(4)
		e.string(c.PodName)
		e.string(c.SocketPath)
		e.rules(c.ScopeDelegated)
		e.string(c.CallbackAddress)
	}
}

// Chunk returns the msgpack of a part of the history, valid until the next call.
func (e *Encoder) Chunk(reclaimed []store.ReclaimedChild) []byte {
	e.buf.Reset()
	e.reclaimed(reclaimed)
	return e.buf.Bytes()
}

func (e *Encoder) reclaimed(reclaimed []store.ReclaimedChild) {
	if len(reclaimed) == 0 {
		return
	}
	e.array(len(reclaimed))
	for i := range reclaimed {
		e.array(2)
		e.string(reclaimed[i].PodName)
		e.rules(reclaimed[i].ScopeDelegated)
	}
}

func (e *Encoder) rules(rules []store.ScopeRule) {
	e.array(len(rules))
	for i := range rules {
		e.array(3)
		e.string(rules[i].Target)
		e.string(rules[i].Permission)
		e.must(e.enc.EncodeBool(rules[i].Recursive))
	}
}

func (e *Encoder) peers(peers []store.Peer) {
	if len(peers) == 0 {
		return
	}
	e.array(len(peers))
	for i := range peers {
		e.string(peers[i].PodName)
	}
}

func (e *Encoder) extra(extra map[string]json.RawMessage) {
	if len(extra) == 0 {
		return
	}
	object := []byte{'{'}
	for i, k := range slices.Sorted(maps.Keys(extra)) {
		if i > 0 {
			object = append(object, ',')
		}
		object = append(jsonvalue.AppendString(object, k), ':')
		object = append(object, extra[k]...)
	}
	e.must(e.enc.EncodeBytes(append(object, '}')))
}

func (e *Encoder) manifest(manifest json.RawMessage) {
	if len(manifest) > 0 {
		e.must(e.enc.EncodeBytes(manifest))
	}
}

// SameBinary reports whether payload is the msgpack of b as binary.
func SameBinary(payload, b []byte) bool {
	if len(payload) == 0 || len(b) == 0 {
		return len(payload) == len(b)
	}
	head := 0
	switch payload[0] {
	case 0xc4:
		head = 2
	case 0xc5:
		head = 3
	case 0xc6:
		head = 5
	}
	return head > 0 && len(payload) >= head && bytes.Equal(payload[head:], b)
}

// Uints returns the msgpack of an array of unsigned integers, valid until the
// next call.
func (e *Encoder) Uints(numbers ...uint64) []byte {
	e.buf.Reset()
	e.array(len(numbers))
	for _, n := range numbers {
		e.must(e.enc.EncodeUint(n))
	}
	return e.buf.Bytes()
}

// Uint returns the msgpack of one unsigned integer, valid until the next call.
func (e *Encoder) Uint(n uint64) []byte {
	e.buf.Reset()
	e.must(e.enc.EncodeUint(n))
	return e.buf.Bytes()
}
