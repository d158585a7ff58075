package boltfile

import (
	"bytes"
	"encoding/binary"
)

// maxDepth limits recursion, branches and nested buckets together. bbolt's trees fan
// out by at least two, so no real file reaches it.
const maxDepth = 128

// maxProblems limits the problems that a Report lists.
const maxProblems = 1000

// KeyValue is one pair of a bucket.
type KeyValue struct {
	Key, Value []byte
}

// Bucket is the readable part of one top-level bucket. A caller may keep it, but not
// change it: its slices share memory with each other and with other buckets.
type Bucket struct {
	Name     []byte
	Sequence uint64
	Values   []KeyValue // sorted by key, unless Err says otherwise
	Inner    []*Bucket  // buckets directly inside, with Name and Values
	Nested   int        // buckets inside those; checked, but not listed

	// Free: the bucket's header stands on a free page, so the bucket may be an old
	// state.
	Free bool

	// Err is nil if the bucket is sound. Otherwise Values has what could be read: pairs
	// may be missing, double, out of order or wrong. Err wraps the first *Problem.
	Err error
}

// Report is the result of a Walk.
type Report struct {
	Problems []Problem // in the order found, the first 1,000
	More     int       // problems beyond those
	Stats    Stats
}

// Stats counts what a Walk reached. In a damaged file it counts what could be read.
type Stats struct {
	PageSize      int    // bytes
	FileSize      int64  // bytes
	HighWater     uint64 // pages ever used
	FreePages     uint64 // pages in the freelist; without a freelist, pages not reached
	FreelistPages uint64 // pages that hold the freelist
	BranchPages   uint64
	LeafPages     uint64
	OverflowPages uint64 // continuations of branches and leaves
	BranchBytes   int64  // bytes in use in branches, headers included
	LeafBytes     int64  // bytes in use in leaves, headers included
	Buckets       uint64 // top-level buckets
	Inline        uint64 // buckets of any level that are stored in their parent's page
	Nested        uint64 // buckets inside buckets, of any level
	Keys          uint64 // key/value pairs
	Unreachable   uint64 // pages that are neither in the tree nor free
}

// Walk reads the whole tree and calls visit for each top-level bucket, in the order of
// their names. It goes on past damage: an unusable page costs only what lies below it.
// If visit returns an error, the walk ends and returns it. Walk returns no other error.
//
// Each page must have its own id, be a branch or a leaf, lie below the high water, have
// its elements end to end and its keys ascending and within its parent's bounds, be
// reached once, and not be free. Every page must be reached or free. The Report has
// everything that breaks a rule, except what OpenDamaged already reported.
func (f *File) Walk(visit func(*Bucket) error) (Report, error) {
	w := &walker{f: f, visit: visit, inBucket: make(map[uint64]struct{})}
	s := &w.report.Stats
	s.PageSize, s.FileSize, s.HighWater = f.meta.PageSize, f.size, f.meta.HighWater
	s.FreelistPages = f.freelistPages
	for id := range min(2, f.pages) {
		w.own(id)
	}
	for i := range f.freelistPages {
		w.own(f.meta.Freelist + i)
	}
	w.tree(f.meta.Root, f.meta.PageID, nil, nil, 0, w.topLevel)
	if w.err != nil {
		return w.report, w.err
	}
	w.account()
	return w.report, nil
}

type walker struct {
	f      *File
	visit  func(*Bucket) error
	err    error // of visit
	report Report

	bucket   *Bucket // top-level bucket being read, nil in the tree of buckets
	bucketN  int     // problems in it
	bucket1  Problem // the first of them
	inBucket map[uint64]struct{}

	inRoot pageSet    // pages of the tree of top-level buckets
	heads  [2]pageSet // read once, read twice as the start of a node
	tails  [2]pageSet // the same as a continuation
	owned  pageSet    // part of the tree, the freelist or the metas
	both   uint64     // owned and free
}

func (w *walker) add(page uint64, format string, args ...any) {
	w.addProblem(problem(page, nil, format, args...))
}

func (w *walker) addProblem(p Problem) {
	if w.bucket != nil {
		p.Bucket = w.bucket.Name
		if w.bucketN++; w.bucketN == 1 {
			w.bucket1 = p
		}
	}
	if len(w.report.Problems) < maxProblems {
		w.report.Problems = append(w.report.Problems, p)
	} else {
		w.report.More++
	}
}

// own marks a page as used and reports whether it was not used before.
func (w *walker) own(id uint64) bool {
	if !w.owned.add(id) {
		return false
	}
	if w.f.free.has(id) {
		w.both++
	}
	return true
}

// account compares the pages in use with the freelist.
func (w *walker) account() {
	s := &w.report.Stats
	unreached := w.f.pages - w.owned.n
	switch {
	case w.f.knowsFree:
		s.FreePages = w.f.free.n
		s.Unreachable = unreached - (w.f.free.n - w.both)
		if s.Unreachable > 0 {
			w.add(NoPage, "pages that are neither reached nor free: %d", s.Unreachable)
		}
	case w.f.meta.Freelist == NoFreelist:
		s.FreePages = unreached
	}
}

// onLeaf receives the elements of a leaf page.
type onLeaf func(page uint64, elements []element, depth int)

// tree reads the tree below page id, whose keys must be in [lo, hi); nil is no
// bound. from is the page that points to it.
func (w *walker) tree(id, from uint64, lo, hi []byte, depth int, leaf onLeaf) {
	if w.err != nil {
		return
	}
	if depth > maxDepth {
		w.add(id, "is more than %d levels deep", maxDepth)
		return
	}
	n, ok := w.node(id, from, lo, hi)
	if !ok {
		return
	}
	if n.leaf {
		leaf(id, n.elements, depth)
		return
	}
	if len(n.elements) == 0 {
		w.add(id, "is a branch without elements")
	}
	for i, e := range n.elements {
		childHi := hi
		if i+1 < len(n.elements) {
			childHi = n.elements[i+1].key
		}
		w.tree(e.child, id, e.key, childHi, depth+1, leaf)
	}
}

// topLevel visits the buckets in a leaf of the tree of buckets.
func (w *walker) topLevel(page uint64, elements []element, depth int) {
	for _, e := range elements {
		if w.err != nil {
			return
		}
		b := &Bucket{Name: bytes.Clone(e.key), Free: w.f.free.has(page)}
		w.bucket, w.bucketN = b, 0
		clear(w.inBucket)
		if e.flags != bucketElement {
			w.add(page, "element has flags %#x, expected a bucket (1)", e.flags)
		}
		if len(e.value) >= bucketHeaderSize {
			b.Sequence = binary.LittleEndian.Uint64(e.value[8:])
		}
		w.report.Stats.Buckets++
		w.contents(page, e.value, depth, w.pairs)
		if w.bucketN > 0 {
			b.Err = &bucketError{w.bucket1, w.bucketN - 1}
		}
		w.bucket = nil
		w.err = w.visit(b)
	}
}

// pairs collects the pairs in a leaf of the bucket being read.
func (w *walker) pairs(page uint64, elements []element, depth int) {
	b := w.bucket
	for _, e := range elements {
		in := &Bucket{Name: e.key}
		if w.nested(page, e, depth, func(page uint64, elements []element, depth int) {
			for _, e := range elements {
				if w.nested(page, e, depth, w.inside) {
					b.Nested++
					continue
				}
				w.report.Stats.Keys++
				in.Values = append(in.Values, KeyValue{e.key, e.value})
			}
		}) {
			b.Inner = append(b.Inner, in)
			continue
		}
		w.report.Stats.Keys++
		b.Values = append(b.Values, KeyValue{e.key, e.value})
	}
}

// inside checks a leaf of a bucket that visit does not get.
func (w *walker) inside(page uint64, elements []element, depth int) {
	for _, e := range elements {
		if !w.nested(page, e, depth, w.inside) {
			w.report.Stats.Keys++
		}
	}
}

// nested reads an element that is a bucket inside a bucket. It reports whether it is
// one: the flag alone may be the damage.
func (w *walker) nested(page uint64, e element, depth int, leaf onLeaf) bool {
	if e.flags&^bucketElement != 0 {
		w.add(page, "element has flags %#x, expected 0 or a bucket (1)", e.flags)
	}
	if e.flags&bucketElement == 0 {
		return false
	}
	if depth >= maxDepth {
		w.add(page, "buckets are nested more than %d levels deep", maxDepth)
		return true
	}
	if !w.contents(page, e.value, depth+1, leaf) {
		return false
	}
	w.report.Stats.Nested++
	return true
}

// contents reads the bucket whose header is value. It reports whether value is a
// header.
func (w *walker) contents(page uint64, value []byte, depth int, leaf onLeaf) bool {
	if len(value) < bucketHeaderSize {
		w.add(page, "bucket's header is %d bytes, expected %d", len(value), bucketHeaderSize)
		return false
	}
	root := binary.LittleEndian.Uint64(value)
	if root == 0 {
		return w.inline(page, value[bucketHeaderSize:], depth, leaf)
	}
	if len(value) != bucketHeaderSize {
		w.add(page, "bucket's header is %d bytes, expected %d", len(value), bucketHeaderSize)
	}
	w.tree(root, page, nil, nil, depth+1, leaf)
	return root >= 2 && root < w.f.pages
}
