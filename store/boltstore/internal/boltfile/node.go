package boltfile

import "bytes"

// node reads page id as part of a tree whose keys must be in [lo, hi). The page from
// points to it.
func (w *walker) node(id, from uint64, lo, hi []byte) (node, bool) {
	if !w.enter(id, from) {
		return node{}, false
	}
	p, h, ok := w.firstPage(id)
	if !ok {
		return node{}, false
	}
	if h.id != id {
		w.add(id, "says that it is page %d", h.id)
	}
	n, ok := p.parse(func(format string, args ...any) { w.add(id, format, args...) })
	if !ok {
		return node{}, false
	}
	ordered, within := inOrder(n.elements), isWithin(n.elements, lo, hi)
	if h.id != id && !(n.packed && ordered && within) {
		// Take a page that is sound except for its id. Any other one more likely
		// belongs elsewhere.
		w.add(id, "is not used, since neither its id nor its contents belong here")
		return node{}, false
	}
	if !ordered {
		w.add(id, "the keys are not in ascending order")
	}
	if !within {
		w.add(id, "the keys are not those that page %d leads to", from)
	}
	w.take(id, h, n)
	return n, true
}

// enter bounds the work. It refuses a page that cannot be a node, and one that was read
// before. A second bucket may read the pages of a first one: only damage may have led
// the first one there.
func (w *walker) enter(id, from uint64) bool {
	if id < 2 || id >= w.f.pages {
		w.add(from, "points to page %d, expected one from 2 and below %d", id, w.f.pages)
		return false
	}
	again := w.inRoot.has(id)
	if w.bucket != nil && !again {
		_, again = w.inBucket[id]
	}
	if again || !w.heads[0].add(id) && !w.heads[1].add(id) {
		w.add(id, "is reached again, from page %d", from)
		return false
	}
	if w.bucket != nil {
		w.inBucket[id] = struct{}{}
	} else {
		w.inRoot.add(id)
	}
	return true
}

// firstPage reads the first page of a node.
func (w *walker) firstPage(id uint64) (*pageBytes, header, bool) {
	f, ps := w.f, uint64(w.f.meta.PageSize)
	left := f.size - int64(id*ps) // more than 0, since id < f.pages
	buf := make([]byte, min(int64(ps), left))
	if err := f.readAt(buf, id); err != nil {
		w.addProblem(unreadable(id, err))
		return nil, header{}, false
	}
	if len(buf) < pageHeaderSize {
		w.add(id, "is cut off after %d bytes", len(buf))
		return nil, header{}, false
	}
	h := parseHeader(buf)
	if h == (header{}) {
		w.add(id, "has no header but zeros, expected a branch or a leaf")
		return nil, header{}, false
	}
	pages := uint64(h.overflow) + 1
	if room := f.meta.HighWater - id; pages > room {
		w.add(id, "has %d overflow pages and so passes the high water %d", h.overflow, f.meta.HighWater)
		pages = room
	}
	p := &pageBytes{buf: buf, limit: int64(pages * ps)}
	p.avail = min(p.limit, left, int64((f.pages-id)*ps))
	p.grow = func(n int64) { w.readOn(id, p, n) }
	return p, h, true
}

// readOn reads the node up to n bytes, n not more than p.avail, or as far as possible.
func (w *walker) readOn(id uint64, p *pageBytes, n int64) {
	ps, have := int64(w.f.meta.PageSize), int64(len(p.buf))
	for next := (have + ps - 1) / ps; next*ps < n; next++ {
		t := id + uint64(next)
		if !w.tails[0].add(t) && !w.tails[1].add(t) {
			w.add(id, "continues on page %d, which two other nodes did before", t)
			n = next * ps
			p.avail = n
		}
	}
	if n <= have {
		return
	}
	grown := make([]byte, n)
	copy(grown, p.buf)
	got, err := w.f.r.ReadAt(grown[have:], int64(id)*ps+have)
	p.buf = grown[:have+int64(got)]
	if int64(len(p.buf)) < n {
		w.addProblem(unreadable(id+uint64(len(p.buf))/uint64(ps), err))
		p.avail = int64(len(p.buf))
	}
}

// take marks the node's pages as used and counts them.
func (w *walker) take(id uint64, h header, n node) {
	ps := int64(w.f.meta.PageSize)
	used := max(n.used, pageHeaderSize)
	pages := uint64((used + ps - 1) / ps)
	if n.packed && pages != uint64(h.overflow)+1 {
		w.add(id, "has %d overflow pages, expected %d for its %d bytes", h.overflow, pages-1, used)
	}
	pages = min(pages, w.f.pages-id)
	var double, free uint64
	for i := range pages {
		if !w.own(id + i) {
			double++
		}
		if w.f.free.has(id + i) {
			free++
		}
	}
	if double > 0 {
		w.add(id, "%d of its %d pages are also part of another node", double, pages)
	}
	if free > 0 {
		w.add(id, "%d of its %d pages are in the freelist", free, pages)
	}
	s := &w.report.Stats
	s.OverflowPages += pages - 1
	if n.leaf {
		s.LeafPages++
		s.LeafBytes += used
	} else {
		s.BranchPages++
		s.BranchBytes += used
	}
}

// inline reads the leaf page in the value of an inline bucket. It reports whether there
// is one.
func (w *walker) inline(page uint64, value []byte, depth int, leaf onLeaf) bool {
	if len(value) < pageHeaderSize {
		w.add(page, "inline bucket has %d bytes, expected at least %d", len(value), pageHeaderSize)
		return false
	}
	p := &pageBytes{buf: value, limit: int64(len(value)), avail: int64(len(value))}
	n, ok := p.parse(func(format string, args ...any) { w.add(page, "inline bucket: "+format, args...) })
	if !ok {
		return false
	}
	if !n.leaf {
		w.add(page, "inline bucket is a branch, expected a leaf")
		return false
	}
	if h := parseHeader(value); h.id != 0 || h.overflow != 0 {
		w.add(page, "inline bucket has page id %d and %d overflow pages, expected none", h.id, h.overflow)
	}
	if n.packed && n.used != int64(len(value)) {
		w.add(page, "inline bucket uses %d of its %d bytes, expected all", n.used, len(value))
	}
	if !inOrder(n.elements) {
		w.add(page, "inline bucket: the keys are not in ascending order")
	}
	w.report.Stats.Inline++
	leaf(page, n.elements, depth)
	return true
}

func inOrder(es []element) bool {
	for i := 1; i < len(es); i++ {
		if es[i].key != nil && bytes.Compare(es[i-1].key, es[i].key) >= 0 {
			return false
		}
	}
	return true
}

// isWithin reports whether the first key is lo and the last one below hi; nil means no
// bound. A branch has the first key of each page below it. If that page begins with
// another key, bbolt leaves the old pointer in place when it writes the page again.
func isWithin(es []element, lo, hi []byte) bool {
	if len(es) == 0 {
		return lo == nil // bbolt removes an empty page unless it is a root
	}
	first, last := es[0].key, es[len(es)-1].key
	return (lo == nil || first == nil || bytes.Equal(first, lo)) &&
		(hi == nil || last == nil || bytes.Compare(last, hi) < 0)
}
