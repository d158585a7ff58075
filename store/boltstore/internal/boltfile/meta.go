package boltfile

import (
	"encoding/binary"
	"hash/fnv"
	"io"
	"math/bits"
)

const (
	magic         = 0xED0CDAED
	formatVersion = 2

	metaSize     = 64 // bytes after the page header, checksum included
	checksummed  = 56 // bytes that the checksum covers
	metaPageSize = pageHeaderSize + metaSize
)

// readMetas reads both metas. For an invalid meta it returns nil and a problem. The
// error is for a file without any valid meta.
func readMetas(r io.ReaderAt, size int64) (metas [2]*Meta, problems []Problem, _ error) {
	if size == 0 {
		p := problem(NoPage, nil, "the file is empty, expected two meta pages")
		p.Err = ErrNotBolt
		return metas, nil, &p
	}
	if size < minPageSize+metaPageSize {
		p := problem(NoPage, nil, "the file is %d bytes, too short for two meta pages", size)
		p.Err = ErrNotBolt
		return metas, nil, &p
	}

	var p0, p1 *Problem
	metas[0], p0 = readMeta(r, size, 0, 0)
	if metas[0] != nil {
		metas[1], p1 = readMeta(r, size, 1, metas[0].PageSize)
	} else {
		metas[1], p1 = findMeta1(r, size)
	}
	if metas[0] == nil && metas[1] == nil {
		if p0.Err == ErrNotBolt && p1.Err != ErrNotBolt {
			return metas, nil, p1 // some of it is bbolt's
		}
		return metas, nil, p0
	}
	for _, p := range []*Problem{p0, p1} {
		if p != nil {
			// The other meta shows that this is a bbolt file.
			if p.Err == ErrNotBolt {
				p.Err = nil
			}
			problems = append(problems, *p)
		}
	}
	return metas, append(problems, checkPlacement(metas)...), nil
}

// findMeta1 looks for meta 1 if meta 0 does not show the page size: meta 1 must be
// valid at the place that its own page size gives it.
func findMeta1(r io.ReaderAt, size int64) (m *Meta, p *Problem) {
	for ps := minPageSize; ps <= maxPageSize && int64(ps)+metaPageSize <= size; ps *= 2 {
		found, q := readMeta(r, size, 1, ps)
		if found != nil {
			return found, q
		}
		if p == nil || p.Err == ErrNotBolt {
			p = q
		}
	}
	return nil, p
}

// readMeta reads meta page id, 0 or 1, in a file with this page size. With pageSize 0
// the size is not known yet. readMeta also returns a meta that is usable in spite of
// its problem.
func readMeta(r io.ReaderAt, size int64, id uint64, pageSize int) (*Meta, *Problem) {
	fail := func(format string, args ...any) (*Meta, *Problem) {
		p := problem(id, nil, format, args...)
		return nil, &p
	}
	off := int64(id) * int64(pageSize)
	if off+metaPageSize > size {
		return fail("the file ends at %d, before this meta", size)
	}
	var buf [metaPageSize]byte
	if err := readFull(r, buf[:], off); err != nil {
		p := unreadable(id, err)
		return nil, &p
	}
	b := buf[pageHeaderSize:]
	le := binary.LittleEndian
	if got := le.Uint32(b); got != magic {
		p := problem(id, nil, "meta has magic number %#x, expected %#x", got, uint32(magic))
		if bits.ReverseBytes32(got) == magic {
			p.Msg = "meta was written by a big-endian machine; only little-endian files can be read"
		}
		p.Err = ErrNotBolt
		return nil, &p
	}
	sum := fnv.New64a()
	sum.Write(b[:checksummed])
	if got := le.Uint64(b[checksummed:]); got != sum.Sum64() {
		return fail("meta has checksum %#x, expected %#x", got, sum.Sum64())
	}
	m := &Meta{
		PageID:       id,
		Version:      le.Uint32(b[4:]),
		Flags:        le.Uint32(b[12:]),
		Root:         le.Uint64(b[16:]),
		RootSequence: le.Uint64(b[24:]),
		Freelist:     le.Uint64(b[32:]),
		HighWater:    le.Uint64(b[40:]),
		TxID:         le.Uint64(b[48:]),
	}
	if m.Version != formatVersion {
		return fail("meta has bbolt's format version %d, expected %d", m.Version, formatVersion)
	}
	ps := le.Uint32(b[8:])
	if ps < minPageSize || ps > maxPageSize || ps&(ps-1) != 0 {
		return fail("meta has page size %d, expected a power of two between %d and %d", ps, minPageSize, maxPageSize)
	}
	m.PageSize = int(ps)
	if pageSize != 0 && m.PageSize != pageSize {
		return fail("meta has page size %d, but stands where the page size is %d", m.PageSize, pageSize)
	}
	if h := parseHeader(buf[:]); h.id != id || h.flags != metaPage {
		// The meta itself is whole: its checksum says so.
		_, p := fail("meta's page has id %d and flags %#x, expected %d and %#x", h.id, h.flags, id, metaPage)
		return m, p
	}
	return m, nil
}

// checkPlacement applies the rules that reveal a lost commit: transaction n writes the
// meta at n mod 2, so two good metas are one transaction apart.
func checkPlacement(metas [2]*Meta) []Problem {
	var ps []Problem
	a, b := metas[0], metas[1]
	if a != nil && b != nil && a.TxID%2 == 1 && b.TxID == a.TxID-1 {
		return []Problem{problem(NoPage, nil, "the metas are exchanged (transaction %d on page 0, %d on page 1), as in a copy made by bbolt's Tx.WriteTo with an odd transaction", a.TxID, b.TxID)}
	}
	for _, m := range metas {
		if m != nil && m.TxID%2 != m.PageID {
			ps = append(ps, problem(m.PageID, nil, "meta is of transaction %d, which belongs on page %d", m.TxID, m.TxID%2))
		}
	}
	if a != nil && b != nil && !inARow(a.TxID, b.TxID) {
		ps = append(ps, problem(NoPage, nil, "the metas are of transactions %d and %d, expected two in a row: the last commit may be lost", a.TxID, b.TxID))
	}
	return ps
}

func inARow(a, b uint64) bool { return max(a, b)-min(a, b) == 1 }

// choose picks the newest valid meta, or the other one. If both claim the same
// transaction, the one in its right place is the newest.
func choose(metas [2]*Meta, older bool) (Meta, error) {
	newest, other := metas[0], metas[1]
	switch {
	case newest == nil:
		newest, other = other, nil
	case other == nil:
	case other.TxID > newest.TxID, other.TxID == newest.TxID && other.TxID%2 == 1:
		newest, other = other, newest
	}
	if !older {
		return *newest, nil
	}
	if other == nil {
		p := problem(1-newest.PageID, nil, "the other meta is not valid, so there is no older state to read")
		return Meta{}, &p
	}
	return *other, nil
}
