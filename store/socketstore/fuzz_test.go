package socketstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/memstore"
	"podstore/store/podjson"
)

// serveOne makes a server answer one request.
func serveOne(s *Server, r *http.Request) (w *httptest.ResponseRecorder) {
	_, end := fakePair()
	w = httptest.NewRecorder()
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			panic(p)
		}
	}()
	s.serve(w, r.WithContext(s.http.ConnContext(r.Context(), &conn{Conn: end, server: s, peer: peer{pidfd: -1}})))
	return w
}

func stateOf(t testing.TB, s store.MetadataStore) map[string]*store.Metadata {
	t.Helper()
	pods := map[string]*store.Metadata{}
	for m, err := range store.All(t.Context(), s, store.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		pods[m.PodName] = m
	}
	return pods
}

var fuzzMethods = []string{"GET", "PUT", "POST", "DELETE", "PATCH", "HEAD"}

// Whatever a client sends, nothing panics. A request that only reads, or whose answer
// is not a success, changes nothing. Every such answer is an error that a client
// understands.
func FuzzRequest(f *testing.F) {
	add := func(method byte, path, body string) { f.Add(method, path, body) }
	add(0, "/v2/", "")
	add(0, "/v2/names", "")
	add(0, "/v2/names?x", "")
	add(0, "/v2/pods?omit=manifest&omit=reclaimed&after=a", "")
	add(0, "/v2/pods?omit=x", "")
	add(0, "/v2/pods?after=a&after=b", "")
	add(0, "/v2/pods/a", "")
	add(0, "/v2/pods/%2E%2E?omit=manifest", "")
	add(0, "/v2/pods/a%2Fb", "")
	add(0, "/v2/pods/", "")
	add(0, "/v2/snapshot", "")
	add(0, "/v1/names", "")
	add(0, "/", "")
	add(2, "/v2/changes", `{"pod":"a","op":"add_peer","peer":"b"}`)
	add(2, "/v2/changes?id=5f0c35a2-9b0e-4f6e-8d4c-0d9c2d8f6a11&return=metadata", `{"pod":"a","op":"delete"}`)
	add(2, "/v2/changes?id=5f0c35a2-9b0e-4f6e-8d4c-0d9c2d8f6a11&seen=7", `{"pod":"a","op":"delete"}`)
	add(2, "/v2/changes?id=00000000-0000-0000-0000-000000000000", `{"pod":"a","op":"delete"}`)
	add(2, "/v2/changes?seen=-1", `{"pod":"a","op":"delete"}`)
	add(2, "/v2/changes", `{"pod":"a","if":"exists"}`+"\n"+`{"pod":"c","op":"put","metadata":{"pod_name":"c"},"if":"missing"}`)
	add(2, "/v2/changes", `{"pod":"a","op":"put","metadata":{"pod_name":"c"}}`)
	add(2, "/v2/changes", `{"pod":"a"}`)
	add(2, "/v2/changes", "")
	add(2, "/v2/changes?id=5f0c35a2-9b0e-4f6e-8d4c-0d9c2d8f6a11&id=5f0c35a2-9b0e-4f6e-8d4c-0d9c2d8f6a12", `{"pod":"a","op":"delete"}`+"\n\n"+`{"pod":"c","op":"delete"}`)
	add(5, "/v2/changes", "")
	f.Fuzz(func(t *testing.T, method byte, path, body string) {
		s := memstore.New()
		for _, m := range []*store.Metadata{{PodName: "a", Peers: []store.Peer{{PodName: "b"}}, Manifest: []byte("1")}, {PodName: "b"}} {
			if err := store.Write(t.Context(), s, m); err != nil {
				t.Fatal(err)
			}
		}
		server := NewServer(s, &ServerOptions{MaxChanges: 8, Logger: slog.New(slog.DiscardHandler)})
		if !strings.HasPrefix(path, "/") {
			t.Skip()
		}
		r, err := http.NewRequestWithContext(t.Context(), fuzzMethods[int(method)%len(fuzzMethods)], "http://p"+path, bytes.NewReader([]byte(body)))
		if err != nil {
			t.Skip()
		}
		before := stateOf(t, s)
		got := serveOne(server, r)
		changed := !reflect.DeepEqual(before, stateOf(t, s))
		if changed && (got.Code != http.StatusOK || r.Method != http.MethodPost) {
			t.Errorf("%s %s was answered %d and changed something", r.Method, path, got.Code)
		}
		if got.Code != http.StatusOK {
			if err := (&answer{status: got.Code, body: got.Body.Bytes()}).err(); !answered(err) || got.Header().Get("Content-Type") != jsonType {
				t.Errorf("a client does not understand %d %s: %v", got.Code, got.Body, err)
			}
		}
		if got.Code >= 500 && got.Code != http.StatusNotImplemented {
			t.Errorf("%d: %s", got.Code, got.Body)
		}
		if held := server.memory.used() + server.streams.used() + server.snapshots.used(); held != 0 {
			t.Errorf("%d are held", held)
		}
	})
}

// Whatever a server sends, a client does not panic. It does not take anything else for
// a Pod, or for a change that was made.
func FuzzAnswer(f *testing.F) {
	a := podjson.AppendPod(nil, store.Applied{Pod: "a", Metadata: &store.Metadata{PodName: "a", Manifest: []byte("{}")}})
	b := podjson.AppendPod(nil, store.Applied{Pod: "b"})
	head := func(n string) string { return "HTTP/1.1 200 OK\r\n" + n + "\r\n\r\n" }
	f.Add(head("Content-Length: 66") + string(a) + "\n")
	f.Add(head("Content-Length: 66\r\nConnection: close") + string(a) + "\n" + string(b) + "\n")
	f.Add(head("Transfer-Encoding: chunked") + "a\r\n" + string(a[:10]) + "\r\n0\r\n\r\n")
	f.Add(head("Content-Length: 4") + "\"a\"\n")
	f.Add("HTTP/1.1 100 Continue\r\n\r\n" + head("Content-Length: 0"))
	f.Add("HTTP/1.1 409 Conflict\r\nContent-Length: 69\r\n\r\n" + `{"error":{"kind":"conflict","also":["invalid"],"pod":"a","reason":"x"}}` + "\n")
	f.Add("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n")
	f.Add("SSH-2.0-x\r\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		c := newClient("fake", &Options{Patience: 1, AnswerTimeout: time.Second}, func(context.Context) (net.Conn, error) {
			client, server := fakePair()
			go func() {
				_, _ = io.WriteString(server, text)
				_ = server.CloseWrite()
				_, _ = io.Copy(io.Discard, server)
			}()
			return client, nil
		})
		defer c.Close()
		if m, err := c.Read(t.Context(), "a"); err == nil && m.PodName != "a" {
			t.Errorf("Pod %q", m.PodName)
		}
		if _, err := c.List(t.Context()); err == nil && !strings.HasPrefix(text, "HTTP/1.") {
			t.Error("this is not HTTP")
		}
		for m, err := range c.All(t.Context(), store.ReadOptions{OmitManifest: true}) {
			if err == nil && !m.Omitted.OmitManifest {
				t.Errorf("%+v", m)
			}
		}
		applied, err := c.Apply(t.Context(), []store.Change{{Pod: "a", Op: store.Delete{}}, {Pod: "b", If: store.Missing}}, nil)
		if err == nil && (len(applied) != 2 || applied[0].Pod != "a" || applied[1].Pod != "b") {
			t.Errorf("%+v", applied)
		}
		if err != nil && errors.Is(err, context.Canceled) && !strings.Contains(text, "canceled") {
			t.Error(err)
		}
	})
}
