package boltfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"podstore/store/boltstore/internal/boltfile"
)

// TestTruncated cuts the file at each page boundary, one byte before and one
// after: Open refuses it, and every bucket whose pages are all there is read.
func TestTruncated(t *testing.T) {
	s := podSample(t)
	for page := uint64(0); page <= s.meta.HighWater; page++ {
		for _, d := range []int{-1, 0, 1} {
			size := int(page)*s.ps + d
			if size < 0 || size >= len(s.img) {
				continue
			}
			img := s.img[:size]
			if _, err := openBytes(img); err == nil {
				t.Fatalf("Open accepts the file cut at %d", size)
			}
			got, found := salvage(t, img)
			if len(found) == 0 {
				t.Errorf("no problem in the file cut at %d", size)
			}
			if page < 2 || page == 2 && d < 0 {
				continue // the newest meta may be lost
			}
			s.intact(t, got, func(name string) bool {
				for p := range s.needs[name] {
					if int(p+1)*s.ps > size {
						return false
					}
				}
				return true
			})
		}
	}
}

// TestLostPages zeroes, swaps, overwrites and makes unreadable whole pages: the
// damage is found, and costs only the buckets that need those pages.
func TestLostPages(t *testing.T) {
	s := podSample(t)
	page := func(img []byte, n uint64) []byte { return img[int(n)*s.ps:][:s.ps] }
	for _, pl := range s.places {
		a := pl.page
		check := func(what string, heads int, img []byte, pages ...uint64) {
			t.Helper()
			got, found := salvage(t, img)
			if len(found) < heads {
				t.Errorf("page %d %s: %d problems, expected at least %d", a, what, len(found), heads)
			}
			s.intact(t, got, s.without(pages...))
		}
		check("zeroed", 1, s.damaged(func(b []byte) { clear(page(b, a)) }), a)
		check("filled with noise", 1, s.damaged(func(b []byte) { copy(page(b, a), fill(int(a), s.ps)) }), a)
		for _, other := range []uint64{2 + (a*7)%(s.meta.HighWater-2), s.meta.Root, a ^ 1} {
			if other < 2 || other == a || other >= s.meta.HighWater || s.byPage[other] == nil {
				continue
			}
			check("swapped", 2, s.damaged(func(b []byte) {
				x, y := bytes.Clone(page(b, a)), bytes.Clone(page(b, other))
				copy(page(b, a), y)
				copy(page(b, other), x)
			}), a, other)
			check("overwritten", 1, s.damaged(func(b []byte) { copy(page(b, a), bytes.Clone(page(b, other))) }), a)
		}
	}
}

// TestUnreadable makes each page in turn unreadable.
func TestUnreadable(t *testing.T) {
	s := podSample(t)
	errDisk := errors.New("medium error")
	for id := uint64(0); id < s.meta.HighWater; id++ {
		from := int64(id) * int64(s.ps)
		r := failingReader{bytes.NewReader(s.img), from, from + int64(s.ps), errDisk}
		f, problems, err := boltfile.OpenDamaged(r, int64(len(s.img)), false)
		if err != nil {
			t.Fatalf("page %d unreadable: %v", id, err)
		}
		if id == s.meta.PageID {
			if f.Meta().TxID != s.meta.TxID-1 {
				t.Errorf("newest meta unreadable: read transaction %d", f.Meta().TxID)
			}
			continue
		}
		got := map[string][]*boltfile.Bucket{}
		report, err := f.Walk(func(b *boltfile.Bucket) error {
			got[string(b.Name)] = append(got[string(b.Name)], b)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		s.intact(t, got, s.without(id))
		used := id < 2 || id == s.meta.Freelist
		for _, pl := range s.places {
			used = used || id >= pl.page && id < pl.page+uint64(pl.pages)
		}
		reported := false
		for _, p := range append(problems, report.Problems...) {
			reported = reported || errors.Is(&p, errDisk)
		}
		if used && !reported {
			t.Errorf("page %d unreadable: not reported", id)
		}
	}
}

// TestCycles points branches and buckets to pages above them and beside them.
func TestCycles(t *testing.T) {
	s := podSample(t)
	for _, pl := range s.places {
		targets := []uint64{pl.page, s.meta.Root, pl.parent, s.meta.Freelist, 0, 1, s.meta.HighWater, s.meta.HighWater - 1, 1 << 40, ^uint64(0)}
		if pl.parent != 0 {
			targets = append(targets, s.byPage[pl.parent].children...)
		}
		for i := range pl.children {
			for _, target := range targets {
				if target == pl.children[i] {
					continue
				}
				img := s.damaged(put64(int(pl.page)*s.ps+16+16*i+8, target))
				got, found := salvage(t, img)
				if len(found) == 0 {
					t.Errorf("page %d, child %d: pointing to %d is not found", pl.page, i, target)
				}
				s.intact(t, got, s.without(pl.children[i]))
			}
		}
	}
	other := uint64(0) // some bucket's root
	for _, b := range s.buckets {
		name := string(b.Name)
		slot := s.slot[name]
		p := s.at(slot[0])
		e := p[16+16*slot[1]:]
		off := int(slot[0])*s.ps + 16 + 16*int(slot[1]) + int(le.Uint32(e[4:])+le.Uint32(e[8:]))
		root := le.Uint64(s.img[off:])
		for _, target := range []uint64{s.meta.Root, slot[0], s.byPage[s.meta.Root].children[0], s.meta.Freelist, 1, other, s.meta.HighWater, ^uint64(0)} {
			if target == root {
				continue
			}
			got, found := salvage(t, s.damaged(put64(off, target)))
			if len(found) == 0 {
				t.Errorf("bucket %q: pointing to %d is not found", name, target)
			}
			s.intact(t, got, func(n string) bool { return n != name })
		}
		if root != 0 {
			other = root
		}
	}
}

// TestOneField changes one field of a header or an element. No other bucket
// than that element's may suffer, and only what cannot be seen in the
// structure may go unnoticed.
func TestOneField(t *testing.T) {
	s := podSample(t)
	type tally struct{ done, found int }
	counts := map[string]*tally{}
	tries := 0
	try := func(kind string, pl place, element, off, width int, v uint64, mustFind bool) {
		if tries++; testing.Short() && tries%7 != 0 {
			return
		}
		img := s.damaged(func(b []byte) {
			switch p := b[int(pl.page)*s.ps+off:]; width {
			case 2:
				le.PutUint16(p, uint16(v))
			case 4:
				le.PutUint32(p, uint32(v))
			case 8:
				le.PutUint64(p, v)
			}
		})
		if bytes.Equal(img, s.img) {
			return
		}
		c := counts[kind]
		if c == nil {
			c = &tally{}
			counts[kind] = c
		}
		c.done++
		got, found := salvage(t, img)
		if len(found) > 0 {
			c.found++
		} else if mustFind {
			t.Errorf("%s := %#x, page %d element %d of %d: not found", kind, v, pl.page, element, pl.count)
		}
		s.intact(t, got, func(name string) bool {
			switch {
			case pl.bucket != "":
				return name != pl.bucket
			case pl.leaf && element >= 0:
				return s.slot[name] != [2]uint64{pl.page, uint64(element)}
			}
			return true
		})
		if t.Failed() {
			t.Fatalf("%s := %#x, page %d element %d of %d, bucket %.20q", kind, v, pl.page, element, pl.count, pl.bucket)
		}
	}
	every := 4
	if testing.Short() {
		every = 32
	}
	for i, pl := range s.places {
		if pl.bucket != "" && i%every != 0 && pl.pages == 1 {
			continue
		}
		p := s.at(pl.page)
		for _, v := range []uint64{0, 1, pl.page + 1, pl.page ^ 1<<40, ^uint64(0)} {
			try("page id", pl, -1, 0, 8, v, true)
		}
		for _, v := range []uint64{0, 1, 2, 3, 4, 0x10, 0x12, 0x8002} {
			try("page flags", pl, -1, 8, 2, v, true)
		}
		for _, v := range []int{0, 1, pl.count - 1, pl.count + 1, pl.count ^ 0x100, 0xFFFF} {
			try("count", pl, -1, 10, 2, uint64(v), true)
		}
		for _, v := range []int{0, pl.pages - 2, pl.pages, pl.pages + 5, 0xFFFF, -1} {
			try("overflow", pl, -1, 12, 4, uint64(uint32(v)), true)
		}
		for _, e := range []int{0, pl.count / 2, pl.count - 1} {
			if e < 0 || e >= pl.count {
				continue
			}
			off, last := 16+16*e, e == pl.count-1
			fields := []string{"pos", "ksize"}
			if pl.leaf {
				fields = []string{"element flags", "pos", "ksize", "vsize"}
			}
			for f, field := range fields {
				old := le.Uint32(p[off+4*f:])
				for _, v := range []uint32{0, old - 1, old + 1, old ^ 0x40, old ^ 1<<20, old ^ 1<<31, ^uint32(0)} {
					// The end of the last element is known from nothing else,
					// and a flag may turn a value into a bucket that is one.
					must := field != "ksize" && field != "vsize" || !last || v == 0 && field == "ksize" || v > 1<<19
					try(field, pl, e, off+4*f, 4, uint64(v), must)
				}
			}
		}
	}
	for _, kind := range []string{"page id", "page flags", "count", "overflow", "element flags", "pos", "ksize", "vsize"} {
		c := counts[kind]
		if c == nil {
			t.Fatalf("no damage of kind %q", kind)
		}
		t.Logf("%-14s %5d changed, %5d found (%.1f %%)", kind, c.done, c.found, 100*float64(c.found)/float64(c.done))
	}
}

// TestVisitError: the visitor's error ends the walk and is returned as it is.
func TestVisitError(t *testing.T) {
	s := podSample(t)
	f, err := openBytes(s.img)
	if err != nil {
		t.Fatal(err)
	}
	stop := fmt.Errorf("stop")
	n := 0
	if _, err := f.Walk(func(*boltfile.Bucket) error {
		if n++; n == 12 {
			return stop
		}
		return nil
	}); err != stop || n != 12 {
		t.Errorf("error %v after %d buckets", err, n)
	}
}
