package store_test

import (
	"errors"
	"testing"

	"podstore/store"
)

func TestDo(t *testing.T) {
	ctx := t.Context()
	s := storeWith(t, "a")
	if err := store.Do(ctx, s, "a"); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("Do of nothing: %v", err)
	}
	m, err := store.DoAndRead(ctx, s, "a", store.SetPeers{}, store.AddPeer{PodName: "x"})
	if err != nil || len(m.Peers) != 1 || !m.HasPeer("x") || m.Version.Revision.IsZero() {
		t.Errorf("DoAndRead: %+v, %v", m, err)
	}
	if m, err := store.DoAndRead(ctx, s, "a", store.AddPeer{PodName: "y"}, store.Delete{}); err != nil || m != nil {
		t.Errorf("DoAndRead of a deletion: %+v, %v", m, err)
	}
	if m, err := store.DoAndRead(ctx, s, "a", store.AddPeer{PodName: "x/y"}); !errors.Is(err, store.ErrInvalidName) || m != nil {
		t.Errorf("DoAndRead of what is refused: %+v, %v", m, err)
	}
}

func TestLinkPeers(t *testing.T) {
	ctx := t.Context()
	s := storeWith(t, "one", "two")
	linked := func() [2]bool {
		one, err1 := s.Read(ctx, "one")
		two, err2 := s.Read(ctx, "two")
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		return [2]bool{one.HasPeer("two"), two.HasPeer("one")}
	}
	if err := store.LinkPeers(ctx, s, "one", "two"); err != nil || linked() != [2]bool{true, true} {
		t.Errorf("LinkPeers: %v, %v", err, linked())
	}
	for _, c := range []struct {
		a, b         string
		link, unlink error
	}{
		{"one", "one", store.ErrInvalid, store.ErrInvalid},
		{"one", "x/y", store.ErrInvalidName, store.ErrInvalidName},
		{"..", "..", store.ErrInvalidName, store.ErrInvalidName},
		{"one", "missing", store.ErrNotFound, nil},
		{"missing", "two", store.ErrNotFound, nil},
	} {
		for op, f := range map[string]struct {
			err, want error
		}{
			"link peers":   {store.LinkPeers(ctx, s, c.a, c.b), c.link},
			"unlink peers": {store.UnlinkPeers(ctx, s, c.a, c.b), c.unlink},
		} {
			var e *store.Error
			if !errors.Is(f.err, f.want) || f.err != nil && (!errors.As(f.err, &e) || e.Op != op) {
				t.Errorf("%s %q, %q: got error %v, want %v", op, c.a, c.b, f.err, f.want)
			}
		}
	}
	if linked() != [2]bool{true, true} {
		t.Errorf("after errors: %v", linked())
	}
	if err := store.UnlinkPeers(ctx, s, "two", "one"); err != nil || linked() != [2]bool{} {
		t.Errorf("UnlinkPeers: %v, %v", err, linked())
	}
	if err := store.Do(ctx, s, "one", store.AddPeer{PodName: "gone"}); err != nil {
		t.Fatal(err)
	}
	if err := store.UnlinkPeers(ctx, s, "gone", "one"); err != nil {
		t.Errorf("UnlinkPeers of a Pod that is gone: %v", err)
	}
	if one, err := s.Read(ctx, "one"); err != nil || one.HasPeer("gone") {
		t.Errorf("its other side is still there: %+v, %v", one, err)
	}
}

func TestRequestIDs(t *testing.T) {
	a, b := store.NewRequestID(), store.NewRequestID()
	if a == b || a == (store.RequestID{}) {
		t.Errorf("IDs %v and %v", a, b)
	}
	if got, err := store.ParseRequestID(a.String()); got != a || err != nil {
		t.Errorf("ParseRequestID %q: %v, %v", a, got, err)
	}
	if _, err := store.ParseRequestID("none"); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("ParseRequestID of what is no ID: %v", err)
	}
}
