package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/vmihailenco/msgpack/v5"

	"podstore/store"
)

// decoder reads what Encoder wrote. The first thing that is not as it should be
// is kept in err, and everything after it reads as zero.
type decoder struct {
	r       bytes.Reader // on what is left of payload
	payload []byte
	text    string // payload as a string; made for its first string, if not before
	dec     *msgpack.Decoder
	err     error
}

var decoders = sync.Pool{New: func() any {
	d := &decoder{}
	d.dec = msgpack.NewDecoder(&d.r)
	return d
}}

var errShape = errors.New("value does not have the shape of its sub-key")

// Decode reads the msgpack of one sub-key into m. The result shares no memory
// with payload. The payload may be anything: the error says that it is not what
// Encoder writes, and the memory used is a small multiple of its size.
func Decode(m *store.Metadata, sub int, payload []byte) error {
	d := decoders.Get().(*decoder)
	defer decoders.Put(d)
	return d.decode(m, sub, payload, "")
}

// DecodeAll is Decode of all sub-keys that are not nil. Of the first error it says
// which sub-key it is of.
func DecodeAll(m *store.Metadata, payloads *[NumSubKeys][]byte) error {
	d := decoders.Get().(*decoder)
	defer decoders.Put(d)
	// One allocation for the strings of all lists.
	var b strings.Builder
	b.Grow(len(payloads[Children]) + len(payloads[Peers]) + len(payloads[Reclaimed]))
	for _, sub := range [...]int{Children, Peers, Reclaimed} {
		b.Write(payloads[sub])
	}
	texts := b.String()
	for sub, payload := range payloads {
		if payload == nil {
			continue
		}
		text := ""
		if sub == Children || sub == Peers || sub == Reclaimed {
			text, texts = texts[:len(payload)], texts[len(payload):]
		}
		if err := d.decode(m, sub, payload, text); err != nil {
			return fmt.Errorf("sub-key %q: %w", SubKeys[sub], err)
		}
	}
	return nil
}

// decode reads one sub-key. The text is payload as a string, or empty.
func (d *decoder) decode(m *store.Metadata, sub int, payload []byte, text string) error {
	if err := checkStructure(payload); err != nil {
		return err
	}
	d.reset(payload)
	d.text = text
	switch sub {
	case Active:
		m.Active = d.active()
	case Children:
		m.Children = d.children()
	case Extra:
		m.Extra = d.extra()
	case Manifest:
		m.Manifest = d.manifest()
	case Peers:
		m.Peers = d.peers()
	case Reclaimed:
		m.Reclaimed = d.reclaimed()
	}
	return d.end()
}

// DecodeUints reads an array of n unsigned integers, or a single one for n = 0.
func DecodeUints(payload []byte, n int) ([]uint64, error) {
	if err := checkStructure(payload); err != nil {
		return nil, err
	}
	d := decoders.Get().(*decoder)
	defer decoders.Put(d)
	d.reset(payload)
	if n > 0 {
		d.arrayOf(n)
	}
	out := make([]uint64, max(n, 1))
	for i := range out {
		out[i] = d.uint()
	}
	return out, d.end()
}

func (d *decoder) reset(payload []byte) {
	d.r.Reset(payload)
	d.payload, d.text = payload, ""
	d.dec.ResetReader(&d.r)
	d.err = nil
}

// end returns the first error, or one when something is left over.
func (d *decoder) end() error {
	if d.err == nil && d.r.Len() > 0 {
		d.err = errShape
	}
	return d.err
}

func (d *decoder) array() int {
	if d.err != nil {
		return 0
	}
	n, err := d.dec.DecodeArrayLen()
	if err == nil && n < 0 {
		err = errShape
	}
	d.err = err
	return max(n, 0)
}

func (d *decoder) arrayOf(n int) {
	if got := d.array(); d.err == nil && got != n {
		d.err = errShape
	}
}

// string returns a part of d.text: one allocation serves all strings of a value.
func (d *decoder) string() string {
	b := d.span(isString)
	if d.err != nil {
		return ""
	}
	if d.text == "" && len(b) > 0 {
		d.text = string(d.payload)
	}
	end := len(d.payload) - d.r.Len()
	s := d.text[min(end-len(b), len(d.text)):min(end, len(d.text))]
	if !utf8.ValidString(s) {
		d.err = errShape
	}
	return s
}

func (d *decoder) bytes() []byte { return bytes.Clone(d.span(isBinary)) }

// notNil refuses nil, which msgpack takes for 0 and for false.
func (d *decoder) notNil() bool {
	if d.err != nil {
		return false
	}
	if d.next() == codeNil {
		d.err = errShape
	}
	return d.err == nil
}

// next is the code that comes next, or nil's at the end.
func (d *decoder) next() byte {
	if n := d.r.Len(); n > 0 {
		return d.payload[len(d.payload)-n]
	}
	return codeNil
}

func (d *decoder) uint() (n uint64) {
	if d.notNil() {
		n, d.err = d.dec.DecodeUint64()
	}
	return n
}

func (d *decoder) bool() (b bool) {
	if d.notNil() {
		b, d.err = d.dec.DecodeBool()
	}
	return b
}

// span reads a string or binary and returns its bytes within the payload.
func (d *decoder) span(is func(code byte) bool) []byte {
	if d.err != nil {
		return nil
	}
	if !is(d.next()) {
		d.err = errShape
		return nil
	}
	n, err := d.dec.DecodeBytesLen()
	if err == nil && n > d.r.Len() {
		err = errShape
	}
	if err != nil {
		d.err = err
		return nil
	}
	start := len(d.payload) - d.r.Len()
	d.r.Reset(d.payload[start+n:])
	return d.payload[start : start+n]
}

// uuid reads 16 bytes, or nil where that is allowed.
func (d *decoder) uuid(orNil bool) (id [16]byte, ok bool) {
	if d.err != nil {
		return id, false
	}
	if orNil && d.r.Len() > 0 && d.next() == codeNil {
		d.err = d.dec.DecodeNil()
		return id, false
	}
	b := d.span(isBinary)
	if d.err == nil && len(b) != 16 {
		d.err = errShape
	}
	if d.err != nil {
		return id, false
	}
	return [16]byte(b), true
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
func list[T any](d *decoder, element func() T) []T {
	n := d.array()
	if d.err == nil && n == 0 {
		d.err = errShape
	}
	return elements(d, n, element)
}

func elements[T any](d *decoder, n int, element func() T) []T {
	if n == 0 || d.err != nil {
		return nil
	}
	// n is at most the number of bytes left; an element in memory is larger than
	// its shortest encoding, so let what is really there pay for the memory.
	out := make([]T, 0, min(n, 64))
	for i := 0; i < n && d.err == nil; i++ {
		out = append(out, element())
	}
	return out
}

func (d *decoder) children() []store.SpawnedChild {
	return list(d, func() store.SpawnedChild {
		d.arrayOf(4)
		return store.SpawnedChild{
			PodName:         d.string(),
			SocketPath:      d.string(),
			ScopeDelegated:  d.rules(),
			CallbackAddress: d.string(),
		}
	})
}

func (d *decoder) reclaimed() []store.ReclaimedChild {
	return list(d, func() store.ReclaimedChild {
		d.arrayOf(2)
		return store.ReclaimedChild{PodName: d.string(), ScopeDelegated: d.rules()}
	})
}

func (d *decoder) rules() []store.ScopeRule {
	return elements(d, d.array(), func() store.ScopeRule {
		d.arrayOf(3)
		return store.ScopeRule{Target: d.string(), Permission: d.string(), Recursive: d.bool()}
	})
}

func (d *decoder) peers() []store.Peer {
	return list(d, func() store.Peer { return store.Peer{PodName: d.string()} })
}

// manifest reads JSON, which is never empty: without a manifest there is no
// sub-key.
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
