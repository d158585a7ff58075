package socketstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/socketstore"
)

// A client that stops in the middle of a request is cut off, and has changed
// nothing.
func TestSlowSender(t *testing.T) {
	s := serveInside(t, &socketstore.ServerOptions{Timeout: 100 * time.Millisecond})
	slow := s.raw(t)
	slow.say("PUT /v1/pods/a HTTP/1.1\nHost: p\nContent-Length: 17\n\n{\"pod_name\": \"a\"")
	slow.expect(http.StatusBadRequest, "invalid")
	if _, err := slow.r.ReadByte(); err != io.EOF {
		t.Errorf("the connection stays open: %v", err)
	}
	s.unchanged(t)
}

// A client that dies in the middle of a request has changed nothing, wherever it
// stops.
func TestDyingSender(t *testing.T) {
	s := serveInside(t, nil)
	request := "POST /v1/pods HTTP/1.1\r\nHost: p\r\nPodstore-Request: x\r\nContent-Length: 78\r\n\r\n" +
		`{"name":"a","then":"put"}` + "\n" + `{"pod_name":"a"}` + "\n" + `{"name":"b","version":null,"then":"x"}`
	for n := 0; n < len(request)-20; n += 3 {
		c := s.raw(t)
		if _, err := io.WriteString(c, request[:n]); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	if err := store.Do(t.Context(), s.dial(t, nil), "none", store.Delete{}); err != nil {
		t.Error(err)
	}
	s.unchanged(t)
}

// A client that does not read its answer is cut off. Until then it keeps nobody
// from writing.
func TestSlowReader(t *testing.T) {
	s := serveInside(t, &socketstore.ServerOptions{Timeout: 200 * time.Millisecond})
	manifest := []byte(`"` + strings.Repeat("x", 100<<10) + `"`)
	for i := range 40 {
		if err := store.Write(t.Context(), s, &store.Metadata{PodName: fmt.Sprint("pod", i), Manifest: manifest}); err != nil {
			t.Fatal(err)
		}
	}
	slow := s.raw(t)
	slow.say("GET /v1/pods HTTP/1.1\nHost: p\n\n")
	if _, err := slow.r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	c := s.dial(t, nil)
	for range 20 { // the file grows, for which bbolt needs all readers to end
		if _, err := c.Update(t.Context(), "other", func(m *store.Metadata) error {
			m.Manifest = []byte(`"` + strings.Repeat("y", 1<<20) + `"`)
			return m.AddPeer(fmt.Sprint("peer", len(m.Peers)))
		}); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(400 * time.Millisecond) // now it has been cut off
	resp, err := http.ReadResponse(slow.r, nil)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
	}
	if err == nil {
		t.Error("an answer that was cut off looks whole")
	}
}

// blockCommits has the store work on an edit until the returned function is
// called: every other change waits for it.
func blockCommits(t *testing.T, s *inside) (release func()) {
	t.Helper()
	inEdit, goOn, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		_, err := s.Store.Update(background, "blocker", func(*store.Metadata) error {
			close(inEdit)
			<-goOn
			return errors.New("nothing")
		})
		if err == nil {
			err = errors.New("the edit's error is lost")
		} else if err.Error() == "nothing" {
			err = nil
		}
		done <- err
	}()
	<-inEdit
	var once sync.Once
	release = func() {
		once.Do(func() {
			close(goOn)
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(release)
	return release
}

// A client that gives up, or dies, while its change waits for the commit of others
// has changed nothing, and is told so.
func TestChangeIsWithdrawn(t *testing.T) {
	s := serveInside(t, nil)
	c := s.dial(t, nil)
	release := blockCommits(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	change := func(f func() error) {
		before := s.editing.Load()
		go func() { result <- f() }()
		until(t, "the change to wait", func() bool { return s.editing.Load() > before })
	}
	change(func() error { err := store.Do(ctx, c, "given-up", store.AddPeer{PodName: "x"}); return err })
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrUnknown) {
		t.Errorf("a change that was given up: %v", err)
	}
	before := s.editing.Load()
	dead := s.raw(t)
	dead.say("PUT /v1/pods/dead HTTP/1.1\nHost: p\nIf-None-Match: *\nContent-Length: 20\n\n{\"pod_name\": \"dead\"}")
	until(t, "the change to wait", func() bool { return s.editing.Load() > before })
	dead.Close()
	change(func() error { err := store.Do(background, c, "waits", store.AddPeer{PodName: "x"}); return err })
	release()
	if err := <-result; err != nil {
		t.Error(err)
	}
	names, err := s.List(t.Context())
	if err != nil || len(names) > 2 || names[len(names)-1] != "waits" {
		t.Errorf("there are Pods %q, %v", names, err)
	}
	for _, name := range names {
		if name == "given-up" {
			t.Error("a change that was given up was made")
		}
	}
}

// A change that cannot begin within the server's time limit has changed nothing;
// the client asks again.
func TestCommitTakesLong(t *testing.T) {
	s := serveInside(t, &socketstore.ServerOptions{Timeout: 50 * time.Millisecond})
	c := s.dial(t, nil)
	release := blockCommits(t, s)
	result := make(chan error)
	go func() { err := store.Do(background, c, "a", store.AddPeer{PodName: "x"}); result <- err }()
	until(t, "the change to be tried again", func() bool { return s.editing.Load() >= 3 })
	release()
	if err := <-result; err != nil {
		t.Error(err)
	}
	if m, err := s.Store.Read(t.Context(), "a"); err != nil || !m.HasPeer("x") {
		t.Error(m, err)
	}
}

// The changes of all clients share commits.
func TestGroupCommit(t *testing.T) {
	s := serveInside(t, nil)
	const clients, each = 4, 8
	release := blockCommits(t, s)
	before := s.Stats()
	var wg sync.WaitGroup
	for i := range clients {
		c := s.dial(t, nil)
		for j := range each {
			wg.Go(func() {
				if err := store.Do(background, c, fmt.Sprint("pod", i, j), store.AddPeer{PodName: "x"}); err != nil {
					t.Error(err)
				}
			})
		}
	}
	until(t, "all to wait", func() bool { return s.editing.Load() == clients*each })
	release()
	wg.Wait()
	after := s.Stats()
	if changes, commits := after.Changes-before.Changes, after.Commits-before.Commits; changes < clients*each || commits > clients*each/2 {
		t.Errorf("%d changes took %d commits", changes, commits)
	}
	// Many who edit one Pod share them too, although each edits what the one
	// before it has made.
	release = blockCommits(t, s)
	before = s.Stats()
	c := s.dial(t, nil)
	for i := range each {
		wg.Go(func() {
			if err := store.Do(background, c, "one", store.AddPeer{PodName: fmt.Sprint("peer", i)}); err != nil {
				t.Error(err)
			}
		})
	}
	until(t, "all to wait", func() bool { return s.editing.Load() == clients*each+each })
	release()
	wg.Wait()
	if commits := s.Stats().Commits - before.Commits; commits > each/2 {
		t.Errorf("%d changes of one Pod took %d commits", each, commits)
	}
	if m, err := s.Store.Read(t.Context(), "one"); err != nil || len(m.Peers) != each {
		t.Error(m, err)
	}
}
