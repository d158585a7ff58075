package store_test

import (
	"context"
	"errors"
	"testing"

	"podstore/store"
	"podstore/store/memstore"
)

// unlinking is a store in which others take links away after each Read.
type unlinking struct{ *memstore.Store }

func (s unlinking) Read(ctx context.Context, name string) (*store.Metadata, error) {
	m, err := s.Store.Read(ctx, name)
	return m, errors.Join(err, store.UnlinkPeers(ctx, s.Store, "a", "b"))
}

// An edit of several Pods never sees what was at no moment, also not in a try that is
// thrown away: it might fail for that.
func TestEditSeesOneMoment(t *testing.T) {
	s := unlinking{storeWith(t, "a", "b")}
	if err := store.LinkPeers(t.Context(), s.Store, "a", "b"); err != nil {
		t.Fatal(err)
	}
	_, err := store.EditByRevision(t.Context(), s, []string{"a", "b", "missing"}, func(pods []*store.Metadata) error {
		if pods[0].HasPeer("b") != pods[1].HasPeer("a") || pods[2] != nil {
			return errors.New("the link has one side")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
