package boltfile_test

import (
	"fmt"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"

	"podstore/store/boltstore/internal/boltfile"
)

// shared is what Shared finds, by name.
func shared(t *testing.T, img []byte) []string {
	t.Helper()
	f, err := openBytes(img)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	if err := f.Shared(func(b *boltfile.Bucket, free bool) {
		found = append(found, fmt.Sprintf("%s %d %v", b.Name, len(b.Values), free))
	}); err != nil {
		found = append(found, err.Error())
	}
	return found
}

// Buckets that have their pages for themselves are not named; those that share
// one, with each other, with the tree of buckets or with themselves, are, and
// those that point to what is no page of a bucket.
func TestShared(t *testing.T) {
	leaf := func(id uint64) []byte { return leafPageBytes(id, 0, leafElement{0, []byte("k"), []byte("v")}) }
	root := func(pages ...uint64) []byte {
		var es []leafElement
		for i, id := range pages {
			es = append(es, leafElement{1, []byte{'a' + byte(i)}, bucketAt(id)})
		}
		return leafPageBytes(2, 0, es...)
	}
	inner := func(id, to uint64) []byte { return leafPageBytes(id, 0, leafElement{1, []byte("k"), bucketAt(to)}) }
	for _, c := range []struct {
		name  string
		pages map[int][]byte
		want  []string
	}{
		{"sound", map[int][]byte{2: root(3, 4), 3: leaf(3), 4: branchPageBytes(4, 5), 5: leaf(5)}, nil},
		{"one page, two buckets", map[int][]byte{2: root(3, 4, 3), 3: leaf(3), 4: leaf(4)}, []string{"a 1 false", "c 1 false"}},
		{"one page below a branch", map[int][]byte{2: root(3, 4), 3: branchPageBytes(3, 4), 4: leaf(4)}, []string{"a 1 false", "b 1 false"}},
		{"the tree of buckets", map[int][]byte{2: root(2)}, []string{"a 0 false"}},
		{"the tree of buckets, with others in it", map[int][]byte{2: root(3, 4, 2, 2), 3: leaf(3), 4: leaf(4)}, []string{"c 0 false", "d 0 false"}},
		{"a bucket inside on the tree of buckets", map[int][]byte{2: root(3, 4), 3: inner(3, 2), 4: leaf(4)}, []string{"a 0 false"}},
		{"a bucket inside on another's page", map[int][]byte{2: root(3, 4), 3: inner(3, 4), 4: leaf(4)}, []string{"a 0 false", "b 1 false"}},
		{"a cycle of another bucket", map[int][]byte{2: root(3, 3, 3, 3), 3: branchPageBytes(3, 3)}, []string{"a 0 false", "b 0 false", "c 0 false", "d 0 false"}},
		{"a cycle through a bucket inside", map[int][]byte{2: root(3, 3, 3), 3: inner(3, 4), 4: inner(4, 3)}, []string{"a 0 false", "b 0 false", "c 0 false"}},
		{"a meta", map[int][]byte{2: root(1)}, []string{"a 0 false"}},
		{"a cycle", map[int][]byte{2: root(3), 3: branchPageBytes(3, 3)}, []string{"a 0 false"}},
		{"out of bounds", map[int][]byte{2: root(6)}, []string{"a 0 false"}},
		{"another page's number", map[int][]byte{2: root(3), 3: leaf(4)}, []string{"a 1 false"}},
		{"overflow of one into another", map[int][]byte{2: root(3, 4), 3: leafPageBytes(3, 1, leafElement{0, []byte("k"), make([]byte, hostilePageSize)}), 4: leaf(4)}, []string{"a 1 false", "b 1 false"}},
		{"overflow that its elements do not need", map[int][]byte{2: root(3, 4), 3: leafPageBytes(3, 1, leafElement{0, []byte("k"), []byte("v")}), 4: leaf(4)}, []string{"a 1 false"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := shared(t, hostile(6, c.pages)); !slices.Equal(got, c.want) {
				t.Errorf("%q, expected %q", got, c.want)
			}
		})
	}
}

// Pages of many elements are read like others, and pages that so many buckets claim are an
// error before it takes long.
func TestSharedByMany(t *testing.T) {
	var keys, buckets []leafElement
	for i := range 70 {
		keys = append(keys, leafElement{0, []byte{'a' + byte(i)}, nil})
	}
	for i := range 30 {
		buckets = append(buckets, leafElement{1, []byte{'a' + byte(i)}, bucketAt(4)})
	}
	key := leafElement{0, []byte("k"), []byte("v")}
	root := leafPageBytes(2, 0, leafElement{1, []byte("a"), bucketAt(3)}, leafElement{1, []byte("b"), bucketAt(6)}, leafElement{1, []byte("c"), bucketAt(3)})
	for name, c := range map[string]struct {
		pages map[int][]byte
		want  []string
	}{
		"elements": {map[int][]byte{2: root, 3: leafPageBytes(3, 2, keys...), 6: leafPageBytes(6, 0, key)}, []string{"a 70 false", "c 70 false"}},
		"buckets":  {map[int][]byte{2: leafPageBytes(2, 1, buckets...), 4: branchPageBytes(4, 5), 5: leafPageBytes(5, 0, key)}, []string{"the pages in use are claimed by several buckets each, over and over"}},
	} {
		if got := shared(t, hostile(8, c.pages)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, expected %q", name, got, c.want)
		}
	}
}

// A page in use that the freelist calls free is named with the bucket it is in.
func TestSharedWithFreelist(t *testing.T) {
	img := image(t, bolt.Options{PageSize: 4096}, func(db *bolt.DB) {
		putPods(t, db, 0, 20, 3000)
		update(t, db, func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte("pod-00007")) })
		putPods(t, db, 3, 4, 3000)
	})
	if got := shared(t, img); got != nil {
		t.Fatalf("in a sound file: %q", got)
	}
	f, err := openBytes(img)
	if err != nil {
		t.Fatal(err)
	}
	free := img[f.Meta().Freelist*4096:]
	var ids []uint64
	for i := range int(le.Uint16(free[10:])) {
		ids = append(ids, le.Uint64(free[16+8*i:]))
	}
	// The page of a bucket, found where its header is. A page that is free
	// still holds what it held, and which ones are free differs from run to run.
	var root uint64
	for id := uint64(2); id < f.Meta().HighWater && root == 0; id++ {
		page := img[id*4096:]
		if le.Uint64(page) == id && le.Uint16(page[8:]) == 2 && le.Uint16(page[10:]) == 4 && !slices.Contains(ids, id) {
			root = id
		}
	}
	if root == 0 {
		t.Fatal("no page of a bucket was found")
	}
	ids = append(ids, root)
	slices.Sort(ids)
	le.PutUint16(free[10:], uint16(len(ids)))
	for i, id := range ids {
		le.PutUint64(free[16+8*i:], id)
	}
	if got := shared(t, img); len(got) != 1 || got[0][len(got[0])-4:] != "true" {
		t.Errorf("page %d is free and in use: %q", root, got)
	}
}
