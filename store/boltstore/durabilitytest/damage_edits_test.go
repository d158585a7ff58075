//go:build linux

package durabilitytest

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
)

// edit is one way of damaging a file: it returns the damaged file and what was
// done, or nil when it cannot.
type edit struct {
	kind  string
	times int
	make  func(b *base, r *rand.Rand, f []byte) ([]byte, string)
}

// edits are all kinds of damage, each to be done so often with other random
// numbers.
func (b *base) edits() []edit {
	pages := len(b.used)
	return []edit{
		{"one bit flipped", 400, func(b *base, r *rand.Rand, f []byte) ([]byte, string) { return b.flip(r, f, 1) }},
		{"8 bits flipped", 300, func(b *base, r *rand.Rand, f []byte) ([]byte, string) { return b.flip(r, f, 8) }},
		{"a byte of a header or length changed", 200, flipHead},
		{"page zeroed", pages, zeroPage},
		{"page overwritten", pages, scramblePage},
		{"pages exchanged", 120, swapPages},
		{"page written to the wrong place", 120, copyPage},
		{"page as it was earlier", pages, olderPage},
		{"page header changed", 400, pageHeader},
		{"element changed", 300, element},
		{"pointer to another page", 200, pointer},
		{"bucket header changed", 200, bucketHeader},
		{"element removed", 120, removeElement},
		{"chunk lost", 60, inHistory(removeElement)},
		{"chunk as it was earlier", 60, olderChunk},
		{"history: page header changed", 120, inHistory(pageHeader)},
		{"history: element changed", 120, inHistory(element)},
		{"history: pointer to another page", 120, inHistory(pointer)},
		{"freelist changed", 200, freelist},
		{"meta changed", 200, metaField},
	}
}

func pickOne[T any](r *rand.Rand, s []T) T { return s[r.IntN(len(s))] }

// anywhere is the offset of a byte in use.
func (b *base) anywhere(r *rand.Rand) int {
	s := pickOne(r, b.spans)
	for s.to == s.from {
		s = pickOne(r, b.spans)
	}
	return s.from + r.IntN(s.to-s.from)
}

func (b *base) flip(r *rand.Rand, f []byte, n int) ([]byte, string) {
	what := ""
	for range n {
		at, bit := b.anywhere(r), r.IntN(8)
		f[at] ^= 1 << bit
		what += fmt.Sprintf("%d.%d ", at, bit)
	}
	return f, what
}

func flipHead(b *base, r *rand.Rand, f []byte) ([]byte, string) {
	n := pickOne(r, b.nodes)
	at := n.offset + r.IntN(16+16*n.count)
	f[at] = byte(r.Uint32())
	return f, fmt.Sprintf("byte %d", at)
}

func page(f []byte, id int) []byte { return f[id*pageSize : (id+1)*pageSize] }

func zeroPage(b *base, r *rand.Rand, f []byte) ([]byte, string) {
	id := pickOne(r, b.used)
	clear(page(f, id))
	return f, fmt.Sprint(id)
}

func scramblePage(b *base, r *rand.Rand, f []byte) ([]byte, string) {
	id := pickOne(r, b.used)
	for i := range page(f, id) {
		page(f, id)[i] = byte(r.Uint32())
	}
	return f, fmt.Sprint(id)
}

func swapPages(b *base, r *rand.Rand, f []byte) ([]byte, string) {
	p, q := pickOne(r, b.used), pickOne(r, b.used)
	was := slices.Clone(page(f, p))
	copy(page(f, p), page(f, q))
	copy(page(f, q), was)
	if r.IntN(2) == 0 { // as if the pages knew no better
		binary.LittleEndian.PutUint64(page(f, p), uint64(p))
		binary.LittleEndian.PutUint64(page(f, q), uint64(q))
	}
	return f, fmt.Sprint(p, " and ", q)
}

func copyPage(b *base, r *rand.Rand, f []byte) ([]byte, string) {
	p, q := pickOne(r, b.used), pickOne(r, b.used)
	copy(page(f, p), page(f, q))
	if r.IntN(2) == 0 {
		binary.LittleEndian.PutUint64(page(f, p), uint64(p))
	}
	return f, fmt.Sprint(q, " over ", p)
}

// olderPage undoes the last writes of a page, as a disk does that loses one. In a
// leaf of the tree of buckets that is not done: small Pods, kept there in place,
// would be as they were, and nothing could tell.
func olderPage(b *base, r *rand.Rand, f []byte) ([]byte, string) {
	id := pickOne(r, b.used)
	isLeaf := func(n nodeAt) bool { return n.offset == id*pageSize && n.leaf && n.owner == "" }
	if (id+1)*pageSize > len(b.old) || slices.ContainsFunc(b.nodes, isLeaf) {
		return nil, ""
	}
	copy(page(f, id), page(b.old, id))
	return f, fmt.Sprint(id)
}

func pageHeader(b *base, r *rand.Rand, f []byte) ([]byte, string) {
	n := pickOne(r, b.nodes)
	p := f[n.offset:]
	le := binary.LittleEndian
	count, overflow := le.Uint16(p[10:]), le.Uint32(p[12:])
	switch r.IntN(9) {
	case 0:
		le.PutUint16(p[10:], count+1)
	case 1:
		le.PutUint16(p[10:], count-1)
	case 2:
		le.PutUint16(p[10:], pickOne(r, []uint16{0, 1, 5, 100, 0x7fff, 0xfffe, 0xffff}))
	case 3, 4:
		le.PutUint16(p[8:], pickOne(r, []uint16{0, 1, 2, 3, 4, 16, 0xffff}))
	case 5:
		le.PutUint32(p[12:], overflow+1)
	case 6:
		le.PutUint32(p[12:], pickOne(r, []uint32{0, overflow - 1, 2, 7, 1000, 1 << 31, 1<<32 - 1}))
	case 7:
		le.PutUint64(p, uint64(pickOne(r, b.used)))
	case 8:
		le.PutUint64(p, pickOne(r, []uint64{0, 1, uint64(b.highest), 1 << 40, 1<<64 - 1}))
	}
	return f, fmt.Sprintf("at %d: %d elements", n.offset, count)
}

// element changes the entry of one element.
func element(b *base, r *rand.Rand, f []byte) ([]byte, string) {
	n := pickOne(r, b.nodes)
	if n.count == 0 {
		return nil, ""
	}
	at := n.offset + 16 + 16*r.IntN(n.count) + 4*r.IntN(4)
	v := binary.LittleEndian.Uint32(f[at:])
	w := pickOne(r, []uint32{v + 1, v - 1, v ^ 1, 0, v + 16, v * 2, 8192, 1 << 20, 1 << 31, 1<<32 - 1, r.Uint32()})
	binary.LittleEndian.PutUint32(f[at:], w)
	return f, fmt.Sprintf("at %d: %d became %d", at, v, w)
}

// anyPage is a page that a pointer might be made to point to.
func (b *base) anyPage(r *rand.Rand, own int) uint64 {
	switch r.IntN(8) {
	case 0:
		return pickOne(r, []uint64{0, 1, uint64(b.highest), uint64(b.highest) + 1, 1 << 40, 1<<64 - 1})
	case 1:
		return uint64(b.root)
	case 2:
		return uint64(own) // a cycle
	case 3:
		if len(b.free) > 0 {
			return uint64(pickOne(r, b.free))
		}
	}
	return uint64(pickOne(r, b.used))
}

// pointer makes a branch point to another page, an ancestor among them.
func pointer(b *base, r *rand.Rand, f []byte) ([]byte, string) {
	branches := slices.DeleteFunc(slices.Clone(b.nodes), func(n nodeAt) bool { return n.leaf })
	n := pickOne(r, branches)
	at := n.offset + 16 + 16*r.IntN(n.count) + 8
	to := b.anyPage(r, n.offset/pageSize)
	binary.LittleEndian.PutUint64(f[at:], to)
	return f, fmt.Sprintf("page %d to %d", n.offset/pageSize, to)
}

func bucketHeader(b *base, r *rand.Rand, f []byte) ([]byte, string) {
	k := pickOne(r, b.buckets)
	if r.IntN(4) == 0 {
		at := k.offset + 8 + r.IntN(8)
		f[at] ^= 1 << r.IntN(8)
		return f, fmt.Sprintf("sequence of %q", k.name)
	}
	to := b.anyPage(r, k.offset/pageSize)
	if r.IntN(3) == 0 {
		to = uint64(pickOne(r, b.buckets).root)
	}
	if to == 0 && k.size >= 32 && r.IntN(2) == 0 {
		// A branch in the place of an inline page, with itself below it.
		p := f[k.offset+16:]
		binary.LittleEndian.PutUint16(p[8:], 1)
		binary.LittleEndian.PutUint16(p[10:], 1)
		if k.size >= 48 {
			binary.LittleEndian.PutUint64(p[24:], 0)
		}
	}
	binary.LittleEndian.PutUint64(f[k.offset:], to)
	return f, fmt.Sprintf("%q from page %d to %d", k.name, k.root, to)
}

// inHistory makes an edit one of the pages of histories alone.
func inHistory(f func(*base, *rand.Rand, []byte) ([]byte, string)) func(*base, *rand.Rand, []byte) ([]byte, string) {
	return func(b *base, r *rand.Rand, file []byte) ([]byte, string) {
		only := *b.layout
		only.nodes = slices.DeleteFunc(slices.Clone(b.nodes), func(n nodeAt) bool { return !n.history })
		of := *b
		of.layout = &only
		return f(&of, r, file)
	}
}

// removeElement takes an element out of a leaf so that nothing shows: a Pod, or a
// sub-key of one, or a chunk of a history.
func removeElement(b *base, r *rand.Rand, f []byte) ([]byte, string) {
	n := pickOne(r, b.nodes)
	if !n.leaf || n.count == 0 || n.inline {
		return nil, ""
	}
	list := elementsOf(f, n)
	gone := r.IntN(n.count)
	name := list[gone].key
	putElements(f, n, slices.Delete(list, gone, gone+1))
	return f, fmt.Sprintf("%q from page %d", name, n.offset/pageSize)
}

// olderChunk puts the former value of a chunk in its place, with the right checksum.
func olderChunk(b *base, r *rand.Rand, f []byte) ([]byte, string) {
	n := pickOne(r, b.nodes)
	if !n.history || !n.leaf || n.inline {
		return nil, ""
	}
	list := elementsOf(f, n)
	kv := &list[r.IntN(n.count)]
	older := b.earlier[chunkKey{n.owner, string(kv.key)}]
	if older == nil || slices.Equal(older, kv.value) {
		return nil, ""
	}
	kv.value = older
	if !putElements(f, n, list) {
		return nil, ""
	}
	return f, fmt.Sprintf("%x of %q", kv.key, n.owner)
}

type elementKV struct{ flags, key, value []byte }

// elementsOf copies the elements of a leaf.
func elementsOf(f []byte, n nodeAt) (list []elementKV) {
	for i := range n.count {
		e := n.offset + 16 + 16*i
		key := e + u32(f, e+4)
		value := key + u32(f, e+8)
		end := value + u32(f, e+12)
		list = append(list, elementKV{slices.Clone(f[e : e+4]), slices.Clone(f[key:value]), slices.Clone(f[value:end])})
	}
	return list
}

// putElements writes a leaf anew. It reports false when it does not fit its pages.
func putElements(f []byte, n nodeAt, list []elementKV) bool {
	le := binary.LittleEndian
	p := f[n.offset : n.offset+pageSize*(u32(f, n.offset+12)+1)]
	size := 16 + 16*len(list)
	for _, e := range list {
		size += len(e.key) + len(e.value)
	}
	if size > len(p) {
		return false
	}
	clear(p[16:])
	le.PutUint16(p[10:], uint16(len(list)))
	at := 16 + 16*len(list)
	for i, e := range list {
		h := p[16+16*i:]
		copy(h, e.flags)
		le.PutUint32(h[4:], uint32(at-16-16*i))
		le.PutUint32(h[8:], uint32(len(e.key)))
		le.PutUint32(h[12:], uint32(len(e.value)))
		at += copy(p[at:], e.key)
		at += copy(p[at:], e.value)
	}
	if at <= pageSize {
		le.PutUint32(p[12:], uint32((at-1)/pageSize))
	}
	return true
}

func freelist(b *base, r *rand.Rand, f []byte) ([]byte, string) {
	p := page(f, u64(f, b.meta*pageSize+metaFreelist))
	le := binary.LittleEndian
	n := len(b.free)
	ids := slices.Clone(b.free)
	what := ""
	switch r.IntN(6) {
	case 0:
		id := pickOne(r, b.used)
		ids, what = append(ids, id), fmt.Sprint("used page ", id, " is free")
		slices.Sort(ids)
	case 1:
		i := r.IntN(n)
		what = fmt.Sprint("free page ", ids[i], " is lost")
		ids = slices.Delete(ids, i, i+1)
	case 2:
		i, id := r.IntN(n), pickOne(r, b.used)
		what = fmt.Sprint("used page ", id, " is free instead of ", ids[i])
		ids[i] = id
		slices.Sort(ids)
	case 3:
		i := r.IntN(n)
		ids[i] = int(b.anyPage(r, 0) % (1 << 62))
		what = fmt.Sprint("entry ", i, " is ", ids[i])
	case 4:
		i, j := r.IntN(n), r.IntN(n)
		ids[i], ids[j] = ids[j], ids[i]
		what = fmt.Sprint("entries ", i, " and ", j, " are exchanged")
	case 5:
		i := r.IntN(n)
		ids = append(ids, ids[i])
		slices.Sort(ids)
		what = fmt.Sprint("page ", ids[i], " is free twice")
	}
	le.PutUint16(p[10:], uint16(len(ids)))
	for i, id := range ids {
		le.PutUint64(p[16+8*i:], uint64(id))
	}
	return f, what
}

// metaField changes a meta, most often with the right checksum for it.
func metaField(b *base, r *rand.Rand, f []byte) ([]byte, string) {
	le := binary.LittleEndian
	which := r.IntN(2)
	m := page(f, which)
	field := pickOne(r, []int{metaRoot, metaSequence, metaFreelist, metaHighWater, metaTxID, 16, 20, 24, 28})
	v := le.Uint64(m[field:])
	w := pickOne(r, []uint64{v + 1, v - 1, v + 2, v - 2, 0, b.anyPage(r, b.root), v ^ 1<<r.IntN(64), uint64(b.root), 1<<64 - 1})
	switch r.IntN(8) {
	case 0:
		copy(m, page(f, 1-which)) // one over the other
		return f, fmt.Sprint("meta ", 1-which, " over ", which)
	case 1:
		clear(m[:metaEnd])
		return f, fmt.Sprint("meta ", which, " zeroed")
	case 2:
		le.PutUint64(m[field:], w)
		return f, fmt.Sprintf("meta %d, field at %d: %d became %d", which, field, v, w)
	}
	if field == metaTxID && (w == v+2 || w == v-2) {
		return nil, "" // two sound metas, of which nobody can tell that one was forged
	}
	le.PutUint64(m[field:], w)
	h := fnv.New64a()
	h.Write(m[16:metaChecksum])
	le.PutUint64(m[metaChecksum:], h.Sum64())
	return f, fmt.Sprintf("meta %d, field at %d: %d became %d, checksum right", which, field, v, w)
}
