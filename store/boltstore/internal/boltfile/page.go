package boltfile

import "encoding/binary"

const (
	branchPage   = 0x01
	leafPage     = 0x02
	metaPage     = 0x04
	freelistPage = 0x10

	pageHeaderSize   = 16
	elementSize      = 16 // of a branch and of a leaf
	bucketHeaderSize = 16
	bucketElement    = 0x01 // flag of a leaf element whose value is a bucket
)

type header struct {
	id       uint64
	flags    uint16
	count    uint16
	overflow uint32
}

func parseHeader(b []byte) header {
	le := binary.LittleEndian
	return header{le.Uint64(b), le.Uint16(b[8:]), le.Uint16(b[10:]), le.Uint32(b[12:])}
}

// element is one entry of a node. key and value alias the node's bytes.
type element struct {
	flags uint32 // leaf
	key   []byte // nil in a branch if it cannot be read
	value []byte // leaf
	child uint64 // branch
}

// node is the readable part of a branch or leaf page.
type node struct {
	leaf     bool
	elements []element
	used     int64 // bytes from the start of the page to the end of its last value
	packed   bool  // all elements lie end to end, so counts and lengths are right
}

// pageBytes are the bytes of one node: a page and its overflow pages, or the value that
// holds an inline bucket's page. They are read only as far as needed, so a wrong
// overflow count costs nothing.
type pageBytes struct {
	buf   []byte
	limit int64 // length according to the header
	avail int64 // the part of it that the file has
	// grow makes buf n bytes long, or as long as possible; nil if buf is all.
	grow func(n int64)
}

// atLeast reports whether the first n bytes are there.
func (p *pageBytes) atLeast(n int64) bool {
	if n > p.avail {
		return false
	}
	if n > int64(len(p.buf)) && p.grow != nil {
		p.grow(n)
	}
	return n <= int64(len(p.buf))
}

// span returns the place of the data of element i, counted from the start of the page.
// Sums of three 32-bit numbers cannot overflow.
func span(table []byte, leaf bool, i int) (start, ksize, vsize int64) {
	off := pageHeaderSize + i*elementSize
	le := binary.LittleEndian
	if leaf {
		return int64(off) + int64(le.Uint32(table[off+4:])), int64(le.Uint32(table[off+8:])), int64(le.Uint32(table[off+12:]))
	}
	return int64(off) + int64(le.Uint32(table[off:])), int64(le.Uint32(table[off+4:])), 0
}

// packedEnd returns the end of the last value, if the page, read as this kind of node
// with this many elements, has bbolt's layout: end to end, without gaps, no key empty.
func (p *pageBytes) packedEnd(leaf bool, count int) (end int64, ok bool) {
	end = tableEnd(count)
	if !p.atLeast(end) {
		return 0, false
	}
	for i := range count {
		start, ksize, vsize := span(p.buf, leaf, i)
		if start != end || ksize == 0 {
			return 0, false
		}
		end += ksize + vsize
	}
	return end, end <= p.limit
}

func tableEnd(count int) int64 { return pageHeaderSize + int64(count)*elementSize }

// parse reads the node and calls complain once for each fault. ok is false if the page
// is neither a branch nor a leaf by any reading.
//
// With one damaged field, the rest still shows what the page was: one reading of it
// lies end to end. So parse takes kind and count from that reading if those of the
// header do not fit.
func (p *pageBytes) parse(complain func(format string, args ...any)) (n node, ok bool) {
	h := parseHeader(p.buf)
	leaf, known := h.flags == leafPage, h.flags == leafPage || h.flags == branchPage
	count := int(h.count)
	if known && count > 0 {
		if end, ok := p.packedEnd(leaf, count); ok {
			return p.elements(leaf, count, end, complain), true
		}
	}
	for _, asLeaf := range []bool{leaf, !leaf} {
		for _, c := range []int{count, p.countFromData(asLeaf)} {
			if c == 0 {
				continue
			}
			if end, ok := p.packedEnd(asLeaf, c); ok {
				complain("header has flags %#x and count %d, but the contents are those of %s with %d elements", h.flags, count, kind(asLeaf), c)
				return p.elements(asLeaf, c, end, complain), true
			}
		}
	}
	switch {
	case !known:
		complain("header has flags %#x, expected a branch (1) or a leaf (2)", h.flags)
		return node{}, false
	case count == 0:
		return node{leaf: leaf, used: pageHeaderSize, packed: true}, true
	}
	return p.elements(leaf, count, -1, complain), true
}

// countFromData returns the number of elements that fit before the data of the first
// one, or 0 if that is not a whole number.
func (p *pageBytes) countFromData(leaf bool) int {
	if !p.atLeast(tableEnd(1)) {
		return 0
	}
	start, _, _ := span(p.buf, leaf, 0)
	n := (start - pageHeaderSize) / elementSize
	if (start-pageHeaderSize)%elementSize != 0 || n > 0xFFFF {
		return 0
	}
	return int(n)
}

// elements returns the elements. If packedEnd is -1, they are not end to end; elements
// then takes each one that lies inside the page.
func (p *pageBytes) elements(leaf bool, count int, packedEnd int64, complain func(string, ...any)) node {
	n := node{leaf: leaf, used: packedEnd, packed: packedEnd >= 0}
	said := count
	if !n.packed {
		count = min(count, int((p.avail-pageHeaderSize)/elementSize))
		if !p.atLeast(tableEnd(count)) {
			count = (len(p.buf) - pageHeaderSize) / elementSize
		}
	}
	// Read everything at once: elements alias the buffer.
	need := packedEnd
	for i := range count {
		start, ksize, vsize := span(p.buf, leaf, i)
		if end := start + ksize + vsize; end <= p.avail {
			need = max(need, end)
		}
	}
	p.atLeast(min(need, p.avail))

	// Elements of a damaged page may overlap. A limit on the sum of their lengths keeps
	// the work to that of a few such pages.
	budget := 4 * p.avail
	lost := 0
	n.elements = make([]element, 0, count)
	for i := range count {
		start, ksize, vsize := span(p.buf, leaf, i)
		end := start + ksize + vsize
		var e element
		switch {
		case ksize > 0 && start >= tableEnd(count) && end <= int64(len(p.buf)) && ksize+vsize <= budget:
			budget -= ksize + vsize
			n.used = max(n.used, end)
			e.key = p.buf[start : start+ksize : start+ksize]
			e.value = p.buf[start+ksize : end : end]
		case leaf:
			continue
		default:
			lost++ // the child can be read without its key
		}
		off := pageHeaderSize + i*elementSize
		if leaf {
			e.flags = binary.LittleEndian.Uint32(p.buf[off:])
		} else {
			e.child = binary.LittleEndian.Uint64(p.buf[off+8:])
		}
		n.elements = append(n.elements, e)
	}
	lost += said - len(n.elements)
	switch {
	case !n.packed:
		complain("the elements of %s are not laid out end to end; %d of %d are not inside the page", kind(leaf), lost, said)
	case lost > 0:
		complain("%d of %d elements of %s are past the bytes that could be read", lost, said, kind(leaf))
	}
	return n
}

func kind(leaf bool) string {
	if leaf {
		return "a leaf"
	}
	return "a branch"
}
