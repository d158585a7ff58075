//go:build linux

package durabilitytest

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"podstore/store"
	"podstore/store/boltstore"
)

// base is a sound database file with every kind of page, and what each of its
// bytes is for.
type base struct {
	file  []byte
	old   []byte // the same file some commits earlier
	pods  model
	older model // Pods as they were before the last commit, where they differ
	*layout
}

const (
	lastChanged = "m-changed by the last commit"
	pageSize    = 8192
)

// makeBase builds the file with the store itself.
func makeBase(t testing.TB, dir string) *base {
	t.Helper()
	ctx := context.Background()
	path := filepath.Join(dir, "base.db")
	s, err := boltstore.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &base{pods: model{}, older: model{}}
	do := func(f func(s store.MetadataStore) error) {
		t.Helper()
		for _, s := range []store.MetadataStore{s, b.pods} {
			if err := f(s); err != nil {
				t.Fatal(err)
			}
		}
	}
	read := func() []byte {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	r := &values{rand.New(rand.NewPCG(21, 0)), 0}
	write := func(m *store.Metadata) {
		do(func(s store.MetadataStore) error { return store.Write(ctx, s, m) })
	}
	write(&store.Metadata{PodName: lastChanged, Peers: []store.Peer{{PodName: "before"}}})
	for i := range 22 {
		name := fmt.Sprintf("%c-inline-%d", 'a'+i%20, i)
		write(&store.Metadata{PodName: name, Active: r.active(), Children: r.children(), Manifest: text(r, 30*i)})
	}
	for i := range 4 {
		write(&store.Metadata{PodName: fmt.Sprintf("%c-empty-%d", 'b'+4*i, i)})
	}
	for i := range 8 {
		write(&store.Metadata{PodName: fmt.Sprintf("%c-leaf-%d", 'c'+2*i, i), Peers: []store.Peer{{PodName: "x"}}, Manifest: text(r, 2500+600*i)})
	}
	for i := range 5 {
		write(&store.Metadata{PodName: fmt.Sprintf("%c-overflow-%d", 'd'+3*i, i), Active: r.active(), Manifest: text(r, 8000+6000*i)})
	}
	for i := range 5 {
		write(&store.Metadata{
			PodName: fmt.Sprintf("%c-branch-%d", 'e'+3*i, i), Active: store.PendingSegment(store.SessionID{1}),
			Children:  []store.SpawnedChild{{PodName: "c", SocketPath: strings.Repeat("s", 3000+i)}},
			Reclaimed: []store.ReclaimedChild{{PodName: "r", ScopeDelegated: []store.ScopeRule{{Target: strings.Repeat("t", 2800)}}}},
			Peers:     []store.Peer{{PodName: strings.Repeat("p", 2600+i)}},
			Manifest:  text(r, 3000+4000*i),
			Extra:     map[string]json.RawMessage{"x": text(r, 2900)},
		})
	}
	b.old = read()
	for i := range 4 {
		do(func(s store.MetadataStore) error {
			return store.Do(ctx, s, fmt.Sprintf("%c-inline-%d", 'a'+3*i, 3*i), store.Delete{})
		})
	}
	do(func(s store.MetadataStore) error { return store.Do(ctx, s, "d-overflow-0", store.Delete{}) })
	for i := range 3 {
		name := fmt.Sprintf("%c-branch-%d", 'e'+3*i, i)
		manifest := text(r, 3000)
		do(func(s store.MetadataStore) error {
			err := store.Do(ctx, s, name, store.SetActive{Active: nil, Manifest: manifest})
			return err
		})
	}
	maps.Copy(b.older, b.pods)
	do(func(s store.MetadataStore) error {
		err := store.Do(ctx, s, lastChanged, store.AddPeer{PodName: "now"})
		return err
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b.file = read()
	b.layout = readLayout(b.file)
	return b
}

// text is a manifest of n letters.
func text(r *values, n int) json.RawMessage {
	if n == 0 {
		return nil
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(r.IntN(26))
	}
	return json.RawMessage(`"` + string(b) + `"`)
}

// span is a range of bytes that belongs to a Pod or, with owner "", to what all
// Pods depend on. Bytes in no span are not used.
type span struct {
	from, to int
	owner    string
}

// layout says what the bytes of a sound file are for. It is read without any of
// the code under test.
type layout struct {
	spans   []span
	paths   map[string][]span // by Pod: what leads to it, its own bytes left out
	used    []int             // pages
	free    []int
	meta    int // page of the newest meta
	root    int
	highest int // first page never used
	buckets []bucketAt
	nodes   []nodeAt
}

// bucketAt is the header of a top-level bucket, which is a value in a leaf.
type bucketAt struct {
	name   string
	offset int
	size   int // with the inline page, if any
	root   int // 0: inline
}

// nodeAt is a page, inline or not, with elements.
type nodeAt struct {
	offset int
	owner  string
	inline bool
	leaf   bool
	count  int
}

func u64(b []byte, at int) int { return int(binary.LittleEndian.Uint64(b[at:])) }
func u32(b []byte, at int) int { return int(binary.LittleEndian.Uint32(b[at:])) }
func u16(b []byte, at int) int { return int(binary.LittleEndian.Uint16(b[at:])) }

// Offsets in a meta page, after the page header of 16 bytes.
const (
	metaRoot      = 16 + 16
	metaSequence  = 16 + 24
	metaFreelist  = 16 + 32
	metaHighWater = 16 + 40
	metaTxID      = 16 + 48
	metaChecksum  = 16 + 56
	metaEnd       = 16 + 64
)

func readLayout(b []byte) *layout {
	l := &layout{paths: map[string][]span{}}
	if u64(b, pageSize+metaTxID) > u64(b, metaTxID) {
		l.meta = 1
	}
	m := l.meta * pageSize
	l.root, l.highest = u64(b, m+metaRoot), u64(b, m+metaHighWater)
	l.own(0, metaEnd, "")
	l.own(pageSize, pageSize+metaEnd, "")
	l.use(0, 1)
	list := u64(b, m+metaFreelist)
	n := u16(b, list*pageSize+10)
	l.own(list*pageSize, list*pageSize+16+8*n, "")
	l.use(list, u32(b, list*pageSize+12)+1)
	for i := range n {
		l.free = append(l.free, u64(b, list*pageSize+16+8*i))
	}
	l.use(1, 1)
	l.tree(b, l.root, "", nil)
	return l
}

func (l *layout) own(from, to int, owner string) { l.spans = append(l.spans, span{from, to, owner}) }

func (l *layout) use(page, n int) {
	for i := range n {
		l.used = append(l.used, page+i)
	}
}

// tree reads a page of the tree of buckets, or of a Pod's bucket.
func (l *layout) tree(b []byte, page int, owner string, path []span) {
	at := page * pageSize
	l.use(page, u32(b, at+12)+1)
	l.node(b, at, owner, false, path)
}

// node reads a page with elements that starts at an offset.
func (l *layout) node(b []byte, at int, owner string, inline bool, path []span) {
	leaf, n := u16(b, at+8) == 2, u16(b, at+10)
	l.nodes = append(l.nodes, nodeAt{at, owner, inline, leaf, n})
	head := span{at, at + 16 + 16*n, owner}
	l.spans = append(l.spans, head)
	here := append(path[:len(path):len(path)], head)
	type value struct{ name, from, to int }
	var values []value
	for i := range n {
		e := at + 16 + 16*i
		if !leaf {
			key := e + u32(b, e)
			l.own(key, key+u32(b, e+4), owner)
			here = append(here, span{key, key + u32(b, e+4), owner})
			continue
		}
		key := e + u32(b, e+4)
		from := key + u32(b, e+8)
		l.own(key, from, owner)
		here = append(here, span{key, from, owner})
		values = append(values, value{key, from, from + u32(b, e+12)})
	}
	for i := range n {
		e := at + 16 + 16*i
		if !leaf {
			l.tree(b, u64(b, e+8), owner, here)
			continue
		}
		v := values[i]
		if owner != "" {
			l.own(v.from, v.to, owner)
			continue
		}
		l.bucket(b, string(b[v.name:v.from]), v.from, v.to, here)
	}
}

// bucket reads a top-level bucket. The bookkeeping belongs to all.
func (l *layout) bucket(b []byte, name string, from, to int, path []span) {
	root := u64(b, from)
	l.buckets = append(l.buckets, bucketAt{name, from, to - from, root})
	owner := name
	if name == "/podstore" {
		owner = ""
	} else {
		l.paths[name] = path
	}
	l.own(from, from+16, owner)
	if root == 0 {
		if owner == "" {
			l.own(from, to, "")
			return
		}
		l.node(b, from+16, owner, true, nil)
		return
	}
	l.tree(b, root, owner, nil)
}
