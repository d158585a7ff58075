package socketstore_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"podstore/store"
	"podstore/store/socketstore"
)

// The supervisor changes its Pods directly, beside what the server knows of them.
func TestSupervisorChangesToo(t *testing.T) {
	s := serveInside(t, nil)
	first, second := s.dial(t, nil), s.dial(t, nil)
	add := func(to store.MetadataStore, peer string) {
		t.Helper()
		if err := store.Do(t.Context(), to, "a", store.AddPeer{PodName: peer}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5 {
		add(first, fmt.Sprint("first", i))
		add(s.Store, fmt.Sprint("direct", i))
		add(second, fmt.Sprint("second", i))
		add(s.Store, fmt.Sprint("direct again", i))
	}
	if m, err := s.Store.Read(t.Context(), "a"); err != nil || len(m.Peers) != 20 {
		t.Errorf("%v, %v", m, err)
	}
	if err := store.Do(t.Context(), s.Store, "a", store.Delete{}); err != nil {
		t.Fatal(err)
	}
	add(first, "new")
	if m, err := s.Store.Read(t.Context(), "a"); err != nil || len(m.Peers) != 1 {
		t.Errorf("a Pod that was deleted has come back: %v, %v", m, err)
	}
}

// All takes several answers where the Pods are large, and holds none of them: the
// server may even be started again meanwhile.
func TestAllInPages(t *testing.T) {
	b := newBetween(t)
	const pods = 30
	for i := range pods {
		m := &store.Metadata{PodName: fmt.Sprintf("pod%02d", i), Manifest: []byte(`"` + strings.Repeat("x", 400<<10) + `"`)}
		if err := store.Write(t.Context(), b.direct(), m); err != nil {
			t.Fatal(err)
		}
	}
	c, err := socketstore.Dial(filepath.Join(b.dir, "s"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Path() != filepath.Join(b.dir, "s") {
		t.Errorf("Path is %s", c.Path())
	}
	var names []string
	for m, err := range c.All(t.Context(), store.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, m.PodName)
		if len(names) == 3 {
			b.restart()
			if err := store.Do(t.Context(), b.direct(), "pod29", store.Delete{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(names) != pods-1 || names[0] != "pod00" || names[28] != "pod28" {
		t.Errorf("All gives %q", names)
	}
}

// What is no server of a store, or speaks nonsense, is an error.
func TestNonsense(t *testing.T) {
	socket := filepath.Join(shortDir(t), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	type reply struct {
		status     int
		mark, body string
	}
	var next atomic.Pointer[reply]
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		say := next.Load()
		if say.mark != "" {
			w.Header().Set("Podstore-Server", say.mark)
		}
		w.WriteHeader(say.status)
		fmt.Fprint(w, say.body)
	})}
	go server.Serve(l)
	defer server.Close()

	next.Store(&reply{status: http.StatusNotFound})
	if _, err := socketstore.Dial(socket, nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Dial of something else: %v", err)
	}
	next.Store(&reply{http.StatusOK, "x/1", ""})
	c, err := socketstore.Dial(socket, &socketstore.Options{Patience: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, test := range []struct {
		status int
		body   string
	}{
		{200, "nonsense\n"},
		{200, `{"pod_name":"b"}` + "\n"},
		{200, `"a"` + "\n" + `{"error":5}` + "\n"},
		{200, `{"name":"b","version":null}` + "\n"},
		{200, `{"name":"a","version":"` + strings.Repeat("0", 64) + `"}` + "\n"},
		{500, "plain text"},
		{301, ""},
	} {
		next.Store(&reply{test.status, "x/1", test.body})
		_, readErr := c.Read(t.Context(), "a")
		_, listErr := c.List(t.Context())
		_, updateErr := c.Update(t.Context(), "a", func(*store.Metadata) error { return nil })
		var allErr error
		for _, allErr = range c.All(t.Context(), store.ReadOptions{}) {
		}
		for what, err := range map[string]error{"Read": readErr, "List": listErr, "Update": updateErr, "All": allErr} {
			if err == nil || errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s of %d %q: %v", what, test.status, test.body, err)
			}
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(t.Context(), "a"); !errors.Is(err, store.ErrClosed) {
		t.Errorf("a client that is closed: %v", err)
	}
}

// A client changes the manifest, and what is beside it, in turn with another one.
func TestManifestChanges(t *testing.T) {
	s := serveInside(t, nil)
	h := []*socketstore.Client{s.dial(t, nil), s.dial(t, nil)}
	for i, manifest := range []string{`{}`, `{}`, `[1]`, ``, `[2]`} {
		if err := store.Do(t.Context(), h[i%2], "a", store.AddPeer{PodName: string(rune('b' + i))}); err != nil {
			t.Fatal(err)
		}
		m, err := store.DoAndRead(t.Context(), h[(i+1)%2], "a", store.SetActive{Active: nil, Manifest: []byte(manifest)})
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Store.Read(t.Context(), "a")
		if err != nil || !got.Equal(m) || string(got.Manifest) != manifest || len(got.Peers) != i+1 {
			t.Errorf("the Pod is %+v, %v, the client was told %+v", got, err, m)
		}
	}
	_, err := h[0].Update(t.Context(), "a", func(m *store.Metadata) error {
		m.Manifest[1] = 'x' // not JSON
		return nil
	})
	if got, readErr := s.Store.Read(t.Context(), "a"); !errors.Is(err, store.ErrInvalid) || readErr != nil || string(got.Manifest) != "[2]" {
		t.Errorf("%v, %v", err, got)
	}
}
