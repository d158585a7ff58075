package boltfile

import "encoding/binary"

// WalkTop reads only the tree of top-level buckets, by the rules of Walk, and calls
// visit with each name in it, in order. If damage is not nil, it says why bbolt must
// not enter what stands there: it is not a bucket, its header is wrong, or its contents
// in place are damaged. Such damage concerns only that bucket and is not in the Report.
// WalkTop does not read the buckets' own pages, so it costs a small part of Walk if
// buckets are large. visit may keep name, but not change it.
func (f *File) WalkTop(visit func(name []byte, damage error)) Report {
	w := &walker{f: f, inBucket: make(map[uint64]struct{})}
	for id := range min(2, f.pages) {
		w.own(id)
	}
	for i := range f.freelistPages {
		w.own(f.meta.Freelist + i)
	}
	w.tree(f.meta.Root, f.meta.PageID, nil, nil, 0, func(page uint64, elements []element, depth int) {
		for _, e := range elements {
			visit(e.key, f.header(page, e, depth))
		}
	})
	return w.report
}

// header checks an element of the tree of top-level buckets, and the contents in place.
func (f *File) header(page uint64, e element, depth int) error {
	fail := func(format string, args ...any) error {
		p := problem(page, e.key, format, args...)
		return &p
	}
	if e.flags != bucketElement {
		return fail("element has flags %#x, expected a bucket (1)", e.flags)
	}
	if len(e.value) < bucketHeaderSize {
		return fail("bucket's header is %d bytes, expected %d", len(e.value), bucketHeaderSize)
	}
	switch root := binary.LittleEndian.Uint64(e.value); {
	case root == 1 || root >= f.pages:
		return fail("bucket is on page %d, which is out of bounds", root)
	case root > 1:
		return nil
	}
	w := &walker{f: f, bucket: &Bucket{Name: e.key}}
	ok := w.inline(page, e.value[bucketHeaderSize:], depth, func(_ uint64, elements []element, _ int) {
		for _, e := range elements {
			if e.flags != 0 {
				w.add(page, "element has flags %#x, expected 0", e.flags)
			}
		}
	})
	if w.bucketN > 0 || !ok {
		return &w.bucket1
	}
	return nil
}
