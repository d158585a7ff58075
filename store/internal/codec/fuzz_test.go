package codec

import (
	"bytes"
	"reflect"
	"runtime"
	"testing"

	"podstore/store"
)

// records are the values beside the fields, each with its reader and writer.
var records = []struct {
	name string
	// again reads a payload and writes what it read.
	again func(e *Encoder, payload []byte) (written []byte, read any, err error)
}{
	{"stamp", func(e *Encoder, payload []byte) ([]byte, any, error) {
		var s Stamp
		if err := DecodeStamp(&s, payload); err != nil {
			return nil, nil, err
		}
		return e.Stamp(&s), s, nil
	}},
	{"deletions", func(e *Encoder, payload []byte) ([]byte, any, error) {
		last, floor, ids, err := DecodeDeletions(payload)
		if err != nil {
			return nil, nil, err
		}
		return e.Deletions(last, floor, ids), []any{last, floor, ids}, nil
	}},
	{"record", func(e *Encoder, payload []byte) ([]byte, any, error) {
		var s Stamp
		var sums [store.NumFields]uint64
		if err := DecodeRecord(&s, &sums, payload); err != nil {
			return nil, nil, err
		}
		return e.Record(&s, &sums), []any{s, sums}, nil
	}},
	{"names", func(e *Encoder, payload []byte) ([]byte, any, error) {
		n, err := DecodeUints(payload, 2)
		if err != nil {
			return nil, nil, err
		}
		return e.Uints(n...), n, nil
	}},
	{"chunk", func(e *Encoder, payload []byte) ([]byte, any, error) {
		list, err := DecodeChunk(nil, payload)
		if err != nil || len(list) == 0 {
			return nil, nil, err
		}
		return e.Encode(&store.Metadata{Reclaimed: list}, Reclaimed), list, nil
	}},
}

// FuzzRecords: whatever a record holds, reading it neither panics nor takes much
// memory. A record that is accepted is written again with the same meaning.
func FuzzRecords(f *testing.F) {
	e := NewEncoder()
	ids := []MadeID{{ID: store.RequestID{1}, Changes: 2, Digest: 3, Number: 4}, {Number: 1 << 63}}
	stamp := Stamp{Number: 1 << 40, Created: -1, Changed: 5, HistoryCount: 6, HistorySum: 1 << 63, Floor: 7, IDs: ids}
	f.Add(0, bytes.Clone(e.Stamp(&stamp)))
	f.Add(1, bytes.Clone(e.Deletions(1, 2, ids)))
	f.Add(2, bytes.Clone(e.Record(&stamp, &[store.NumFields]uint64{1, 1 << 63})))
	f.Add(3, bytes.Clone(e.Uints(1, 1<<63)))
	f.Add(4, bytes.Clone(e.Encode(sample(), Reclaimed)))
	f.Add(0, []byte{0x97, 1, 2, 3, 4, 5, 6, 0xc6, 0xff, 0xff, 0xff, 0xff})
	f.Add(4, []byte{0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, which int, payload []byte) {
		if which < 0 || which >= len(records) {
			return
		}
		r := records[which]
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		e := NewEncoder()
		written, read, err := r.again(e, payload)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 2*uint64(len(payload))*memoryFactor+1<<16 {
			t.Fatalf("%s of %d bytes allocated %d", r.name, len(payload), used)
		}
		if err != nil || written == nil {
			return
		}
		written = bytes.Clone(written)
		if _, again, err := r.again(NewEncoder(), written); err != nil || !reflect.DeepEqual(again, read) {
			t.Fatalf("%s %x was read as %v and, written as %x, as %v, %v", r.name, payload, read, written, again, err)
		}
	})
}
