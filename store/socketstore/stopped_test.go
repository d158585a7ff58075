package socketstore_test

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/socketstore"
)

// Calls to a stopped server end with their context. It goes on afterwards.
func TestServerIsStopped(t *testing.T) {
	by := startSupervisor(t)
	s := openServed(t, by)
	c := dial(t, s.socket(), nil)
	if err := store.Write(background, c, &store.Metadata{PodName: "a"}); err != nil {
		t.Fatal(err)
	}
	if err := by.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	goOn := func() { _ = by.cmd.Process.Signal(syscall.SIGCONT) }
	defer goOn()
	for err := error(nil); err == nil; { // its threads are stopped a moment after the signal
		ctx, cancel := context.WithTimeout(background, 50*time.Millisecond)
		_, err = c.Read(ctx, "a")
		cancel()
	}
	for what, test := range map[string]struct {
		call func(ctx context.Context) error
		want error
	}{
		"Read": {func(ctx context.Context) error { _, err := c.Read(ctx, "a"); return err }, context.DeadlineExceeded},
		"List": {func(ctx context.Context) error { _, err := c.List(ctx); return err }, context.DeadlineExceeded},
		"All": {func(ctx context.Context) (err error) {
			for _, err = range c.All(ctx, store.ReadOptions{}) {
			}
			return err
		}, context.DeadlineExceeded},
		"Watch": {func(ctx context.Context) (err error) {
			for _, err = range c.Watch(ctx, store.WatchOptions{}) {
			}
			return err
		}, context.DeadlineExceeded},
		"Apply":    {func(ctx context.Context) error { return store.Do(ctx, c, "a", store.AddPeer{PodName: "b"}) }, store.ErrUnknown},
		"Dial":     {func(ctx context.Context) error { _, err := socketstore.Dial(ctx, s.socket(), nil); return err }, context.DeadlineExceeded},
		"snapshot": {func(ctx context.Context) error { return socketstore.FetchSnapshot(ctx, s.socket(), io.Discard) }, context.DeadlineExceeded},
	} {
		ctx, cancel := context.WithTimeout(background, 200*time.Millisecond)
		if err := test.call(ctx); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", what, err, test.want)
		}
		cancel()
	}
	goOn()
	if _, err := c.Read(background, "a"); err != nil {
		t.Error(err)
	}
}

// A snapshot arrives although slow clients have all the places.
func TestFetchAmongSlowReaders(t *testing.T) {
	dir := shortDir(t)
	socket := filepath.Join(dir, "s")
	stop, err := serve(filepath.Join(dir, "pods.db"), socket, &socketstore.ServerOptions{MaxSnapshots: 2})
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, socket, nil)
	large := &store.Metadata{PodName: "large", Manifest: append(append([]byte(`"`), make([]byte, 4<<20)...), '"')}
	for i := range large.Manifest[1 : len(large.Manifest)-1] {
		large.Manifest[1+i] = 'x'
	}
	if err := store.Write(background, c, large); err != nil {
		t.Fatal(err)
	}
	var both []net.Conn
	for range 2 {
		slow, err := net.Dial("unix", socket)
		if err == nil {
			both = append(both, slow)
			_, err = io.WriteString(slow, "GET /v2/snapshot HTTP/1.1\r\nHost: p\r\n\r\n")
		}
		if err == nil {
			_, err = io.ReadFull(slow, make([]byte, 100)) // it has its place
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	n := new(counted)
	if err := socketstore.FetchSnapshot(background, socket, n); err != nil || *n < 4<<20 {
		t.Errorf("%d bytes, %v", *n, err)
	}
	for _, slow := range both {
		slow.Close()
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// counted counts bytes.
type counted int

func (n *counted) Write(p []byte) (int, error) { *n += counted(len(p)); return len(p), nil }
