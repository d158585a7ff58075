package boltstore

import (
	"bytes"
	"errors"
	"fmt"
	"unsafe"

	bolt "go.etcd.io/bbolt"

	"podstore/store/internal/codec"
)

// bbolt trusts its pages. On a cycle its cursor never comes back, and a wrong pointer
// makes it free or overwrite the pages of another Pod. Nothing else here could stop
// that. So the functions of this file check the pages that bbolt is about to enter.
// Checksums cover the values in them.

// These are the headers of bbolt's pages and elements, in the machine's byte order, as
// bbolt maps them.
type (
	pageHeader struct {
		id       uint64
		flags    uint16
		count    uint16
		overflow uint32
	}
	leafElement struct {
		flags uint32
		pos   uint32
		ksize uint32
		vsize uint32
	}
	branchElement struct {
		pos   uint32
		ksize uint32
		child uint64
	}
	bucketHeader struct {
		root     uint64
		sequence uint64
	}
)

const (
	headerSize  = uint64(unsafe.Sizeof(pageHeader{}))
	elementSize = uint64(unsafe.Sizeof(leafElement{}))

	branchFlag = 1 // of a page
	leafFlag   = 2

	bucketFlag = 1 // of an element

	// A Pod's bucket has few keys, and so few leaves. The digest covers what they hold.
	maxPodLeaves = 64
	maxSubKey    = 64 // bytes

	maxTreeDepth = 16
)

// leaf holds the elements of a checked leaf page, in the file's mapping.
type leaf []leafElement

func (e *leafElement) key() []byte   { return bytesAt(unsafe.Pointer(e), e.pos, e.ksize) }
func (e *leafElement) value() []byte { return bytesAt(unsafe.Pointer(e), e.pos+e.ksize, e.vsize) }

// bytesAt returns the bytes that begin pos bytes behind an element.
func bytesAt(element unsafe.Pointer, pos, size uint32) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(element, pos)), size)
}

// mapped is the file's mapping. It stays in place as long as the transaction.
type mapped struct {
	base      unsafe.Pointer
	pageSize  uint64
	highWater uint64 // pages
}

func mapping(tx *bolt.Tx) mapped {
	info := tx.DB().Info()
	size := uint64(info.PageSize)
	return mapped{unsafe.Add(unsafe.Pointer(nil), info.Data), size, uint64(tx.Size()) / size}
}

func (f mapped) page(id uint64) (*pageHeader, error) {
	if id < 2 || id >= f.highWater {
		return nil, fmt.Errorf("page %d is out of bounds (the file has %d)", id, f.highWater)
	}
	p := (*pageHeader)(unsafe.Add(f.base, uintptr(id*f.pageSize)))
	if p.id != id {
		return nil, fmt.Errorf("page %d says that it is page %d", id, p.id)
	}
	return p, nil
}

// treeCheck checks the pages of one bucket.
type treeCheck struct {
	mapped
	history  bool   // the bucket is a history: its keys are chunk numbers, and no bucket is inside
	lastOnly bool   // check only the path to the last key
	left     uint64 // so many more pages may follow
}

// checkPod checks the pages of a Pod's bucket, but not those of the Pod's history.
func checkPod(tx *bolt.Tx, b *bolt.Bucket) error {
	c := &treeCheck{mapped: mapping(tx), left: maxPodLeaves + 1}
	_, err := c.tree(uint64(b.Root()), 0)
	return err
}

// checkHistory checks the pages of a history: all of them, or only those on the path to
// the last key, where an append goes.
func checkHistory(tx *bolt.Tx, b *bolt.Bucket, lastOnly bool) error {
	c := &treeCheck{mapped: mapping(tx), history: true, lastOnly: lastOnly}
	c.left = c.highWater
	_, err := c.tree(uint64(b.Root()), 0)
	return err
}

// tree checks the pages below page id and returns the first key. Root 0 means a bucket
// inside its parent's page, or one that this transaction created.
func (c *treeCheck) tree(id uint64, depth int) (first []byte, err error) {
	if id == 0 && depth == 0 {
		return nil, nil
	}
	if c.left == 0 || depth > maxTreeDepth {
		return nil, fmt.Errorf("page %d: its bucket has more pages than it can have", id)
	}
	c.left--
	p, err := c.page(id)
	if err != nil {
		return nil, err
	}
	if p.flags == leafFlag {
		l, err := c.leaf(p)
		if err != nil {
			return nil, err
		}
		if len(l) > 0 {
			first = l[0].key()
		}
		return first, nil
	}
	if p.flags != branchFlag || p.count == 0 || p.overflow != 0 || headerSize+elementSize*uint64(p.count) > c.pageSize {
		return nil, fmt.Errorf("page %d is not a branch page of its bucket (flags %#x, %d elements, %d overflow pages)", id, p.flags, p.count, p.overflow)
	}
	elements := unsafe.Slice((*branchElement)(unsafe.Add(unsafe.Pointer(p), headerSize)), p.count)
	var last []byte
	for i := range elements {
		e := &elements[i]
		at := headerSize + elementSize*uint64(i)
		if at+uint64(e.pos)+uint64(e.ksize) > c.pageSize || e.ksize == 0 || e.ksize > maxSubKey {
			return nil, fmt.Errorf("page %d: element %d is out of bounds", id, i)
		}
		// bbolt searches by these keys and writes where the search ends.
		key := bytesAt(unsafe.Pointer(e), e.pos, e.ksize)
		if i > 0 && bytes.Compare(last, key) >= 0 {
			return nil, fmt.Errorf("page %d: the keys are not in order at element %d", id, i)
		}
		last = key
		if i == 0 {
			first = key
		}
		if c.lastOnly && i < len(elements)-1 {
			continue
		}
		below, err := c.tree(e.child, depth+1)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(below, key) {
			return nil, fmt.Errorf("page %d does not name the first key of page %d", id, e.child)
		}
	}
	return first, nil
}

// leaf checks that p is a complete leaf as bbolt lays it out, with as many overflow
// pages as its elements need: bbolt frees as many pages as the header says.
func (c *treeCheck) leaf(p *pageHeader) (leaf, error) {
	room := (c.highWater - p.id) * c.pageSize
	if headerSize+elementSize*uint64(p.count) > room {
		return nil, fmt.Errorf("page %d has %d elements, more than the file has room for", p.id, p.count)
	}
	l := leaf(unsafe.Slice((*leafElement)(unsafe.Add(unsafe.Pointer(p), headerSize)), p.count))
	end, err := c.elements(l, room)
	if err != nil {
		return nil, fmt.Errorf("page %d: %w", p.id, err)
	}
	if pages := (end + c.pageSize - 1) / c.pageSize; uint64(p.overflow)+1 != pages {
		return nil, fmt.Errorf("page %d claims %d overflow pages, its elements need %d", p.id, p.overflow, pages-1)
	}
	return l, nil
}

// elements checks the elements of a leaf, whose page has room bytes, and returns the
// end of the last element.
func (c *treeCheck) elements(l leaf, room uint64) (end uint64, err error) {
	end = headerSize + elementSize*uint64(len(l))
	for i := range l {
		e := &l[i]
		at := headerSize + elementSize*uint64(i)
		if e.ksize == 0 || e.ksize > maxSubKey || at+uint64(e.pos) != end {
			return 0, fmt.Errorf("element %d is not in its place", i)
		}
		if end += uint64(e.ksize) + uint64(e.vsize); end > room {
			return 0, fmt.Errorf("element %d goes beyond the end", i)
		}
		switch {
		case e.flags == 0:
		case e.flags != bucketFlag || c.history || string(e.key()) != codec.SubKeys[codec.Reclaimed]:
			return 0, fmt.Errorf("element %d is not a value (flags %#x)", i, e.flags)
		default:
			if err := c.inner(e.value()); err != nil {
				return 0, fmt.Errorf("element %d: %w", i, err)
			}
		}
	}
	return end, nil
}

// inner checks the header of a history, and the page inside it if the history is small.
func (c *treeCheck) inner(value []byte) error {
	const size = uint64(unsafe.Sizeof(bucketHeader{}))
	if uint64(len(value)) < size {
		return fmt.Errorf("the header of a bucket has %d bytes", len(value))
	}
	var h bucketHeader
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&h)), size), value)
	if h.root != 0 {
		if uint64(len(value)) != size || h.root < 2 || h.root >= c.highWater {
			return fmt.Errorf("the bucket is on page %d, which is out of bounds", h.root)
		}
		return nil
	}
	page := bytes.Clone(value[size:]) // aligned
	if uint64(len(page)) < headerSize {
		return fmt.Errorf("the bucket in place has %d bytes", len(page))
	}
	p := (*pageHeader)(unsafe.Pointer(unsafe.SliceData(page)))
	if p.flags != leafFlag || p.overflow != 0 || headerSize+elementSize*uint64(p.count) > uint64(len(page)) {
		return errors.New("the bucket in place is not a leaf")
	}
	var list []leafElement
	if p.count > 0 { // otherwise it would begin behind the page
		list = unsafe.Slice((*leafElement)(unsafe.Add(unsafe.Pointer(p), headerSize)), p.count)
	}
	in := &treeCheck{mapped: c.mapped, history: true}
	end, err := in.elements(list, uint64(len(page)))
	if err == nil && end != uint64(len(page)) {
		err = fmt.Errorf("the bucket in place uses %d of its %d bytes", end, len(page))
	}
	return err
}
