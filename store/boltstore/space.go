package boltstore

import "podstore/store/boltstore/internal/boltfile"

// Space says how a database file is filled. Sizes are in bytes.
type Space struct {
	FileSize  int64
	PageSize  int64
	FreePages int64 // pages that the next commits can use
	UsedPages int64 // pages that hold something
	UsedBytes int64 // bytes in use in them

	fresh freshSize
}

// freshSize is what the Pods of a file would take in a new one.
type freshSize struct {
	tree  int64 // bytes in the tree of names, small Pods with them
	pages int64 // pages of Pods that have their own
}

// add counts a Pod as bbolt lays it out: in the tree of names up to a quarter of a
// page, on pages of its own beyond that.
func (f *freshSize) add(b *boltfile.Bucket) {
	const element, header = 16, 16 // of a page: an element, its header
	size := int64(header)
	for _, kv := range b.Values {
		size += element + int64(len(kv.Key)+len(kv.Value))
	}
	for _, in := range b.Inner {
		inner := int64(header)
		for _, kv := range in.Values {
			inner += element + int64(len(kv.Key)+len(kv.Value))
		}
		f.pages += (inner + pageSize - 1) / pageSize
		size += element + header
	}
	f.tree += element + header + int64(len(b.Name))
	if size <= pageSize/4 && len(b.Inner) == 0 {
		f.tree += size
		return
	}
	f.pages += (size + pageSize - 1) / pageSize
}

// Reclaimable estimates how many bytes Compact would save. A new file leaves
// about a tenth of the tree of names empty, and grows by doubling up to 1 MiB and
// in steps of 1 MiB from there.
func (s Space) Reclaimable() int64 {
	fresh := s.fresh.tree*10/9 + (s.fresh.pages+4)*pageSize
	if fresh > allocSize {
		fresh += allocSize
	} else {
		size := int64(64 << 10)
		for size < fresh {
			size *= 2
		}
		fresh = size
	}
	return max(0, s.FileSize-fresh)
}
