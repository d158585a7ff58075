package boltfile

import "encoding/binary"

// WalkTop reads only the tree of top-level buckets, by the rules of Walk, and
// calls visit with the name of each bucket in it, in the order of the names. It
// does not read the buckets' own pages, so it costs a small part of Walk where
// buckets are large. name may be kept, but not changed.
func (f *File) WalkTop(visit func(name []byte)) Report {
	w := &walker{f: f, inBucket: make(map[uint64]struct{})}
	for id := range min(2, f.pages) {
		w.own(id)
	}
	for i := range f.freelistPages {
		w.own(f.meta.Freelist + i)
	}
	w.tree(f.meta.Root, f.meta.PageID, nil, nil, 0, func(page uint64, elements []element, _ int) {
		for _, e := range elements {
			switch {
			case e.flags != bucketElement:
				w.add(page, "element %.64q has flags %#x, expected a bucket (1)", e.key, e.flags)
			case len(e.value) < bucketHeaderSize:
				w.add(page, "header of bucket %.64q is %d bytes, expected %d", e.key, len(e.value), bucketHeaderSize)
			default:
				if root := binary.LittleEndian.Uint64(e.value); root == 1 || root >= f.pages {
					w.add(page, "bucket %.64q is on page %d, which is out of bounds", e.key, root)
				}
			}
			visit(e.key)
		}
	})
	return w.report
}
