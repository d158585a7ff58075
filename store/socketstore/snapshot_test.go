package socketstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/memstore"
	"podstore/store/socketstore"
)

// serveStore serves any store in the test's own process.
func serveStore(t testing.TB, s store.MetadataStore, opts *socketstore.ServerOptions) (socket string, server *socketstore.Server) {
	t.Helper()
	socket = filepath.Join(shortDir(t), "s")
	l, err := socketstore.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	server = socketstore.NewServer(s, opts)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return socket, server
}

func openStore(t testing.TB) (s *boltstore.Store, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "pods.db")
	s, err := boltstore.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, path
}

// A snapshot is the file at one moment, and leaves nothing behind.
func TestSnapshotOfAFile(t *testing.T) {
	ctx := t.Context()
	s, path := openStore(t)
	if err := store.Write(ctx, s, &store.Metadata{PodName: "a", Manifest: []byte(`"` + strings.Repeat("x", 1<<20) + `"`)}); err != nil {
		t.Fatal(err)
	}
	socket, _ := serveStore(t, s, nil)
	tmp := t.TempDir()
	live, closer, err := boltstore.OpenCopy(socket, tmp, func(w io.Writer) error { return socketstore.FetchSnapshot(ctx, socket, w) })
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Do(ctx, s, "a", store.AddPeer{PodName: "later"}); err != nil {
		t.Error(err)
	}
	if m, err := live.Read(ctx, "a"); err != nil || m.HasPeer("later") {
		t.Errorf("%v, %v", m, err)
	}
	if err := closer.Close(); err != nil {
		t.Error(err)
	}
	for _, dir := range []string{tmp, filepath.Dir(path)} {
		if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	}
}

// A store that has no file gives none.
func TestSnapshotWithoutAFile(t *testing.T) {
	socket, _ := serveStore(t, memstore.New(), nil)
	if err := socketstore.FetchSnapshot(t.Context(), socket, io.Discard); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), socket) {
		t.Error(err)
	}
}

// Whatever else answers at a socket, or if nothing does, the error names the socket.
func TestFetchFromOthers(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	send := func(contentType string, announced, sent int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			if announced >= 0 {
				w.Header().Set("Content-Length", strconv.Itoa(announced))
			}
			w.Write(bytes.Repeat([]byte("x"), sent))
			w.(http.Flusher).Flush()
		}
	}
	for what, c := range map[string]struct {
		ctx     context.Context
		handler http.Handler
		want    error
		says    string
	}{
		"a copy":                          {t.Context(), send("application/octet-stream", 1<<20, 1<<20), nil, ""},
		"a copy in chunks":                {t.Context(), send("application/octet-stream", -1, 1<<20), nil, ""},
		"a copy that breaks off":          {t.Context(), send("application/octet-stream", 1<<20, 1<<19), io.ErrUnexpectedEOF, "unexpected EOF"},
		"a page of text":                  {t.Context(), send("text/plain", 9, 9), errors.ErrUnsupported, "sends no file"},
		"a server of the protocol before": {t.Context(), http.NotFoundHandler(), errors.ErrUnsupported, "does not serve a store of this version: it says 404 Not Found"},
		"a client that gave up":           {canceled, send("application/octet-stream", 9, 9), context.Canceled, ""},
	} {
		t.Run(what, func(t *testing.T) {
			socket := filepath.Join(shortDir(t), "s")
			l, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			server := &http.Server{Handler: c.handler}
			go server.Serve(l)
			defer server.Close()
			var got bytes.Buffer
			err = socketstore.FetchSnapshot(c.ctx, socket, &got)
			if c.want == nil {
				if err != nil || got.Len() != 1<<20 {
					t.Errorf("%d bytes, %v", got.Len(), err)
				}
				return
			}
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || c.want != context.Canceled && !strings.Contains(err.Error(), "open "+socket+": ") {
				t.Errorf("%v", err)
			}
		})
	}
	if err := socketstore.FetchSnapshot(t.Context(), "", io.Discard); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "empty") {
		t.Errorf("no path: %v", err)
	}
	none := filepath.Join(shortDir(t), "none")
	if err := socketstore.FetchSnapshot(t.Context(), none, io.Discard); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
	s, _ := openStore(t)
	socket, _ := serveStore(t, s, &socketstore.ServerOptions{TempDir: filepath.Join(none, "none")})
	if err := socketstore.FetchSnapshot(t.Context(), socket, io.Discard); err == nil || errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a server that cannot keep it: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := socketstore.FetchSnapshot(t.Context(), socket, io.Discard); err == nil {
		t.Error("a store that is closed")
	}
	if _, err := os.Stat(none); err == nil {
		t.Error("it was made")
	}
}
