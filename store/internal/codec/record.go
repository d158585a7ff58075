package codec

import "podstore/store"

// Record returns the msgpack of a Pod's stamp and of one number for each field, for an
// engine that keeps both in one value. It is an array: created, changed, floor, binary
// of the IDs, and the numbers. Number and history of the stamp are left out.
func (e *Encoder) Record(s *Stamp, sums *[store.NumFields]uint64) []byte {
	e.buf.Reset()
	e.array(4 + len(sums))
	for _, n := range [...]uint64{uint64(s.Created), uint64(s.Changed), s.Floor} {
		e.must(e.enc.EncodeUint(n))
	}
	e.ids(s.IDs)
	for _, n := range sums {
		e.must(e.enc.EncodeUint(n))
	}
	return e.buf.Bytes()
}

// DecodeRecord reads what [Encoder.Record] wrote.
func DecodeRecord(s *Stamp, sums *[store.NumFields]uint64, payload []byte) error {
	d := decoders.Get().(*decoder)
	defer decoders.Put(d)
	d.reset(payload, "")
	d.arrayOf(4 + len(sums))
	s.Created, s.Changed = int64(d.uint()), int64(d.uint())
	s.Floor = d.uint()
	s.IDs = d.ids()
	for i := range sums {
		sums[i] = d.uint()
	}
	return d.end()
}
