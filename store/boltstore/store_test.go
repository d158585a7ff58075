package boltstore_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"podstore/store"
	"podstore/store/boltstore"
)

func TestSmoke(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "x", "pods.db")
	s, err := boltstore.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := boltstore.Open(path, &boltstore.Options{LockTimeout: 1}); !errors.Is(err, store.ErrLocked) {
		t.Fatal(err)
	} else {
		t.Log(err)
	}
	m, err := store.SetActive(ctx, s, "a", store.PendingSegment(store.NewSessionID()), []byte(`{"b": 1.0, "a":[1,2]}`))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", m)
	if _, err := store.AddPeer(ctx, s, "b", "x"); err != nil {
		t.Fatal(err)
	}
	if err := store.LinkPeers(ctx, s, "a", "b"); err != nil {
		t.Fatal(err)
	}
	for m, err := range s.All(ctx, store.ReadOptions{}) {
		t.Logf("%+v %v", m, err)
	}
	snap, c, err := s.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(snap.List(ctx))
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err = boltstore.Open(path, &boltstore.Options{FullCheck: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	t.Log(s.List(ctx))
	t.Log(s.Read(ctx, "b"))
	_, err = s.Read(ctx, "a")
	t.Log(err)
}
