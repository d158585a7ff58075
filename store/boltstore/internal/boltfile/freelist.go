package boltfile

import "encoding/binary"

// longFreelist in a freelist's count means that the first entry is the count.
const longFreelist = 0xFFFF

// readFreelist reads the set of free pages. After a problem the set is left
// empty, since nothing can be concluded from it.
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

// parseFreelist also returns how many pages the freelist takes, 0 if that is
// not known.
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
	span = uint64(h.overflow) + 1

	count, start := uint64(h.count), uint64(pageHeaderSize)
	if count == longFreelist {
		count = binary.LittleEndian.Uint64(head[pageHeaderSize:])
		start += 8
		if count < longFreelist {
			return fail("the freelist's long count is %d, expected at least %d", count, longFreelist)
		}
	}
	if room := (span*uint64(f.meta.PageSize) - start) / 8; count > room || count > f.meta.HighWater {
		return fail("the freelist counts %d pages, more than fit its %d pages or the file", count, span)
	}
	buf := make([]byte, start+8*count)
	if err := f.readAt(buf, id); err != nil {
		p := unreadable(id, err)
		return pageSet{}, span, &p
	}
	last := uint64(1)
	for b := buf[start:]; len(b) > 0; b = b[8:] {
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
	return free, span, nil
}
