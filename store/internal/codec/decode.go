package codec

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/vmihailenco/msgpack/v5"

	"podstore/store"
	"podstore/store/internal/bigcopy"
)

// decoder reads what Encoder wrote, shape by shape, and nothing else. It uses msgpack
// only for the heads of values and single numbers. Asked for more, msgpack would
// allocate what a length claims, and recurse as deep as the input says. The first fault
// sets err to errShape; everything after it reads as zero.
type decoder struct {
	in   input
	text string // in.b as a string, if the field has strings
	dec  *msgpack.Decoder
	err  error
}

// input is the payload as msgpack reads it.
type input struct {
	b  []byte
	at int
}

func (in *input) ReadByte() (byte, error) {
	if in.at >= len(in.b) {
		return 0, io.ErrUnexpectedEOF
	}
	in.at++
	return in.b[in.at-1], nil
}

func (in *input) UnreadByte() error {
	in.at--
	return nil
}

func (in *input) Read(p []byte) (int, error) {
	if in.at >= len(in.b) {
		return 0, io.EOF
	}
	n := copy(p, in.b[in.at:])
	in.at += n
	return n, nil
}

var decoders = sync.Pool{New: func() any {
	d := &decoder{}
	d.dec = msgpack.NewDecoder(&d.in)
	return d
}}

const codeNil = 0xc0

func isString(code byte) bool { return code&0xe0 == 0xa0 || code >= 0xd9 && code <= 0xdb }
func isBinary(code byte) bool { return code >= 0xc4 && code <= 0xc6 }
func isUint(code byte) bool   { return code <= 0x7f || code >= 0xcc && code <= 0xcf }

var errShape = errors.New("value does not have the shape of its sub-key")

// Decode reads the msgpack of the fields that are not nil into m. The result shares no
// memory with the payloads. Payloads may hold anything: the error names the one that
// Encoder did not write, and the memory used is a small multiple of their size. Decode
// promotes unknown fields that this version knows, unless has reports that such a field
// is stored as itself, even if its payload is not given here.
func Decode(m *store.Metadata, payloads *[store.NumFields][]byte, has func(sub int) bool) error {
	d := decoders.Get().(*decoder)
	defer decoders.Put(d)
	// One allocation for the strings of all lists.
	size := 0
	for sub, payload := range payloads {
		if fields[sub].text {
			size += len(payload)
		}
	}
	var b strings.Builder
	b.Grow(size)
	for sub, payload := range payloads {
		if fields[sub].text {
			b.Write(payload)
		}
	}
	texts := b.String()
	for sub, payload := range payloads {
		if payload == nil {
			continue
		}
		text := ""
		if fields[sub].text {
			text, texts = texts[:len(payload)], texts[len(payload):]
		}
		if err := d.decode(m, sub, payload, text); err != nil {
			return fmt.Errorf("sub-key %q: %w", SubKeys[sub], err)
		}
	}
	if payloads[Extra] != nil && Promotes(payloads[Extra]) {
		_, err := promote(m, has)
		return err
	}
	return nil
}

// DecodeField reads the msgpack of one field into m, as [Decode] does.
func DecodeField(m *store.Metadata, sub int, payload []byte) error {
	d := decoders.Get().(*decoder)
	defer decoders.Put(d)
	text := ""
	if fields[sub].text {
		text = string(payload)
	}
	if err := d.decode(m, sub, payload, text); err != nil {
		return fmt.Errorf("sub-key %q: %w", SubKeys[sub], err)
	}
	return nil
}

// decode reads one field. If the field has strings, text is the payload as a string.
func (d *decoder) decode(m *store.Metadata, sub int, payload []byte, text string) error {
	d.reset(payload, text)
	fields[sub].decode(d, m)
	return d.end()
}

// DecodeChunk reads a part of the history and appends it to list.
func DecodeChunk(list []store.ReclaimedChild, payload []byte) ([]store.ReclaimedChild, error) {
	var m store.Metadata
	if err := DecodeField(&m, Reclaimed, payload); err != nil {
		return list, err
	}
	return append(list, m.Reclaimed...), nil
}

// DecodeUints reads an array of n unsigned integers, or a single one for n = 0.
func DecodeUints(payload []byte, n int) ([]uint64, error) {
	d := decoders.Get().(*decoder)
	defer decoders.Put(d)
	d.reset(payload, "")
	if n > 0 {
		d.arrayOf(n)
	}
	out := make([]uint64, max(n, 1))
	for i := range out {
		out[i] = d.uint()
	}
	return out, d.end()
}

// reset starts on another payload.
func (d *decoder) reset(payload []byte, text string) {
	d.in, d.text, d.err = input{b: payload}, text, nil
}

// end returns the first error, or an error if bytes are left over. It drops the
// payload.
func (d *decoder) end() error {
	err := d.err
	if err == nil && d.in.at < len(d.in.b) {
		err = errShape
	}
	d.reset(nil, "")
	return err
}

// array reads the head of an array and returns the number of elements. Each element
// takes at least one byte.
func (d *decoder) array() int {
	if d.err != nil {
		return 0
	}
	n, err := d.dec.DecodeArrayLen()
	if err != nil || n < 0 || n > len(d.in.b)-d.in.at {
		d.err = errShape
		return 0
	}
	return n
}

func (d *decoder) arrayOf(n int) {
	if got := d.array(); d.err == nil && got != n {
		d.err = errShape
	}
}

// string returns a part of d.text.
func (d *decoder) string() string {
	start, end := d.span(false)
	if d.err != nil {
		return ""
	}
	s := d.text[start:end]
	if !utf8.ValidString(s) {
		d.err = errShape
	}
	return s
}

// bytes returns a copy.
func (d *decoder) bytes() []byte {
	start, end := d.span(true)
	if d.err != nil {
		return nil
	}
	return bigcopy.Append([]byte{}, d.in.b[start:end])
}

// next returns the next code, or nil's at the end.
func (d *decoder) next() byte {
	if d.in.at < len(d.in.b) {
		return d.in.b[d.in.at]
	}
	return codeNil
}

// uint reads an unsigned integer. msgpack would also accept nil, floats, negative
// numbers and false.
func (d *decoder) uint() (n uint64) {
	if d.err == nil && isUint(d.next()) {
		var err error
		if n, err = d.dec.DecodeUint64(); err == nil {
			return n
		}
	}
	d.err = errShape
	return 0
}

func (d *decoder) bool() bool {
	if d.err == nil && d.next() != codeNil {
		if b, err := d.dec.DecodeBool(); err == nil {
			return b
		}
	}
	d.err = errShape
	return false
}

// span reads a string or binary and returns the position of its bytes in the payload.
func (d *decoder) span(binary bool) (start, end int) {
	if d.err != nil {
		return 0, 0
	}
	if code := d.next(); binary && !isBinary(code) || !binary && !isString(code) {
		d.err = errShape
		return 0, 0
	}
	n, err := d.dec.DecodeBytesLen()
	if err != nil || n > len(d.in.b)-d.in.at {
		d.err = errShape
		return 0, 0
	}
	start = d.in.at
	d.in.at += n
	return start, d.in.at
}

// uuid reads 16 bytes, or nil if that is allowed.
func (d *decoder) uuid(orNil bool) (id [16]byte, ok bool) {
	if d.err != nil {
		return id, false
	}
	if orNil && d.in.at < len(d.in.b) && d.next() == codeNil {
		d.in.at++
		return id, false
	}
	start, end := d.span(true)
	if d.err == nil && end-start != len(id) {
		d.err = errShape
	}
	if d.err != nil {
		return id, false
	}
	copy(id[:], d.in.b[start:end])
	return id, true
}

func (d *decoder) active() *store.ActiveSegment {
	d.arrayOf(2)
	session, _ := d.uuid(false)
	segment, ok := d.uuid(true)
	if !ok {
		return store.PendingSegment(session)
	}
	return store.ActiveIn(session, segment)
}

// list reads an array of at least one element: an empty list has no sub-key.
func list[T any](d *decoder, element func(*decoder, *T)) []T {
	n := d.array()
	if d.err == nil && n == 0 {
		d.err = errShape
	}
	return elements(d, n, element)
}

func elements[T any](d *decoder, n int, element func(*decoder, *T)) []T {
	if n == 0 || d.err != nil {
		return nil
	}
	// An element in memory is larger than its shortest encoding. So the list grows only
	// with the elements that are really there.
	out := make([]T, 0, min(n, 64))
	for i := 0; i < n && d.err == nil; i++ {
		var none T
		out = append(out, none)
		element(d, &out[i])
	}
	return out
}

func (d *decoder) children() []store.SpawnedChild {
	return list(d, func(d *decoder, c *store.SpawnedChild) {
		d.arrayOf(4)
		c.PodName = d.string()
		c.SocketPath = d.string()
		c.ScopeDelegated = d.rules()
		c.CallbackAddress = d.string()
	})
}

func (d *decoder) reclaimed() []store.ReclaimedChild {
	return list(d, func(d *decoder, c *store.ReclaimedChild) {
		d.arrayOf(2)
		c.PodName = d.string()
		c.ScopeDelegated = d.rules()
	})
}

func (d *decoder) rules() []store.ScopeRule {
	return elements(d, d.array(), func(d *decoder, r *store.ScopeRule) {
		d.arrayOf(3)
		r.Target = d.string()
		r.Permission = d.string()
		r.Recursive = d.bool()
	})
}

func (d *decoder) peers() []store.Peer {
	return list(d, func(d *decoder, p *store.Peer) { p.PodName = d.string() })
}

// manifest reads JSON. It is never empty: without a manifest there is no sub-key.
func (d *decoder) manifest() json.RawMessage {
	b := d.bytes()
	if d.err == nil && len(b) == 0 {
		d.err = errShape
	}
	return b
}

func (d *decoder) extra() map[string]json.RawMessage {
	object := d.bytes()
	if d.err != nil {
		return nil
	}
	var extra map[string]json.RawMessage
	if err := json.Unmarshal(object, &extra); err != nil || len(extra) == 0 {
		d.err = errShape
	}
	return extra
}
