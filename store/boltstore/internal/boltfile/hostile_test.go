package boltfile_test

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"podstore/store/boltstore/internal/boltfile"
)

// The files here are not damaged but made to do harm: what they claim is
// consistent, so that every bound is reached.

const hostilePageSize = 512

type leafElement struct {
	flags      uint32
	key, value []byte
}

func bucketAt(root uint64) []byte {
	b := make([]byte, 16)
	le.PutUint64(b, root)
	return b
}

// leafPageBytes lays out a leaf page.
func leafPageBytes(id uint64, overflow uint32, elements ...leafElement) []byte {
	b := make([]byte, 16+16*len(elements))
	le.PutUint64(b, id)
	le.PutUint16(b[8:], 2)
	le.PutUint16(b[10:], uint16(len(elements)))
	le.PutUint32(b[12:], overflow)
	for i, e := range elements {
		h := b[16+16*i:]
		le.PutUint32(h, e.flags)
		le.PutUint32(h[4:], uint32(len(b)-16-16*i))
		le.PutUint32(h[8:], uint32(len(e.key)))
		le.PutUint32(h[12:], uint32(len(e.value)))
		b = append(append(b, e.key...), e.value...)
	}
	return b
}

// branchPageBytes lays out a branch page with one child.
func branchPageBytes(id, child uint64) []byte {
	b := make([]byte, 33)
	le.PutUint64(b, id)
	le.PutUint16(b[8:], 1)
	le.PutUint16(b[10:], 1)
	le.PutUint32(b[16:], 16)
	le.PutUint32(b[20:], 1)
	le.PutUint64(b[24:], child)
	b[32] = 'k'
	return b
}

// hostile makes a file of n pages without a freelist, with root page 2.
func hostile(n int, pages map[int][]byte) []byte {
	img := make([]byte, n*hostilePageSize)
	for _, id := range slices.Sorted(maps.Keys(pages)) { // a page covers the one before it
		copy(img[id*hostilePageSize:], pages[id])
	}
	for i := range 2 {
		le.PutUint64(img[i*hostilePageSize:], uint64(i))
		le.PutUint16(img[i*hostilePageSize+8:], 4)
		setMeta(img, hostilePageSize, i, func(m []byte) {
			le.PutUint32(m, 0xED0CDAED)
			le.PutUint32(m[4:], 2)
			le.PutUint32(m[8:], hostilePageSize)
			le.PutUint64(m[16:], 2)
			le.PutUint64(m[32:], boltfile.NoFreelist)
			le.PutUint64(m[40:], uint64(n))
			le.PutUint64(m[48:], uint64(10+i))
		})
	}
	return img
}

func wantFound(t *testing.T, found []boltfile.Problem, part string) {
	t.Helper()
	for i := range found {
		if strings.Contains(found[i].Error(), part) {
			return
		}
	}
	t.Errorf("no problem says %q among %d: %.5v", part, len(found), found)
}

func TestDeepTree(t *testing.T) {
	const n = 100_000
	pages := map[int][]byte{}
	for i := 2; i < n; i++ {
		pages[i] = branchPageBytes(uint64(i), uint64(i+1))
	}
	_, found := salvage(t, hostile(n, pages))
	wantFound(t, found, "levels deep")
}

func TestDeepNesting(t *testing.T) {
	// Buckets in place, each inside the one before.
	value := append(make([]byte, 16), leafPageBytes(0, 0)...)
	for range 1000 {
		value = append(make([]byte, 16), leafPageBytes(0, 0, leafElement{1, []byte("k"), value})...)
	}
	n := len(value)/hostilePageSize + 1
	root := leafPageBytes(2, uint32(n-1), leafElement{1, []byte("b"), value})
	got, found := salvage(t, hostile(2+n, map[int][]byte{2: root}))
	wantFound(t, found, "nested more than")
	if b := got["b"]; len(b) != 1 || len(b[0].Inner) != 1 || b[0].Nested != 1 || b[0].Err == nil {
		t.Errorf("the outer bucket: %+v", b)
	}
	// Buckets in pages of their own.
	pages := map[int][]byte{}
	for i := 2; i < 1000; i++ {
		pages[i] = leafPageBytes(uint64(i), 0, leafElement{1, []byte("b"), bucketAt(uint64(i + 1))})
	}
	_, found = salvage(t, hostile(1000, pages))
	wantFound(t, found, "levels deep")
}

// TestSharedPages has many nodes that all claim the rest of the file.
func TestSharedPages(t *testing.T) {
	const n = 2000
	var root []leafElement
	pages := map[int][]byte{}
	for i := 1000; i < 1900; i++ {
		root = append(root, leafElement{1, []byte{'b', byte(i >> 8), byte(i)}, bucketAt(uint64(i))})
		rest := n - i
		p := leafPageBytes(uint64(i), uint32(rest-1), leafElement{0, []byte("k"), make([]byte, rest*hostilePageSize-64)})
		pages[i] = p[:64]
	}
	pages[2] = leafPageBytes(2, uint32(len(leafPageBytes(2, 0, root...))/hostilePageSize), root...)
	got, found := salvage(t, hostile(n, pages))
	wantFound(t, found, "also part of another node")
	wantFound(t, found, "which two other nodes did before")
	if len(got) != 900 {
		t.Errorf("%d buckets, expected 900", len(got))
	}
}

// TestSameRoot has many buckets with one root page.
func TestSameRoot(t *testing.T) {
	var root []leafElement
	for i := range 200 {
		root = append(root, leafElement{1, []byte{'b', byte(i)}, bucketAt(100)})
	}
	p := leafPageBytes(2, 0, root...)
	le.PutUint32(p[12:], uint32(len(p)/hostilePageSize))
	got, found := salvage(t, hostile(101, map[int][]byte{2: p, 100: leafPageBytes(100, 0, leafElement{0, []byte("k"), []byte("v")})}))
	wantFound(t, found, "is reached again")
	read := 0
	for _, bs := range got {
		read += len(bs[0].Values)
	}
	if len(got) != 200 || read != 2 {
		t.Errorf("%d buckets with %d values, expected 200 with 2", len(got), read)
	}
}

// TestOverlappingElements has elements that all claim the whole page.
func TestOverlappingElements(t *testing.T) {
	const count, span = 60_000, 3000
	var root []leafElement
	for range count {
		root = append(root, leafElement{1, []byte("b"), nil})
	}
	page := leafPageBytes(3, span-1, root...)
	page = append(page, make([]byte, span*hostilePageSize-len(page))...)
	for i := range count {
		h := page[16+16*i:]
		pos := uint32(16 * (count - i))
		le.PutUint32(h, 0)
		le.PutUint32(h[4:], pos)
		le.PutUint32(h[8:], uint32(len(page)-16-16*count)) // the key takes all
	}
	img := hostile(3+span, map[int][]byte{2: leafPageBytes(2, 0, leafElement{1, []byte("b"), bucketAt(3)}), 3: page})
	got, found := salvage(t, img)
	wantFound(t, found, "not laid out end to end")
	if n := len(got["b"][0].Values); n == 0 || n > 20 {
		t.Errorf("%d overlapping values delivered", n)
	}
}

// TestManyProblems: a report lists so many and counts the others.
func TestManyProblems(t *testing.T) {
	var root []leafElement
	for i := range 5000 {
		root = append(root, leafElement{0, []byte{'b', byte(i >> 8), byte(i)}, []byte("short")})
	}
	page := leafPageBytes(2, 0, root...)
	n := len(page)/hostilePageSize + 1
	le.PutUint32(page[12:], uint32(n-1))
	img := hostile(2+n, map[int][]byte{2: page})
	f, err := openBytes(img)
	if err != nil {
		t.Fatal(err)
	}
	buckets := 0
	report, err := f.Walk(func(b *boltfile.Bucket) error {
		buckets++
		if b.Err == nil || !strings.Contains(b.Err.Error(), "(and 1 more)") {
			t.Fatalf("error of %q: %v", b.Name, b.Err)
		}
		wantProblem(t, b.Err, 2, "expected a bucket")
		return nil
	})
	if err != nil || buckets != 5000 || len(report.Problems) != 1000 || len(report.Problems)+report.More != 10_000 {
		t.Errorf("%v: %d buckets, %d problems and %d more", err, buckets, len(report.Problems), report.More)
	}
}

// TestVastClaims: counts and sizes far beyond the file cost nothing.
func TestVastClaims(t *testing.T) {
	img := hostile(8, map[int][]byte{
		2: leafPageBytes(2, ^uint32(0), leafElement{1, []byte("b"), bucketAt(3)}),
		3: leafPageBytes(3, ^uint32(0), leafElement{0, []byte("k"), []byte("v")}),
	})
	for i := range 2 {
		setMeta(img, hostilePageSize, i, put64(40, 1<<63))
	}
	_, found := salvage(t, img)
	wantFound(t, found, "overflow pages, expected 0")
	for i := range 2 {
		setMeta(img, hostilePageSize, i, put64(32, 4))
	}
	le.PutUint64(img[4*hostilePageSize:], 4)
	le.PutUint16(img[4*hostilePageSize+8:], 16)
	le.PutUint16(img[4*hostilePageSize+10:], 0xFFFF)
	for _, overflow := range []uint32{0, 3, 4, ^uint32(0)} {
		for _, count := range []uint64{0, 0xFFFE, 0xFFFF, 1 << 32, 1<<61 - 2, 1 << 61, 1 << 63, ^uint64(0)} {
			le.PutUint32(img[4*hostilePageSize+12:], overflow)
			le.PutUint64(img[4*hostilePageSize+16:], count)
			_, found = salvage(t, img)
			wantFound(t, found, "the freelist")
		}
	}
	// In a file of the size that it claims, without contents.
	le.PutUint32(img[4*hostilePageSize+12:], ^uint32(0))
	le.PutUint64(img[4*hostilePageSize+16:], 1<<31)
	f, found, err := boltfile.OpenDamaged(bytes.NewReader(img), 1<<60, false)
	if err != nil {
		t.Fatal(err)
	}
	wantFound(t, found, "the freelist")
	if _, err := f.Walk(func(*boltfile.Bucket) error { return nil }); err != nil {
		t.Fatal(err)
	}
	le.PutUint32(img[3*hostilePageSize+16+12:], ^uint32(0)) // vsize
	got, found := salvage(t, img)
	wantFound(t, found, "past the bytes that could be read")
	if len(got["b"]) != 1 || len(got["b"][0].Values) != 0 || got["b"][0].Err == nil {
		t.Errorf("bucket with a value of 4 GiB: %+v", got["b"])
	}
}
