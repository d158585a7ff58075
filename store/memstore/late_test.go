package memstore_test

import (
	"errors"
	"testing"

	"podstore/store"
	"podstore/store/memstore"
)

// A request that was sent again and refused stays refused: an earlier sending may be late.
func TestRefusedStaysRefused(t *testing.T) {
	s := memstore.New()
	request := []store.Change{{Pod: "a", Op: store.AddPeer{PodName: "x"}, If: store.Exists}}
	id := store.NewRequestID()
	for _, o := range []*store.ApplyOptions{{ID: id, Resent: true}, {ID: id}, {ID: id, Resent: true}} {
		if _, err := s.Apply(t.Context(), request, o); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%+v: %v", o, err)
		}
		if err := store.Do(t.Context(), s, "a", store.SetPeers{}); err != nil {
			t.Fatal(err)
		}
	}
}
