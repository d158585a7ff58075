package codec

import (
	"bytes"
	"math"
	"reflect"
	"testing"

	"podstore/store"
)

func TestRecord(t *testing.T) {
	want := Stamp{Created: -1, Changed: 1_700_000_000_000, Floor: math.MaxUint64, IDs: []MadeID{
		{ID: store.NewRequestID(), Changes: 1, Number: 2}, {ID: store.NewRequestID(), Changes: math.MaxUint32},
	}}
	sums := [store.NumFields]uint64{0, 1, 1 << 20, 3, 4, 1 << 32}
	for _, want := range []Stamp{{}, want} {
		payload := bytes.Clone(NewEncoder().Record(&want, &sums))
		var got Stamp
		var again [store.NumFields]uint64
		if err := DecodeRecord(&got, &again, payload); err != nil || !reflect.DeepEqual(got, want) || again != sums {
			t.Errorf("%+v %v came back as %+v %v, %v", want, sums, got, again, err)
		}
		for cut := range payload {
			if DecodeRecord(&got, &again, payload[:cut]) == nil {
				t.Errorf("%d of %d bytes were accepted", cut, len(payload))
			}
		}
		longer := append([]byte{payload[0] + 1}, append(payload[1:], 0)...)
		if DecodeRecord(&got, &again, longer) == nil {
			t.Error("one with a number more was accepted")
		}
	}
}
