package etcdstore

import (
	"errors"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"podstore/store"
)

// What a server refuses for damage or want of history has its kind, and damaged keys that
// belong to no Pod are noticed.
func TestDamageOfNoPod(t *testing.T) {
	s := &Store{prefix: "p/"}
	for err, want := range map[error]error{rpctypes.ErrCorrupt: store.ErrCorrupt, rpctypes.ErrCompacted: store.ErrUnusable, rpctypes.ErrNoSpace: store.ErrNoSpace} {
		if got := s.failure("read", err); !errors.Is(got, want) || !errors.Is(got, err) {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
	for what, value := range map[string][]byte{"no checksum": []byte("x"), "no number": sealBook(keyFormat, []byte{0xc1})} {
		if _, err := s.checkFormat(value); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("a format with %s: %v", what, err)
		}
	}
	for what, value := range map[string][]byte{"no checksum": []byte("x"), "no deletions": sealBook("k", []byte{0xc1})} {
		// Any ID may have been in it.
		if d := parseDeletions("k", "k", value, 7); d.floor != 7 || len(d.ids) > 0 {
			t.Errorf("deletions with %s: floor %d, %d IDs", what, d.floor, len(d.ids))
		}
	}
}
