package memstore_test

import (
	"testing"

	"podstore/store"
	"podstore/store/memstore"
)

func TestDamageOfAMissingPod(t *testing.T) {
	s := memstore.New()
	if s.Damage("agent") {
		t.Error("a Pod was damaged that does not exist")
	}
	if err := store.Do(t.Context(), s, "agent", store.AddPeer{PodName: "x"}); err != nil {
		t.Errorf("it cannot be created any more: %v", err)
	}
	if !s.Damage("agent") {
		t.Error("a Pod that exists was not damaged")
	}
}

// Number is that of the last change, so a caller can tell whether there was one.
func TestNumber(t *testing.T) {
	s := memstore.New()
	if n := s.Number(); n != 0 {
		t.Errorf("an empty store is at %d", n)
	}
	for i, op := range []store.Op{store.AddPeer{PodName: "x"}, store.AddPeer{PodName: "x"}, store.Delete{}, store.Delete{}} {
		applied, err := s.Apply(t.Context(), []store.Change{{Pod: "agent", Op: op}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := s.Number(), uint64(i/2+1); got != want {
			t.Errorf("after %d changes the store is at %d, want %d", i+1, got, want)
		}
		if n := applied[0].Version.Revision.Number; n != s.Number() && i < 3 {
			t.Errorf("change %d has number %d, the store is at %d", i, n, s.Number())
		}
	}
}
