package socketstore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/socketstore"
)

// inside is a server within the test's own process.
type inside struct {
	*boltstore.Store
	socket  string
	reading chan struct{} // if not nil, each Read waits for an element
	waiting atomic.Int64  // Reads that wait
	editing atomic.Int64  // calls of UpdatePods so far
}

func (s *inside) Read(ctx context.Context, name string) (*store.Metadata, error) {
	if s.reading != nil {
		s.waiting.Add(1)
		<-s.reading
		s.waiting.Add(-1)
	}
	return s.Store.Read(ctx, name)
}

func (s *inside) UpdatePods(ctx context.Context, names []string, edit func([]*store.Metadata) error) ([]*store.Metadata, error) {
	s.editing.Add(1)
	return s.Store.UpdatePods(ctx, names, edit)
}

func serveInside(t *testing.T, opts *socketstore.ServerOptions) *inside {
	t.Helper()
	dir := shortDir(t)
	pods, err := boltstore.Open(filepath.Join(dir, "db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &inside{Store: pods, socket: filepath.Join(dir, "s")}
	l, err := boltstore.ListenUnix(s.socket)
	if err != nil {
		t.Fatal(err)
	}
	server := socketstore.NewServer(socketstore.Handler(s, opts), opts)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		// Requests of clients that were cut off must have ended by themselves.
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("requests do not end: %v", err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		if err := pods.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *inside) dial(t *testing.T, opts *socketstore.Options) *socketstore.Client {
	t.Helper()
	c, err := socketstore.Dial(s.socket, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// raw is a connection on which a test says what it likes.
type raw struct {
	*net.UnixConn
	r *bufio.Reader
	t *testing.T
}

func (s *inside) raw(t *testing.T) *raw {
	t.Helper()
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: s.socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &raw{c, bufio.NewReader(c), t}
}

func (c *raw) say(format string, args ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c, strings.ReplaceAll(format, "\n", "\r\n"), args...); err != nil {
		c.t.Fatal(err)
	}
}

// hear reads an answer.
func (c *raw) hear() (status int, body string, header http.Header) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, string(b), resp.Header
}

// expect reads an answer that must be an error of a kind.
func (c *raw) expect(status int, kind string) {
	c.t.Helper()
	got, body, header := c.hear()
	if got != status || !strings.Contains(body, `"kind":"`+kind+`"`) {
		c.t.Errorf("got %d %s, want %d %s", got, body, status, kind)
	}
	if status == http.StatusServiceUnavailable && header.Get("Retry-After") != "1" {
		c.t.Errorf("Retry-After is %q", header.Get("Retry-After"))
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func (s *inside) unchanged(t *testing.T) {
	t.Helper()
	if names, err := s.Store.List(background); err != nil || len(names) > 0 {
		t.Errorf("there are Pods %q, %v", names, err)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	s := serveInside(t, &socketstore.ServerOptions{MaxConns: 3})
	c := s.dial(t, nil) // holds one
	for range 2 {
		idle := s.raw(t)
		idle.say("GET /v1/names HTTP/1.1\nHost: p\n\n")
		if status, _, _ := idle.hear(); status != http.StatusOK {
			t.Fatalf("status %d", status)
		}
	}
	fourth := s.raw(t)
	fourth.say("GET /v1/names HTTP/1.1\nHost: p\n\n")
	fourth.expect(http.StatusServiceUnavailable, "busy")
	if _, err := fourth.r.ReadByte(); err != io.EOF {
		t.Errorf("the connection stays open: %v", err)
	}
	if err := store.Write(t.Context(), c, &store.Metadata{PodName: "a"}); err != nil {
		t.Errorf("a client that is connected: %v", err)
	}
	if _, err := socketstore.Dial(s.socket, nil); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("Dial: %v", err)
	}
	var silent []*raw
	for range 8 {
		silent = append(silent, s.raw(t))
	}
	if _, err := silent[7].r.ReadByte(); err == nil {
		t.Error("a connection of very many is not closed")
	}
}

func TestRequestsAreBounded(t *testing.T) {
	s := serveInside(t, &socketstore.ServerOptions{MaxRequests: 2})
	s.reading = make(chan struct{})
	var busy []*raw
	for range 2 {
		c := s.raw(t)
		c.say("GET /v1/pods/a HTTP/1.1\nHost: p\n\n")
		busy = append(busy, c)
	}
	until(t, "two requests to be worked on", func() bool { return s.waiting.Load() == 2 })
	third := s.raw(t)
	third.say("GET /v1/names HTTP/1.1\nHost: p\n\n")
	third.expect(http.StatusServiceUnavailable, "busy")
	patient := make(chan error)
	c := &socketstore.Client{}
	go func() {
		var err error
		// Dial itself is not patient.
		for c, err = socketstore.Dial(s.socket, nil); err != nil; c, err = socketstore.Dial(s.socket, nil) {
			time.Sleep(time.Millisecond)
		}
		_, err = c.List(background)
		patient <- err
	}()
	close(s.reading)
	for _, c := range busy {
		c.expect(http.StatusNotFound, "not_found")
	}
	if err := <-patient; err != nil {
		t.Errorf("a client that waits: %v", err)
	}
	c.Close()
}

// A client asks again while the server has too much to do, and in the end says so.
func TestBusyServer(t *testing.T) {
	s := serveInside(t, &socketstore.ServerOptions{MaxRequests: 1})
	c := s.dial(t, &socketstore.Options{Patience: 50 * time.Millisecond})
	patient := s.dial(t, nil)
	s.reading = make(chan struct{})
	holds := s.raw(t)
	holds.say("GET /v1/pods/a HTTP/1.1\nHost: p\n\n")
	until(t, "a request to be worked on", func() bool { return s.waiting.Load() == 1 })
	if err := store.Write(t.Context(), c, &store.Metadata{PodName: "a"}); !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnknown) {
		t.Errorf("Write: %v", err)
	}
	if _, err := c.Read(t.Context(), "a"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Read: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := store.Write(ctx, patient, &store.Metadata{PodName: "a"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Write whose context ends: %v", err)
	}
	s.unchanged(t)
	done := make(chan error)
	go func() { done <- store.Write(background, patient, &store.Metadata{PodName: "b"}) }()
	close(s.reading)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestBodiesAreBounded(t *testing.T) {
	s := serveInside(t, &socketstore.ServerOptions{MaxBody: 1 << 20, MaxHeld: 1 << 20, MaxPods: 3, Timeout: time.Second})
	c := s.dial(t, nil)
	large := &store.Metadata{PodName: "a", Manifest: []byte(`"` + strings.Repeat("x", 1<<20) + `"`)}
	for what, err := range map[string]error{
		"Write": store.Write(t.Context(), c, large),
		"Update": func() error {
			_, err := c.Update(t.Context(), "a", func(m *store.Metadata) error { m.Manifest = large.Manifest; return nil })
			return err
		}(),
		"UpdatePods": func() error {
			_, err := c.UpdatePods(t.Context(), []string{"a", "b", "c", "d"}, func([]*store.Metadata) error { return nil })
			return err
		}(),
	} {
		if !errors.Is(err, store.ErrTooLarge) || !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, header := range []string{"Expect: 100-continue\n", ""} {
		r := s.raw(t)
		r.say("PUT /v1/pods/a HTTP/1.1\nHost: p\nContent-Length: %d\n%s\n", 1<<20+1, header)
		r.expect(http.StatusRequestEntityTooLarge, "too_large")
	}
	chunked := s.raw(t)
	chunked.say("PUT /v1/pods/a HTTP/1.1\nHost: p\nTransfer-Encoding: chunked\n\n0\n\n")
	chunked.expect(http.StatusBadRequest, "invalid")
	names := s.raw(t)
	names.say("POST /v1/read HTTP/1.1\nHost: p\nContent-Length: 16\n\n\"a\"\"b\"\"c\"\"d\"")
	names.say("    ")
	names.expect(http.StatusBadRequest, "invalid")
	names = s.raw(t)
	names.say("POST /v1/read HTTP/1.1\nHost: p\nContent-Length: 15\n\n")
	fmt.Fprint(names, "\"a\"\n\"b\"\n\"c\"\n\"d\"")
	names.expect(http.StatusRequestEntityTooLarge, "too_large")

	// What one client has said it will send is not there for another one.
	slow := s.raw(t)
	slow.say("PUT /v1/pods/a HTTP/1.1\nHost: p\nContent-Length: %d\nExpect: 100-continue\n\n", 1<<20)
	if resp, err := http.ReadResponse(slow.r, nil); err != nil || resp.StatusCode != http.StatusContinue {
		t.Fatal(resp, err)
	}
	second := s.raw(t)
	second.say("PUT /v1/pods/b HTTP/1.1\nHost: p\nContent-Length: 17\n\n{\"pod_name\": \"b\"}")
	second.expect(http.StatusServiceUnavailable, "busy")
	slow.Close()
	if err := store.Write(t.Context(), c, &store.Metadata{PodName: "b"}); err != nil {
		t.Errorf("after the slow one has gone: %v", err)
	}
	if names, err := s.List(t.Context()); err != nil || len(names) != 1 {
		t.Errorf("there are Pods %q, %v", names, err)
	}

	// An answer with several Pods is bounded too.
	for _, name := range []string{"a", "b", "c"} {
		if err := store.Write(t.Context(), s.Store, &store.Metadata{PodName: name, Manifest: large.Manifest[:1<<19]}); err == nil {
			t.Fatal("half a string is a manifest")
		}
		half := append([]byte(nil), large.Manifest[:1<<19]...)
		if err := store.Write(t.Context(), s.Store, &store.Metadata{PodName: name, Manifest: append(half, '"')}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.UpdatePods(t.Context(), []string{"a", "b", "c"}, func([]*store.Metadata) error { return nil }); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("three large Pods at one moment: %v", err)
	}
	n := 0
	for _, err := range c.All(t.Context(), store.ReadOptions{}) {
		if err != nil {
			t.Error(err)
		}
		n++
	}
	if n != 3 {
		t.Errorf("All gives %d Pods", n)
	}
}
