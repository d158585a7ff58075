package boltfile

import (
	"encoding/binary"
	"io"
)

// longFreelist in a freelist's count means that the first entry is the count.
const longFreelist = 0xFFFF

// readFreelist reads the set of free pages. After a problem the set is empty, because
// nothing can be concluded from it.
func (f *File) readFreelist() []Problem {
	id := f.meta.Freelist
	if id < 2 || id >= f.pages { // NoFreelist, or already reported
		return nil
	}
	free, span, p := f.parseFreelist(id)
	f.freelistPages = span
	if p != nil {
		return []Problem{*p}
	}
	f.free, f.knowsFree = free, true
	return nil
}

// parseFreelist also returns the number of pages of the freelist, or 0 if that is not
// known.
func (f *File) parseFreelist(id uint64) (free pageSet, span uint64, _ *Problem) {
	fail := func(format string, args ...any) (pageSet, uint64, *Problem) {
		p := problem(id, nil, format, args...)
		return pageSet{}, span, &p
	}
	var head [pageHeaderSize + 8]byte
	if err := f.readAt(head[:], id); err != nil {
		p := unreadable(id, err)
		return pageSet{}, 0, &p
	}
	h := parseHeader(head[:])
	if h.id != id || h.flags != freelistPage {
		return fail("the freelist's page has id %d and flags %#x, expected %d and %#x", h.id, h.flags, id, freelistPage)
	}
	if uint64(h.overflow) >= f.pages-id {
		return fail("the freelist has %d overflow pages and so passes the last page in use, %d", h.overflow, f.pages-1)
	}
	ps := uint64(f.meta.PageSize)
	span = uint64(h.overflow) + 1

	count, start := uint64(h.count), uint64(pageHeaderSize)
	if count == longFreelist {
		count = binary.LittleEndian.Uint64(head[pageHeaderSize:])
		start += 8
		if count < longFreelist {
			return fail("the freelist's long count is %d, expected at least %d", count, longFreelist)
		}
	}
	if room := (span*ps - start) / 8; count > room || count > f.meta.HighWater {
		return fail("the freelist counts %d pages, more than fit its %d pages or the file", count, span)
	}
	used := start + 8*count
	// bbolt allocates pages for the list as it was before those pages came out of it.
	// More pages than that are not the freelist's.
	if most := (used+8+8*span)/ps + 1; span > most {
		listed := (used + ps - 1) / ps
		_, _, p := fail("the freelist has %d pages, expected no more than %d for %d ids", span, most, count)
		return pageSet{}, listed, p
	}

	r := io.NewSectionReader(f.r, int64(id*ps+start), int64(8*count))
	buf := make([]byte, min(8*count, 64<<10))
	last := uint64(1)
	for left := 8 * count; left > 0; left -= uint64(len(buf)) {
		buf = buf[:min(left, uint64(len(buf)))]
		if _, err := io.ReadFull(r, buf); err != nil {
			p := unreadable(id, err)
			return pageSet{}, span, &p
		}
		for b := buf; len(b) > 0; b = b[8:] {
			n := binary.LittleEndian.Uint64(b)
			switch {
			case n <= last:
				return fail("the freelist has page %d after %d, expected ascending ids from 2", n, last)
			case n >= f.meta.HighWater:
				return fail("the freelist has page %d, expected ids below the high water %d", n, f.meta.HighWater)
			case n >= id && n-id < span:
				return fail("the freelist lists its own page %d as free", n)
			}
			if n < f.pages {
				free.add(n)
			}
			last = n
		}
	}
	return free, span, nil
}
