package socketstore_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/socketstore"
)

// serveStore serves any store in the test's own process, and gives a client of it.
func serveStore(t *testing.T, s socketstore.Store, patience time.Duration) *socketstore.Client {
	t.Helper()
	socket := filepath.Join(shortDir(t), "s")
	l, err := boltstore.ListenUnix(socket)
	if err != nil {
		t.Fatal(err)
	}
	server := socketstore.NewServer(socketstore.Handler(s, nil), nil)
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	c, err := socketstore.Dial(socket, &socketstore.Options{Patience: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// calls are every operation of a store that can fail.
func calls(ctx context.Context, c *socketstore.Client) map[string]error {
	_, readErr := c.Read(ctx, "a")
	_, updateErr := store.Do(ctx, c, "a", store.AddPeer{PodName: "b"})
	_, listErr := c.List(ctx)
	return map[string]error{
		"read": readErr, "list": listErr, "update": updateErr,
		"write": store.Write(ctx, c, &store.Metadata{PodName: "a"}), "delete": store.Do(ctx, c, "a", store.Delete{}),
		"link": store.LinkPeers(ctx, c, "a", "b"),
	}
}

// A store that is itself a client of a server, and whose server is gone, says the
// same at both ends.
func TestUnavailableBehindTheServer(t *testing.T) {
	dir := shortDir(t)
	stop, err := serve(filepath.Join(dir, "db"), filepath.Join(dir, "s"), nil)
	if err != nil {
		t.Fatal(err)
	}
	behind, err := socketstore.Dial(filepath.Join(dir, "s"), &socketstore.Options{Patience: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { behind.Close() })
	c := serveStore(t, behind, time.Minute)
	if err := store.Do(t.Context(), c, "a", store.AddPeer{PodName: "b"}); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for what, err := range calls(t.Context(), c) {
		if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnknown) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// contended is a store whose every change loses against others.
type contended struct{ *boltstore.Store }

func (contended) fail(pod string) error {
	return &store.Error{Op: "update", Pod: pod, Kind: store.ErrConflict, Err: errors.New("in the store behind")}
}
func (s contended) Write(_ context.Context, m *store.Metadata) error { return s.fail(m.PodName) }
func (s contended) Delete(_ context.Context, name string) error      { return s.fail(name) }
func (s contended) UpdatePods(_ context.Context, names []string, _ func([]*store.Metadata) error) ([]*store.Metadata, error) {
	return nil, s.fail(names[0])
}

// Where the store behind the server gives up on a conflict, the client tries again
// for as long as it is told to, and then says so.
func TestConflictBehindTheServer(t *testing.T) {
	pods, err := boltstore.Open(filepath.Join(t.TempDir(), "pods.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pods.Close() })
	errs := calls(t.Context(), serveStore(t, contended{pods}, 50*time.Millisecond))
	for _, what := range []string{"update", "write", "delete", "link"} {
		if err := errs[what]; !errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrUnknown) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := errs["list"]; err != nil {
		t.Errorf("list: %v", err)
	}
}
