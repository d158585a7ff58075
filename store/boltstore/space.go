package boltstore

import "podstore/store/boltstore/internal/boltfile"

// Space describes how a database file is filled. Sizes are in bytes.
type Space struct {
	FileSize  int64
	PageSize  int64
	FreePages int64 // pages that later commits can use
	UsedPages int64 // pages with content
	UsedBytes int64 // bytes of content in them

	fresh freshSize
}

// freshSize is the size that the Pods of a file would have in a new one.
type freshSize struct {
	tree  int64 // bytes in the tree of names, including small Pods
	pages int64 // pages of larger Pods
}

// add counts a Pod as bbolt lays it out: inside the tree of names if it takes at most a
// quarter of a page, otherwise on pages of its own.
func (f *freshSize) add(b *boltfile.Bucket) {
	const element, header = 16, 16 // bytes of an element's and of a page's header
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

// Reclaimable estimates the bytes that Compact would save. The estimate allows for room
// that Compact leaves too: in a new file about a tenth of the tree of names is empty, and
// the file doubles up to 1 MiB and then grows in steps of 1 MiB.
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
