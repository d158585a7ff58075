package boltstore

import (
	"fmt"
	"unsafe"

	bolt "go.etcd.io/bbolt"
)

// The start of a bbolt page and of a branch page's element, in the byte order of
// the machine, as bbolt maps them.
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
)

const (
	branchFlag = 1
	leafFlag   = 2

	// maxPodKeys and maxPodLeaves bound the keys and leaves of a Pod's bucket. A
	// sound one has codec.NumSubKeys at most; what a page of more holds is for the
	// digest to judge.
	maxPodKeys   = 64
	maxPodLeaves = 64

	maxSubKey = 64 // bytes
)

// checkPodPages looks at the pages of a Pod's bucket before bbolt follows them:
// on a cycle of pages a bbolt cursor never comes back, and nothing else here
// could stop it. A Pod has so few keys that its tree is one leaf, or one branch
// over leaves. What the values hold is left to checksums. It returns the leaf if
// there is only one.
func checkPodPages(tx *bolt.Tx, b *bolt.Bucket) (only leaf, err error) {
	root := uint64(b.Root())
	if root == 0 {
		return nil, nil // inline, or created in this transaction
	}
	f := mapping(tx)
	p, err := f.page(root)
	if err != nil {
		return nil, err
	}
	if p.flags == leafFlag {
		return f.checkLeaf(p)
	}
	if p.flags != branchFlag || p.count == 0 || p.count > maxPodLeaves || p.overflow != 0 {
		return nil, fmt.Errorf("page %d is not the root of a Pod's bucket (flags %#x, %d elements, %d overflow pages)", root, p.flags, p.count, p.overflow)
	}
	elements := unsafe.Slice((*branchElement)(unsafe.Add(unsafe.Pointer(p), unsafe.Sizeof(*p))), p.count)
	for i := range elements {
		e := &elements[i]
		child, err := f.page(e.child)
		if err != nil {
			return nil, err
		}
		l, err := f.checkLeaf(child)
		if err != nil {
			return nil, err
		}
		// bbolt looks for a sub-key by these, and writes by what it finds.
		var first []byte
		if len(l) > 0 {
			first = l[0].key()
		}
		if uint64(e.pos)+uint64(e.ksize) > f.pageSize || string(bytesAt(unsafe.Pointer(e), e.pos, e.ksize)) != string(first) {
			return nil, fmt.Errorf("page %d does not name the first sub-key of page %d", p.id, child.id)
		}
	}
	return nil, nil
}

// leaf is the elements of a leaf page that was checked, in the file's mapping.
type leaf []leafElement

// checkLeaf makes sure that p is a leaf with plain values, end to end as bbolt
// lays them out, and with as many overflow pages as they need: bbolt frees as many
// as it says, whosesoever they are, and what it takes for a bucket too.
func (f mapped) checkLeaf(p *pageHeader) (leaf, error) {
	if p.flags != leafFlag || p.count > maxPodKeys {
		return nil, fmt.Errorf("page %d is not a leaf of a Pod's bucket (flags %#x, %d elements)", p.id, p.flags, p.count)
	}
	elements := unsafe.Slice((*leafElement)(unsafe.Add(unsafe.Pointer(p), unsafe.Sizeof(*p))), p.count)
	const elementSize = uint64(unsafe.Sizeof(leafElement{}))
	end := uint64(unsafe.Sizeof(*p)) + elementSize*uint64(p.count)
	for i := range elements {
		e := &elements[i]
		at := uint64(unsafe.Sizeof(*p)) + elementSize*uint64(i)
		if e.flags != 0 || e.ksize == 0 || e.ksize > maxSubKey || at+uint64(e.pos) != end {
			return nil, fmt.Errorf("page %d: element %d is not a value, or not in its place", p.id, i)
		}
		end += uint64(e.ksize) + uint64(e.vsize)
	}
	if pages := (end + f.pageSize - 1) / f.pageSize; uint64(p.overflow)+1 != pages {
		return nil, fmt.Errorf("page %d claims %d overflow pages, its elements need %d", p.id, p.overflow, pages-1)
	}
	if end := p.id + uint64(p.overflow); end >= f.highWater {
		return nil, fmt.Errorf("page %d goes on to page %d, which is out of bounds", p.id, end)
	}
	return elements, nil
}

func (e *leafElement) key() []byte   { return bytesAt(unsafe.Pointer(e), e.pos, e.ksize) }
func (e *leafElement) value() []byte { return bytesAt(unsafe.Pointer(e), e.pos+e.ksize, e.vsize) }

// bytesAt is what an element has pos bytes from where it is.
func bytesAt(element unsafe.Pointer, pos, size uint32) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(element, pos)), size)
}

// mapped is the file's mapping, which stays in place as long as the transaction.
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

// page returns the header of a page.
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
