package boltfile_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"testing"

	bolt "go.etcd.io/bbolt"

	"podstore/store/boltstore/internal/boltfile"
)

var le = binary.LittleEndian

// place is one node of a sound file.
type place struct {
	page     uint64
	pages    int
	bucket   string // top-level bucket that it is in, "" in the tree of buckets
	leaf     bool
	count    int
	parent   uint64 // 0 for the root of a tree
	children []uint64
}

// sample is a sound file, and where everything is in it. It reads trustingly:
// it exists to aim damage at a file whose bytes are known to be good.
type sample struct {
	img     []byte
	ps      int
	meta    boltfile.Meta
	buckets []*boltfile.Bucket
	places  []place
	byPage  map[uint64]*place
	needs   map[string]map[uint64]bool // pages without which a bucket cannot be read
	slot    map[string][2]uint64       // page and element that hold a bucket's header
}

func newSample(t testing.TB, opts bolt.Options, build func(db *bolt.DB)) *sample {
	s := &sample{
		ps:    opts.PageSize,
		needs: map[string]map[uint64]bool{}, slot: map[string][2]uint64{}, byPage: map[uint64]*place{},
	}
	s.img = image(t, opts, build)
	f, err := openBytes(s.img)
	if err != nil {
		t.Fatal(err)
	}
	s.meta = f.Meta()
	s.img = s.img[:int(s.meta.HighWater)*s.ps]
	s.buckets, _ = walkSound(t, f)
	s.locate(s.meta.Root, 0, "", nil)
	for i := range s.places {
		s.byPage[s.places[i].page] = &s.places[i]
	}
	return s
}

func (s *sample) at(page uint64) []byte { return s.img[int(page)*s.ps:] }

func (s *sample) locate(id, parent uint64, bucket string, path []uint64) {
	p := s.at(id)
	pl := place{page: id, pages: int(le.Uint32(p[12:])) + 1, bucket: bucket, leaf: le.Uint16(p[8:]) == 2, count: int(le.Uint16(p[10:])), parent: parent}
	for i := range pl.pages {
		path = append(path[:len(path):len(path)], id+uint64(i))
	}
	for _, n := range path {
		if bucket != "" {
			s.needs[bucket][n] = true
		}
	}
	for i := range pl.count {
		e := p[16+16*i:]
		if !pl.leaf {
			pl.children = append(pl.children, le.Uint64(e[8:]))
			continue
		}
		if le.Uint32(e) != 1 {
			continue
		}
		key := e[le.Uint32(e[4:]):][:le.Uint32(e[8:])]
		root := le.Uint64(e[int(le.Uint32(e[4:]))+len(key):])
		name := bucket
		if bucket == "" {
			name = string(key)
			s.slot[name] = [2]uint64{id, uint64(i)}
			s.needs[name] = map[uint64]bool{}
			for _, n := range path {
				s.needs[name][n] = true
			}
		}
		if root != 0 {
			s.locate(root, 0, name, path)
		}
	}
	s.places = append(s.places, pl)
	for _, c := range pl.children {
		s.locate(c, id, bucket, path)
	}
}

// damaged returns a copy of the file with damage done.
func (s *sample) damaged(do func(img []byte)) []byte {
	img := bytes.Clone(s.img)
	do(img)
	return img
}

// salvage reads all there is, and checks what must hold whatever the damage.
func salvage(t testing.TB, img []byte) (got map[string][]*boltfile.Bucket, found []boltfile.Problem) {
	t.Helper()
	r := &countingReader{ReaderAt: bytes.NewReader(img)}
	f, problems, err := boltfile.OpenDamaged(r, int64(len(img)), false)
	if err != nil {
		return nil, []boltfile.Problem{*err.(*boltfile.Problem)}
	}
	if n := r.n.Load(); n > int64(len(img))+4096 {
		t.Errorf("opening read %d bytes of a file of %d", n, len(img))
	}
	got = map[string][]*boltfile.Bucket{}
	var delivered int64
	report, err := f.Walk(func(b *boltfile.Bucket) error {
		got[string(b.Name)] = append(got[string(b.Name)], b)
		for _, kv := range b.Values {
			delivered += int64(len(kv.Key) + len(kv.Value))
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if n := r.n.Load(); n > 5*int64(len(img))+4096 {
		t.Errorf("read %d bytes of a file of %d", n, len(img))
	}
	if delivered > 32*int64(len(img)) {
		t.Errorf("delivered %d bytes from a file of %d", delivered, len(img))
	}
	for i := range report.Problems {
		if p := &report.Problems[i]; p.Error() == "" || p.Page != boltfile.NoPage && p.Page >= max(f.Meta().HighWater, 2) {
			t.Errorf("problem %q on page %d", p.Error(), p.Page)
		}
	}
	return got, append(problems, report.Problems...)
}

// intact checks that the buckets that sound names are delivered as they were.
func (s *sample) intact(t testing.TB, got map[string][]*boltfile.Bucket, sound func(name string) bool) {
	t.Helper()
	for _, want := range s.buckets {
		if !sound(string(want.Name)) {
			continue
		}
		reason := "not delivered"
		for _, b := range got[string(want.Name)] {
			if reason = differBucket(want, b); reason == "" {
				break
			}
		}
		if reason != "" {
			t.Errorf("bucket %.20q, which is sound: %s", want.Name, reason)
		}
	}
}

// without returns which buckets can be read without these pages.
func (s *sample) without(pages ...uint64) func(string) bool {
	return func(name string) bool {
		for _, p := range pages {
			if s.needs[name][p] {
				return false
			}
		}
		return true
	}
}

func all(string) bool { return true }

func put16(off int, v uint16) func([]byte) { return func(b []byte) { le.PutUint16(b[off:], v) } }
func put32(off int, v uint32) func([]byte) { return func(b []byte) { le.PutUint32(b[off:], v) } }
func put64(off int, v uint64) func([]byte) { return func(b []byte) { le.PutUint64(b[off:], v) } }

// setMeta changes a meta, and its checksum to fit.
func setMeta(img []byte, ps, page int, do func(m []byte)) {
	m := img[page*ps+16:][:64]
	do(m)
	sum := fnv.New64a()
	sum.Write(m[:56])
	le.PutUint64(m[56:], sum.Sum64())
}

// podSample has a tree of buckets three levels deep, buckets of all shapes, and
// free pages.
func podSample(t testing.TB) *sample {
	s := newSample(t, bolt.Options{PageSize: 1024}, func(db *bolt.DB) {
		put := func(name string, kv map[string][]byte) {
			update(t, db, func(tx *bolt.Tx) error {
				b, err := tx.CreateBucketIfNotExists([]byte(name))
				if err != nil {
					return err
				}
				for k, v := range kv {
					if err := b.Put([]byte(k), v); err != nil {
						return err
					}
				}
				return b.SetSequence(uint64(len(name)))
			})
		}
		name := func(i int) string { return fmt.Sprintf("pod-%0100d", i) }
		putNames := func(tx *bolt.Tx, from, to int) error {
			for i := from; i < to; i++ {
				b, err := tx.CreateBucketIfNotExists([]byte(name(i)))
				if err == nil && i%3 > 0 {
					err = b.Put([]byte("manifest"), fill(i, i%3*i*20))
				}
				if err == nil {
					err = b.Put([]byte("peers"), fill(i+1000, 50))
				}
				if err != nil {
					return err
				}
			}
			return nil
		}
		update(t, db, func(tx *bolt.Tx) error { return putNames(tx, 0, 90) })
		update(t, db, func(tx *bolt.Tx) error { return putNames(tx, 20, 40) })
		put(name(7), map[string][]byte{"large": fill(1, 20_000), "after": fill(2, 10)})
		many := map[string][]byte{}
		for i := range 200 {
			many[fmt.Sprint("key", i)] = fill(i, 30)
		}
		put(name(50), many)
		update(t, db, func(tx *bolt.Tx) error {
			b, err := tx.Bucket([]byte(name(60))).CreateBucket([]byte("nested"))
			if err == nil {
				err = b.Put([]byte("k"), fill(4, 2000))
			}
			if err == nil {
				_, err = tx.Bucket([]byte(name(60))).CreateBucket([]byte("nested empty"))
			}
			return err
		})
		put(name(7), map[string][]byte{"after": fill(2, 20)})
	})
	root := s.byPage[s.meta.Root]
	if root.leaf || s.byPage[root.children[0]].leaf {
		t.Fatal("the sample's tree of buckets is less than three levels deep")
	}
	return s
}

func bytesReader(b []byte) io.ReaderAt { return bytes.NewReader(b) }

// failingReader fails where it touches one page.
type failingReader struct {
	io.ReaderAt
	from, to int64
	err      error
}

func (r failingReader) ReadAt(p []byte, off int64) (int, error) {
	if off < r.to && off+int64(len(p)) > r.from {
		n := max(0, min(int64(len(p)), r.from-off))
		n2, _ := r.ReaderAt.ReadAt(p[:n], off)
		return n2, r.err
	}
	return r.ReaderAt.ReadAt(p, off)
}
