package boltfile_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"podstore/store/boltstore/internal/boltfile"
)

// inlineSample is a root leaf with one bucket in place between two others.
func inlineSample(inline []byte) []byte {
	side := append(make([]byte, 16), leafPageBytes(0, 0, leafElement{0, []byte("k"), []byte("v")})...)
	return hostile(4, map[int][]byte{2: leafPageBytes(2, 0,
		leafElement{1, []byte("a"), side},
		leafElement{1, []byte("b"), append(make([]byte, 16), inline...)},
		leafElement{1, []byte("c"), side},
	)})
}

// TestInline damages a bucket that is stored in place: it is found, and the
// buckets beside it are read.
func TestInline(t *testing.T) {
	elements := []leafElement{{0, []byte("k1"), []byte("one")}, {0, []byte("k2"), []byte("two")}}
	sound := leafPageBytes(0, 0, elements...)
	change := func(do func([]byte)) []byte {
		b := slices.Clone(sound)
		do(b)
		return b
	}
	branch := branchPageBytes(0, 2)
	for _, c := range []struct {
		name   string
		inline []byte
		part   string
		values int
	}{
		{"sound", sound, "", 2},
		{"empty", leafPageBytes(0, 0), "", 0},
		{"too short", sound[:12], "has 12 bytes", 0},
		{"page id", change(put64(0, 3)), "page id 3", 2},
		{"overflow", change(put32(12, 1)), "1 overflow pages", 2},
		{"flags", change(put16(8, 0x12)), "flags 0x12", 2},
		{"count too low", change(put16(10, 1)), "with 2 elements", 2},
		{"count zero", change(put16(10, 0)), "with 2 elements", 2},
		{"count too high", change(put16(10, 500)), "with 2 elements", 2},
		{"count and position", change(func(b []byte) { put16(10, 500)(b); put32(16+4, 7)(b) }), "not laid out", 1},
		{"neither leaf nor branch", change(func(b []byte) { put16(8, 0)(b); put32(16+4, 7)(b) }), "expected a branch (1) or a leaf (2)", 0},
		{"a branch", branch, "is a branch", 0},
		{"bytes to spare", append(slices.Clone(sound), 1, 2, 3), "expected all", 2},
		{"cut off", sound[:len(sound)-2], "not laid out", 1},
		{"keys not ascending", leafPageBytes(0, 0, elements[1], elements[0]), "ascending", 2},
		{"empty key", leafPageBytes(0, 0, leafElement{0, nil, []byte("v")}), "not laid out", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, found := salvage(t, inlineSample(c.inline))
			b := got["b"][0]
			if c.part == "" {
				if len(found) > 0 || b.Err != nil {
					t.Errorf("problems: %v", found)
				}
			} else {
				wantProblem(t, b.Err, 2, c.part)
				if string(found[0].Bucket) != "b" {
					t.Errorf("the problem is said to be in bucket %q", found[0].Bucket)
				}
			}
			if len(b.Values) != c.values {
				t.Errorf("%d values, expected %d", len(b.Values), c.values)
			}
			for _, name := range []string{"a", "c"} {
				if x := got[name]; len(x) != 1 || x[0].Err != nil || len(x[0].Values) != 1 {
					t.Errorf("bucket %s: %+v", name, x)
				}
			}
		})
	}
}

// TestEmptyBranch: a branch without children is no empty tree.
func TestEmptyBranch(t *testing.T) {
	page := branchPageBytes(2, 3)[:16]
	put16(10, 0)(page)
	_, found := salvage(t, hostile(4, map[int][]byte{2: page}))
	wantFound(t, found, "branch without elements")
}

// TestCutTable: the file ends inside a node's table of elements.
func TestCutTable(t *testing.T) {
	var many []leafElement
	for i := range 100 {
		many = append(many, leafElement{0, fmt.Appendf(nil, "k%03d", i), []byte("v")})
	}
	p := leafPageBytes(3, 0, many...)
	n := len(p)/hostilePageSize + 1
	put32(12, uint32(n-1))(p)
	img := hostile(3+n, map[int][]byte{2: leafPageBytes(2, 0, leafElement{1, []byte("b"), bucketAt(3)}), 3: p})
	for size := 3*hostilePageSize + 1; size < 3*hostilePageSize+len(p); size += 7 {
		got, found := salvage(t, img[:size])
		if b := got["b"]; len(b) != 1 || b[0].Err == nil || len(found) < 2 {
			t.Fatalf("file cut at %d: %+v, %v", size, b, found)
		}
	}
}

// TestFreelistUnreadable fails in the middle of a freelist.
func TestFreelistUnreadable(t *testing.T) {
	s := podSample(t)
	errDisk := errors.New("medium error")
	from := int64(s.meta.Freelist)*int64(s.ps) + 40
	r := failingReader{bytesReader(s.img), from, from + 1, errDisk}
	_, err := boltfile.Open(r, int64(len(s.img)))
	wantProblem(t, err, s.meta.Freelist, "medium error")
	if !errors.Is(err, errDisk) {
		t.Errorf("%v does not wrap the read error", err)
	}
}

// TestWalkTop names the buckets without reading them.
func TestWalkTop(t *testing.T) {
	s := podSample(t)
	r := &countingReader{ReaderAt: bytesReader(s.img)}
	f, err := boltfile.Open(r, int64(len(s.img)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	if report := f.WalkTop(func(name []byte, _ error) { names = append(names, string(name)) }); len(report.Problems) > 0 {
		t.Error(report.Problems)
	}
	if len(names) != len(s.buckets) || !slices.IsSorted(names) || names[3] != string(s.buckets[3].Name) {
		t.Errorf("names: %q", names)
	}
	if n := r.n.Load(); n > int64(len(s.img))/2 {
		t.Errorf("read %d bytes of %d", n, len(s.img))
	}
	for _, c := range []struct {
		e    leafElement
		part string
	}{
		{leafElement{0, []byte("b"), bucketAt(0)}, "has flags 0x0"},
		{leafElement{1, []byte("b"), []byte("short")}, "is 5 bytes"},
		{leafElement{1, []byte("b"), bucketAt(1)}, "on page 1"},
		{leafElement{1, []byte("b"), bucketAt(4)}, "on page 4"},
		{leafElement{1, []byte("b"), append(bucketAt(0), make([]byte, 8)...)}, "expected at least 16"},
		{leafElement{1, []byte("b"), append(bucketAt(0), 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0)}, "is a branch"},
	} {
		img := hostile(4, map[int][]byte{2: leafPageBytes(2, 0, c.e)})
		f, err := openBytes(img)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		report := f.WalkTop(func(name []byte, damage error) {
			n++
			if damage == nil || !strings.Contains(damage.Error(), c.part) || !strings.Contains(damage.Error(), `"b"`) {
				t.Errorf("%q: %v, expected %q", name, damage, c.part)
			}
		})
		if n != 1 || len(report.Problems) > 0 {
			t.Errorf("%d names, expected 1; %v", n, report.Problems)
		}
	}
}
