package boltfile

import (
	"encoding/binary"
	"fmt"
)

// Shared finds the top-level buckets that share pages, or point to what is not a page
// of a bucket. It calls visit with the contents of each. free says that the freelist
// has a page of the bucket. A writer must know this: bbolt overwrites free pages, frees
// whatever a bucket points to, even pages of others, and creates pages where there were
// none.
//
// Shared reads only the first bytes of pages. It does not report what Walk reports
// about the tree of buckets. Its error means that pages are claimed again and again,
// far more often than in any sound file.
func (f *File) Shared(visit func(b *Bucket, free bool)) error {
	s := &sharing{f: f, owner: make([]uint32, f.pages), others: make(map[uint64]bool)}
	w := &walker{f: f, inBucket: make(map[uint64]struct{})}
	w.tree(f.meta.Root, f.meta.PageID, nil, nil, 0, func(page uint64, elements []element, depth int) {
		for _, e := range elements {
			if e.flags != bucketElement || len(e.value) < bucketHeaderSize {
				continue
			}
			s.buckets = append(s.buckets, sharer{element: e, page: page, depth: depth})
		}
	})
	for id := range s.owner {
		if id < 2 || w.owned.has(uint64(id)) || f.ofFreelist(uint64(id)) {
			s.owner[id] = ofAll
		}
	}
	for i := range s.buckets {
		if root := binary.LittleEndian.Uint64(s.buckets[i].value); root != 0 {
			s.me = uint32(i) + firstBucket
			clear(s.others)
			s.node(root, 0)
		}
		if s.claims > 4*f.pages {
			return fmt.Errorf("the pages in use are claimed by several buckets each, over and over")
		}
	}
	for i := range s.buckets {
		if b := &s.buckets[i]; b.shared || b.free || b.astray {
			visit(f.read(b), b.free)
		}
	}
	return nil
}

func (f *File) ofFreelist(id uint64) bool {
	return f.freelistPages > 0 && id >= f.meta.Freelist && id-f.meta.Freelist < f.freelistPages
}

const (
	ofNone = iota
	ofAll  // metas, freelist, tree of buckets
	firstBucket
)

type sharer struct {
	element
	page   uint64 // where its header is
	depth  int
	shared bool // a page also belongs to another bucket
	free   bool // a page is free
	astray bool // a pointer does not lead to a page of a bucket
}

type sharing struct {
	f       *File
	owner   []uint32 // by page
	buckets []sharer
	me      uint32
	others  map[uint64]bool // pages of other buckets that this one has reached
	claims  uint64
}

// few is the number of elements that are read together with the header of a page. A Pod
// has no more; a page of its history may have.
const few = 64

// node claims a page, with those that follow it, and what is below it.
func (s *sharing) node(id uint64, depth int) {
	if s.claims > 4*s.f.pages {
		return
	}
	buf, h, ok := s.enter(id)
	if !ok || depth > maxDepth {
		s.buckets[s.me-firstBucket].astray = true
		return
	}
	if !s.claim(id, uint64(h.overflow)+1) {
		return
	}
	if h.flags == leafPage {
		s.inner(id, buf, int(h.count), depth)
		return
	}
	for i := range int(h.count) {
		s.node(binary.LittleEndian.Uint64(buf[pageHeaderSize+i*elementSize+8:]), depth+1)
	}
}

// inner visits the buckets inside a leaf.
func (s *sharing) inner(id uint64, buf []byte, count, depth int) {
	for i := range count {
		if binary.LittleEndian.Uint32(buf[pageHeaderSize+i*elementSize:])&bucketElement == 0 {
			continue
		}
		start, ksize, _ := span(buf, true, i)
		var root [8]byte
		if readFull(s.f.r, root[:], int64(id)*int64(s.f.meta.PageSize)+start+ksize) != nil {
			s.buckets[s.me-firstBucket].astray = true
		} else if root := binary.LittleEndian.Uint64(root[:]); root != 0 {
			s.node(root, depth+1)
		}
	}
}

// enter reads the table of elements of a page, if it is a page of a bucket.
func (s *sharing) enter(id uint64) (buf []byte, h header, ok bool) {
	f := s.f
	if id < 2 || id >= f.pages {
		return nil, h, false
	}
	left := f.size - int64(id)*int64(f.meta.PageSize)
	buf = make([]byte, min(tableEnd(few), left))
	if len(buf) < pageHeaderSize || f.readAt(buf, id) != nil {
		return nil, h, false
	}
	h = parseHeader(buf)
	if h.count > few {
		buf = make([]byte, min(tableEnd(int(h.count)), left))
		if f.readAt(buf, id) != nil {
			return nil, h, false
		}
	}
	leaf := h.flags == leafPage
	if h.id != id || !leaf && h.flags != branchPage || h.count == 0 || tableEnd(int(h.count)) > int64(len(buf)) {
		return nil, h, false
	}
	start, ksize, vsize := span(buf, leaf, int(h.count)-1)
	ps := int64(f.meta.PageSize)
	return buf, h, (start+ksize+vsize+ps-1)/ps == int64(h.overflow)+1
}

// claim records the owner of pages. It reports false if the caller must not go on below
// them: this bucket has reached them before, as on a cycle, or they belong to the tree
// of buckets, which leads to all other pages.
func (s *sharing) claim(id, n uint64) bool {
	me := &s.buckets[s.me-firstBucket]
	switch owner := s.owner[id]; {
	case owner == s.me, owner == ofAll, s.others[id]:
		me.shared = true
		return false
	case owner != ofNone:
		s.others[id] = true
	}
	for ; n > 0 && id < s.f.pages; id, n = id+1, n-1 {
		s.claims++
		me.free = me.free || s.f.free.has(id)
		switch s.owner[id] {
		case ofNone:
			s.owner[id] = s.me
		case ofAll:
			me.shared = true
		default:
			me.shared = true
			s.buckets[s.owner[id]-firstBucket].shared = true
		}
	}
	return true
}

// read returns what a bucket holds.
func (f *File) read(b *sharer) *Bucket {
	w := &walker{f: f, inBucket: make(map[uint64]struct{})}
	w.bucket = &Bucket{Name: b.key, Sequence: binary.LittleEndian.Uint64(b.value[8:])}
	w.contents(b.page, b.value, b.depth, w.pairs)
	if w.bucketN > 0 {
		w.bucket.Err = &bucketError{w.bucket1, w.bucketN - 1}
	}
	return w.bucket
}
