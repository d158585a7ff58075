package boltfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"podstore/store/boltstore/internal/boltfile"
)

func openBytes(b []byte) (*boltfile.File, error) {
	return boltfile.Open(bytes.NewReader(b), int64(len(b)))
}

func openDamaged(b []byte) (*boltfile.File, []boltfile.Problem, error) {
	return boltfile.OpenDamaged(bytes.NewReader(b), int64(len(b)), false)
}

func wantProblem(t testing.TB, err error, page uint64, part string) {
	t.Helper()
	var p *boltfile.Problem
	if !errors.As(err, &p) {
		t.Fatalf("error is %v, expected a problem about %q", err, part)
	}
	if p.Page != page || !strings.Contains(p.Error(), part) {
		t.Errorf("problem is %q on page %d, expected %q on page %d", p.Error(), p.Page, part, page)
	}
}

// TestOpenRules breaks each rule of Open, alone. OpenDamaged reads the file in
// spite of it where read is true.
func TestOpenRules(t *testing.T) {
	s := podSample(t)
	ps := s.ps
	newest := int(s.meta.PageID)
	older := 1 - newest
	meta := func(page int, do func(m []byte)) func([]byte) {
		return func(b []byte) { setMeta(b, ps, page, do) }
	}
	freelist := int(s.meta.Freelist) * ps
	firstFree := le.Uint64(s.img[freelist+16:])
	hw := s.meta.HighWater
	for _, c := range []struct {
		name string
		do   func(img []byte)
		page uint64
		part string
		read bool
	}{
		{"meta 0 flipped", func(b []byte) { b[16+50] ^= 4 }, 0, "checksum", true},
		{"meta 1 flipped", func(b []byte) { b[ps+16+25] ^= 1 }, 1, "checksum", true},
		{"checksum flipped", func(b []byte) { b[16+60] ^= 1 }, 0, "checksum", true},
		{"meta 0 zeroed", func(b []byte) { clear(b[:ps]) }, 0, "magic number 0x0", true},
		{"meta 1 zeroed", func(b []byte) { clear(b[ps : 2*ps]) }, 1, "magic number 0x0", true},
		{"meta 0 over meta 1", func(b []byte) { copy(b[ps:2*ps], b[:ps]) }, 1, "meta's page has id 0", true},
		{"meta 1 over meta 0", func(b []byte) { copy(b[:ps], b[ps:2*ps]) }, 0, "meta's page has id 1", true},
		{"meta 1's contents over meta 0's", func(b []byte) { copy(b[16:ps], b[ps+16:2*ps]) }, 0, "which belongs on page 1", true},
		{"older meta far behind", meta(older, put64(48, s.meta.TxID-3)), boltfile.NoPage, "the last commit may be lost", true},
		{"newest meta ahead", meta(newest, put64(48, s.meta.TxID+2)), boltfile.NoPage, "the last commit may be lost", true},
		{"version 3", meta(newest, put32(4, 3)), uint64(newest), "version 3", true},
		{"page size not a power of two", meta(newest, put32(8, 3000)), uint64(newest), "power of two", true},
		{"page size too small", meta(newest, put32(8, 256)), uint64(newest), "power of two", true},
		{"page size too large", meta(newest, put32(8, 1<<17)), uint64(newest), "power of two", true},
		{"page sizes differ", meta(1, put32(8, 4096)), 1, "stands where the page size is 1024", true},
		{"meta page's id", put64(ps*newest, 7), uint64(newest), "has id 7", true},
		{"meta page's flags", put16(ps*newest+8, 6), uint64(newest), "flags 0x6", true},
		{"root is a meta", meta(newest, put64(16, 1)), uint64(newest), "root page is 1", true},
		{"root above high water", meta(newest, put64(16, hw)), uint64(newest), "root page is", true},
		{"freelist above high water", meta(newest, put64(32, hw)), uint64(newest), "freelist page is", true},
		{"freelist is a meta", meta(newest, put64(32, 0)), uint64(newest), "freelist page is 0", true},
		{"high water too low", meta(newest, put64(40, 3)), uint64(newest), "high water is 3", true},
		{"high water too high", meta(newest, put64(40, hw+1)), boltfile.NoPage, "shorter than", true},
		{"high water vast", meta(newest, put64(40, 1<<62)), boltfile.NoPage, "shorter than", true},
		{"root page's id", put64(int(s.meta.Root)*ps, 9), s.meta.Root, "says that it is page 9", true},
		{"root page's flags", put16(int(s.meta.Root)*ps+8, 16), s.meta.Root, "flags 0x10", true},
		{"root is free", put64(freelist+16, s.meta.Root), s.meta.Freelist, "ascending", true},
		{"freelist's id", put64(freelist, 9), s.meta.Freelist, "has id 9", true},
		{"freelist's flags", put16(freelist+8, 2), s.meta.Freelist, "flags 0x2", true},
		{"freelist's overflow", put32(freelist+12, ^uint32(0)), s.meta.Freelist, "4294967295 overflow pages", true},
		{"freelist's overflow in bounds", put32(freelist+12, 30), s.meta.Freelist, "expected no more than", true},
		{"freelist's count", put16(freelist+10, 2000), s.meta.Freelist, "counts 2000 pages", true},
		{"freelist's long count", put16(freelist+10, 0xFFFF), s.meta.Freelist, "long count is", true},
		{"free page 1", put64(freelist+16, 1), s.meta.Freelist, "page 1 after 1", true},
		{"free page twice", put64(freelist+24, firstFree), s.meta.Freelist, "expected ascending", true},
		{"free page above high water", put64(freelist+16, hw), s.meta.Freelist, "below the high water", true},
		{"freelist is free", put64(freelist+16, s.meta.Freelist), s.meta.Freelist, "", true},
		{"not bbolt", func(b []byte) { copy(b, bytes.Repeat([]byte("text "), len(b)/5)) }, 0, "not a bbolt file", false},
		{"both metas flipped", func(b []byte) { b[16+50] ^= 4; b[ps+16+50] ^= 4 }, 0, "checksum", false},
		{"one meta flipped, one zeroed", func(b []byte) { clear(b[:ps]); b[ps+16+50] ^= 4 }, 1, "checksum", false},
		{"big-endian", func(b []byte) { copy(b[16:], []byte{0xED, 0x0C, 0xDA, 0xED}); clear(b[ps : 2*ps]) }, 0, "big-endian", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			img := s.damaged(c.do)
			_, err := openBytes(img)
			wantProblem(t, err, c.page, c.part)
			f, problems, err := openDamaged(img)
			if !c.read {
				wantProblem(t, err, c.page, c.part)
				return
			}
			if err != nil || len(problems) == 0 {
				t.Fatalf("OpenDamaged: %v, %v", problems, err)
			}
			wantProblem(t, &problems[0], c.page, c.part)
			got, _ := salvage(t, img)
			if f.Meta().TxID >= s.meta.TxID && f.Meta().Root == s.meta.Root && f.Meta().HighWater >= hw {
				s.intact(t, got, all)
			}
		})
	}
}

// TestRootIsFree lists the root page in its right place in the freelist.
func TestRootIsFree(t *testing.T) {
	s := podSample(t)
	img := s.damaged(func(b []byte) {
		list := b[int(s.meta.Freelist)*s.ps:]
		n := int(le.Uint16(list[10:]))
		ids := []uint64{s.meta.Root}
		for i := range n {
			ids = append(ids, le.Uint64(list[16+8*i:]))
		}
		for i := 1; i < len(ids) && ids[i-1] > ids[i]; i++ {
			ids[i-1], ids[i] = ids[i], ids[i-1]
		}
		le.PutUint16(list[10:], uint16(n+1))
		for i, id := range ids {
			le.PutUint64(list[16+8*i:], id)
		}
	})
	_, err := openBytes(img)
	wantProblem(t, err, s.meta.Root, "in the freelist")
	got, found := salvage(t, img)
	if len(found) != 2 {
		t.Errorf("problems: %v", found)
	}
	s.intact(t, got, all)
}

func TestOpenShort(t *testing.T) {
	s := podSample(t)
	for size := range 592 { // two metas at the smallest page size
		_, err := openBytes(s.img[:size])
		wantProblem(t, err, boltfile.NoPage, "not a bbolt file")
		if _, _, err := openDamaged(s.img[:size]); !errors.Is(err, boltfile.ErrNotBolt) {
			t.Fatalf("%d bytes: %v", size, err)
		}
	}
	_, err := openBytes(nil)
	wantProblem(t, err, boltfile.NoPage, "empty")
	errDisk := errors.New("medium error")
	_, err = boltfile.Open(failingReader{bytes.NewReader(s.img), 0, 1 << 30, errDisk}, int64(len(s.img)))
	if !errors.Is(err, errDisk) || errors.Is(err, boltfile.ErrNotBolt) {
		t.Errorf("unreadable file: %v", err)
	}
	// The file may be shorter than its caller was told.
	for size := range len(s.img) / 512 {
		if _, err := boltfile.Open(bytes.NewReader(s.img[:size]), 1<<50); err == nil && size < 2*s.ps {
			t.Errorf("Open accepts %d bytes as more", size)
		}
	}
}

// TestOneMeta destroys each meta in turn, at every page size: OpenDamaged finds
// the other, and reads the state that it describes.
func TestOneMeta(t *testing.T) {
	for ps := 512; ps <= 65536; ps *= 2 {
		s := newSample(t, bolt.Options{PageSize: ps}, func(db *bolt.DB) {
			putPods(t, db, 0, 10, 1000)
			putPods(t, db, 5, 12, 1000)
		})
		f, problems, err := boltfile.OpenDamaged(bytes.NewReader(s.img), int64(len(s.img)), true)
		if err != nil || len(problems) > 0 || f.Meta().TxID != s.meta.TxID-1 || f.Newest() {
			t.Fatal(err, problems, f.Meta(), f.Newest())
		}
		if f, err := openBytes(s.img); err != nil || !f.Newest() {
			t.Error("the whole file is not certainly the newest state", err)
		}
		before, _ := walkSound(t, f)
		if len(before) != 10 || len(s.buckets) != 12 {
			t.Fatalf("%d buckets before, %d after", len(before), len(s.buckets))
		}
		for lost := range 2 {
			img := s.damaged(func(b []byte) { clear(b[lost*ps:][:ps]) })
			_, err := openBytes(img)
			wantProblem(t, err, uint64(lost), "magic")
			f, problems, err := openDamaged(img)
			if err != nil || len(problems) != 1 || f.Newest() {
				t.Fatal(err, problems, f.Newest())
			}
			got, _ := walkSound(t, f)
			want := s.buckets
			if uint64(lost) == s.meta.PageID {
				want = before
			}
			if d := differ(want, got); d != "" {
				t.Errorf("page size %d without meta %d: %s", ps, lost, d)
			}
			_, _, err = boltfile.OpenDamaged(bytes.NewReader(img), int64(len(img)), true)
			wantProblem(t, err, uint64(lost), "no older state")
		}
	}
}

// TestOpenIsCheap: Open reads metas, freelist and a header, however large the
// file is.
func TestOpenIsCheap(t *testing.T) {
	s := newSample(t, bolt.Options{PageSize: 4096}, func(db *bolt.DB) { putPods(t, db, 0, 500, 9000) })
	r := &countingReader{ReaderAt: bytes.NewReader(s.img)}
	if _, err := boltfile.Open(r, int64(len(s.img))); err != nil {
		t.Fatal(err)
	}
	if n := r.n.Load(); n > 8192 {
		t.Errorf("read %d bytes of %d", n, len(s.img))
	}
}

func ExampleProblem() {
	p := boltfile.Problem{Page: 12, Bucket: []byte("pod"), Msg: "says that it is page 13"}
	fmt.Println(p.Error())
	// Output: page 12: bucket "pod": says that it is page 13
}
