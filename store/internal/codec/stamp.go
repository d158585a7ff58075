package codec

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"podstore/store"
	"podstore/store/podjson"
)

// Stamp is what an engine keeps of a Pod besides its fields, under the sub-key "stamp":
// which state this is, and which request IDs made it. As msgpack it is an array:
// number, created, changed, history's count, history's sum, floor, binary of the IDs.
type Stamp struct {
	Number           uint64 // the change that made this state
	Created, Changed int64  // Unix milliseconds; 0: unknown

	// HistoryCount and HistorySum cover the chunks of a history: the number of entries,
	// and the sum of [ChunkSum] over the chunks. Both are 0 without chunks.
	HistoryCount, HistorySum uint64

	// Floor is the highest number of a change whose ID may have been dropped.
	Floor uint64
	// IDs are the last request IDs that changed the Pod, the oldest first.
	IDs []MadeID
}

// MadeID is a request ID and the change made under it.
type MadeID struct {
	ID      store.RequestID
	Changes uint32 // checksum of the changes
	Digest  uint32 // of the Pod after them; the next change sets it, because it covers this ID too
	Number  uint64
}

// MaxIDs limits the request IDs that a Pod keeps.
const MaxIDs = 16

const madeIDSize = 16 + 4 + 4 + 8

// Version returns the version for a caller. digest is the engine's digest of the Pod.
func (s *Stamp) Version(digest uint64) store.Version {
	return store.Version{Revision: store.Revision{Number: s.Number, Digest: digest}, Created: fromMillis(s.Created), Changed: fromMillis(s.Changed)}
}

// SetTimes sets the times to those of v.
func (s *Stamp) SetTimes(v store.Version) {
	s.Created, s.Changed = millis(v.Created), millis(v.Changed)
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// ChangesSum tells apart different changes that are sent under one ID. It covers their
// JSON, which stays the same in a later version that knows more fields: that version
// may send a change again.
func ChangesSum(changes []store.Change) (sum uint32) {
	var line []byte
	for _, c := range changes {
		line = append(podjson.AppendChange(line[:0], c), '\n')
		sum = crc32.Update(sum, castagnoli, line)
	}
	return sum
}

// AddID adds an ID and drops the oldest beyond max.
func AddID(ids []MadeID, floor *uint64, id MadeID, max int) []MadeID {
	ids = append(ids, id)
	for len(ids) > max {
		*floor = ids[0].Number
		ids = ids[1:]
	}
	return ids
}

// FindID returns an ID, or nil if it is not there.
func FindID(ids []MadeID, id store.RequestID) *MadeID {
	for i := range ids {
		if ids[i].ID == id {
			return &ids[i]
		}
	}
	return nil
}

// Stamp returns the msgpack of a stamp, valid until the next call.
func (e *Encoder) Stamp(s *Stamp) []byte {
	e.buf.Reset()
	e.array(7)
	for _, n := range [...]uint64{s.Number, uint64(s.Created), uint64(s.Changed), s.HistoryCount, s.HistorySum, s.Floor} {
		e.must(e.enc.EncodeUint(n))
	}
	e.ids(s.IDs)
	return e.buf.Bytes()
}

// Deletions returns the msgpack of a record of deletions, valid until the next
// call.
func (e *Encoder) Deletions(last, floor uint64, ids []MadeID) []byte {
	e.buf.Reset()
	e.array(3)
	e.must(e.enc.EncodeUint(last))
	e.must(e.enc.EncodeUint(floor))
	e.ids(ids)
	return e.buf.Bytes()
}

func (e *Encoder) ids(ids []MadeID) {
	b := make([]byte, 0, len(ids)*madeIDSize)
	for _, id := range ids {
		b = append(b, id.ID[:]...)
		b = binary.BigEndian.AppendUint32(b, id.Changes)
		b = binary.BigEndian.AppendUint32(b, id.Digest)
		b = binary.BigEndian.AppendUint64(b, id.Number)
	}
	e.must(e.enc.EncodeBytes(b))
}

// DecodeStamp reads the msgpack of a stamp.
func DecodeStamp(s *Stamp, payload []byte) error {
	d := decoders.Get().(*decoder)
	defer decoders.Put(d)
	d.reset(payload, "")
	d.arrayOf(7)
	s.Number = d.uint()
	s.Created, s.Changed = int64(d.uint()), int64(d.uint())
	s.HistoryCount, s.HistorySum = d.uint(), d.uint()
	s.Floor = d.uint()
	s.IDs = d.ids()
	return d.end()
}

// DecodeDeletions reads what [Encoder.Deletions] wrote.
func DecodeDeletions(payload []byte) (last, floor uint64, ids []MadeID, err error) {
	d := decoders.Get().(*decoder)
	defer decoders.Put(d)
	d.reset(payload, "")
	d.arrayOf(3)
	last, floor = d.uint(), d.uint()
	ids = d.ids()
	return last, floor, ids, d.end()
}

func (d *decoder) ids() []MadeID {
	start, end := d.span(true)
	b := d.in.b[start:end]
	if len(b)%madeIDSize != 0 {
		d.err = errShape
	}
	if d.err != nil || len(b) == 0 {
		return nil
	}
	ids := make([]MadeID, len(b)/madeIDSize)
	for i := range ids {
		e := b[i*madeIDSize:]
		copy(ids[i].ID[:], e)
		ids[i].Changes = binary.BigEndian.Uint32(e[16:])
		ids[i].Digest = binary.BigEndian.Uint32(e[20:])
		ids[i].Number = binary.BigEndian.Uint64(e[24:])
	}
	return ids
}

// A chunk of a history is sealed under its own key, so that podstore notices a chunk in
// the place of another.

// ChunkKey returns the key of chunk n.
func ChunkKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// sealedChunkKey returns the part of a chunk's checksum that comes from its key.
func sealedChunkKey(key []byte) []byte {
	return append(append(make([]byte, 0, len(KeySums[Reclaimed])+len(key)+1), KeySums[Reclaimed]...), append(key, 0)...)
}

// SealChunk is [Seal] for a chunk.
func SealChunk(pod uint32, key, payload []byte) []byte {
	return SealKey(pod, sealedChunkKey(key), payload)
}

// UnsealChunk is [Unseal] for a chunk.
func UnsealChunk(pod uint32, key, value []byte) ([]byte, bool) {
	return UnsealKey(pod, sealedChunkKey(key), value)
}

// ChunkSum returns the chunk's part of HistorySum: its checksum and key, spread over 64
// bits.
func ChunkSum(key, value []byte) uint64 {
	h := binary.BigEndian.Uint64(key)*0x9e3779b97f4a7c15 ^ uint64(binary.BigEndian.Uint32(value))
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
