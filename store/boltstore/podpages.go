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
)

// checkPodPages looks at the pages of a Pod's bucket before bbolt follows them:
// on a cycle of pages a bbolt cursor never comes back, and nothing else here
// could stop it. A Pod has so few keys that its tree is one leaf, or one branch
// over leaves. What the pages hold besides is left to checksums and guard.
func checkPodPages(tx *bolt.Tx, b *bolt.Bucket) error {
	root := uint64(b.Root())
	if root == 0 {
		return nil // inline, or created in this transaction
	}
	f := mapping(tx)
	p, err := f.page(root)
	if err != nil {
		return err
	}
	if p.flags == leafFlag {
		return f.checkLeaf(p)
	}
	if p.flags != branchFlag || p.count == 0 || p.count > maxPodLeaves {
		return fmt.Errorf("page %d is not the root of a Pod's bucket (flags %#x, %d elements)", root, p.flags, p.count)
	}
	elements := unsafe.Slice((*branchElement)(unsafe.Add(unsafe.Pointer(p), unsafe.Sizeof(*p))), p.count)
	for _, e := range elements {
		child, err := f.page(e.child)
		if err != nil {
			return err
		}
		if err := f.checkLeaf(child); err != nil {
			return err
		}
	}
	return nil
}

// checkLeaf makes sure that p is a leaf and has as many overflow pages as its
// elements need: bbolt frees as many as it says, whosesoever they are.
func (f mapped) checkLeaf(p *pageHeader) error {
	if p.flags != leafFlag || p.count > maxPodKeys {
		return fmt.Errorf("page %d is not a leaf of a Pod's bucket (flags %#x, %d elements)", p.id, p.flags, p.count)
	}
	size := uint64(unsafe.Sizeof(*p))
	if p.count > 0 {
		elements := unsafe.Slice((*leafElement)(unsafe.Add(unsafe.Pointer(p), unsafe.Sizeof(*p))), p.count)
		last := elements[p.count-1]
		size += uint64(unsafe.Sizeof(last))*uint64(p.count-1) + uint64(last.pos) + uint64(last.ksize) + uint64(last.vsize)
	}
	if pages := (size + f.pageSize - 1) / f.pageSize; uint64(p.overflow)+1 != pages {
		return fmt.Errorf("page %d claims %d overflow pages, its elements need %d", p.id, p.overflow, pages-1)
	}
	if end := p.id + uint64(p.overflow); end >= f.highWater {
		return fmt.Errorf("page %d goes on to page %d, which is out of bounds", p.id, end)
	}
	return nil
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
