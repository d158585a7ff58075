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
	"slices"
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
	earlier map[chunkKey][]byte // chunks of histories in old
}

const (
	lastChanged = "m-changed by the last commit"
	removed     = "f-empty-1" // to which many refer
	pageSize    = 8192
)

// histories are Pods with a history in chunks: in place, on one page, on many pages
// below a branch, and with chunks that are larger than a page. A part of the first
// chunk is trimmed.
var histories = []struct {
	name                string
	entries, size, keep int
}{
	{"h-history in place", 24, 0, 20},
	{"i-history on a page", 40, 20, 35},
	{"o-history on many", 100, 60, 95},
	{"q-history of large ones", 9, 9000, 5},
}

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
	n := 0
	do := func(f func(s store.MetadataStore) error) {
		t.Helper()
		n++
		once := &onceStore{backend: s, id: workload{Seed: 21}.id(0, n)} // so that stamps have IDs
		for _, s := range []store.MetadataStore{once, b.pods} {
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
		write(&store.Metadata{PodName: name, Active: r.active(), Children: r.children(), Peers: []store.Peer{{PodName: removed}}, Manifest: text(r, 30*i)})
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
	reclaim := func(name string, n, size int) {
		list := r.reclaimed(n)
		for i := range list {
			list[i].ScopeDelegated = append(list[i].ScopeDelegated, store.ScopeRule{Target: strings.Repeat("t", size), Permission: "read"})
		}
		do(func(s store.MetadataStore) error { return store.Do(ctx, s, name, store.Reclaim{Reclaimed: list}) })
	}
	for _, h := range histories {
		reclaim(h.name, h.entries, h.size)
		reclaim(h.name, 3, h.size)
	}
	b.old = read()
	for _, h := range histories {
		trim := store.TrimReclaimed{Keep: h.keep}
		do(func(s store.MetadataStore) error { return store.Do(ctx, s, h.name, trim) })
		reclaim(h.name, 2, h.size)
	}
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
	b.earlier = readLayout(b.old).chunks
	branches := slices.ContainsFunc(b.nodes, func(n nodeAt) bool { return n.history && !n.leaf })
	inPlace := slices.ContainsFunc(b.nodes, func(n nodeAt) bool { return n.history && n.inline })
	if !branches || !inPlace {
		t.Fatal("no history has branch pages, or none lies in its Pod's page")
	}
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
	chunks  map[chunkKey][]byte // of histories
}

type chunkKey struct{ pod, key string }

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

	history bool // of a Pod's history
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
	l := &layout{paths: map[string][]span{}, chunks: map[chunkKey][]byte{}}
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
	l.tree(b, l.root, nodeAt{}, nil)
	return l
}

func (l *layout) own(from, to int, owner string) { l.spans = append(l.spans, span{from, to, owner}) }

func (l *layout) use(page, n int) {
	for i := range n {
		l.used = append(l.used, page+i)
	}
}

// tree reads a page of the tree of buckets, or of a Pod's bucket. like says whose it
// is.
func (l *layout) tree(b []byte, page int, like nodeAt, path []span) {
	at := page * pageSize
	l.use(page, u32(b, at+12)+1)
	l.node(b, at, like, path)
}

// node reads a page with elements that starts at an offset.
func (l *layout) node(b []byte, at int, like nodeAt, path []span) {
	leaf, n, owner := u16(b, at+8) == 2, u16(b, at+10), like.owner
	like.offset, like.leaf, like.count = at, leaf, n
	l.nodes = append(l.nodes, like)
	below := like
	below.inline = false
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
			l.tree(b, u64(b, e+8), below, here)
			continue
		}
		v := values[i]
		name := string(b[v.name:v.from])
		switch {
		case owner == "":
			l.bucket(b, name, v.from, v.to, here)
		case u32(b, e) != 0:
			l.contents(b, v.from, v.to, nodeAt{owner: owner, history: true}, "history of "+owner)
		default:
			if l.own(v.from, v.to, owner); like.history {
				l.chunks[chunkKey{owner, name}] = b[v.from:v.to]
			}
		}
	}
}

// bucket reads a top-level bucket. The bookkeeping belongs to all, and is small.
func (l *layout) bucket(b []byte, name string, from, to int, path []span) {
	if name != "/podstore" {
		l.paths[name] = path
		l.contents(b, from, to, nodeAt{owner: name}, name)
		return
	}
	l.buckets = append(l.buckets, bucketAt{name, from, to - from, u64(b, from)})
	l.own(from, to, "")
}

// contents reads the header of a bucket and what is in it.
func (l *layout) contents(b []byte, from, to int, like nodeAt, name string) {
	root := u64(b, from)
	l.buckets = append(l.buckets, bucketAt{name, from, to - from, root})
	l.own(from, from+16, like.owner)
	if root == 0 {
		like.inline = true
		l.node(b, from+16, like, nil)
		return
	}
	l.tree(b, root, like, nil)
}
