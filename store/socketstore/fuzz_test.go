package socketstore

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/boltstore"
)

// recorder is what net/http gives a handler, as far as this one uses it.
type recorder struct{ *httptest.ResponseRecorder }

func (recorder) SetReadDeadline(time.Time) error  { return nil }
func (recorder) SetWriteDeadline(time.Time) error { return nil }

// serveOne has a handler answer a request of a client that is let in.
func serveOne(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := recorder{httptest.NewRecorder()}
	h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), verdictKey{}, verdict{})))
	return w.ResponseRecorder
}

func openStore(t testing.TB) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(filepath.Join(t.TempDir(), "pods.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
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

// Whatever a client sends, nothing panics, and nothing is changed by a request that
// is not answered with success, or that only reads.
func FuzzRequest(f *testing.F) {
	a := &store.Metadata{PodName: "a", Peers: []store.Peer{{PodName: "b"}}, Manifest: []byte("1")}
	v := string(versionOf(a))
	add := func(method byte, path, header, body string) { f.Add(method, path, header, body) }
	add(0, "/v1/names", "", "")
	add(0, "/v1/pods?omit=manifest", "", "")
	add(0, "/v1/pods?omit=x", "", "")
	add(0, "/v1/pods/a", "", "")
	add(0, "/v1/pods/%2E%2E", "", "")
	add(0, "/v1/pods/a%2Fb", "", "")
	add(1, "/v1/pods/a", "", `{"pod_name":"a"}`)
	add(1, "/v1/pods/c", "If-None-Match: *", `{"pod_name":"c","peers":[]}`)
	add(1, "/v1/pods/a", `If-Match: "`+v+`"`, `{"pod_name":"a","resolved_manifest_snapshot":1}`)
	add(1, "/v1/pods/a", `If-Match: W/"x"`, `{"pod_name":"a"}`)
	add(1, "/v1/pods/a", "", `{"pod_name":"b"}`)
	add(3, "/v1/pods/a", "", "")
	add(3, "/v1/pods/zzz", `If-Match: "`+v+`"`, "")
	add(2, "/v1/read", "", "\"a\"\n\"nobody\"\n\"..\"\n")
	add(2, "/v1/read", "", "\"a\n")
	add(2, "/v1/pods", "", `{"name":"a"}`+"\n"+`{"name":"b"}`)
	add(2, "/v1/pods", "", `{"name":"a","version":"`+v+`","then":"delete"}`+"\n"+`{"name":"c","version":null,"then":"put"}`+"\n"+`{"pod_name":"c"}`)
	add(2, "/v1/pods", "Podstore-Request: x\nPodstore-Edit: y", `{"name":"a","version":"`+v+`"}`)
	add(2, "/v1/pods", "Podstore-Request: x\nPodstore-Retry: y/1", `{"name":"a","then":"delete"}`)
	add(2, "/v1/pods", "Podstore-Request: \x7f", `{"name":"a","then":"delete"}`)
	add(2, "/v1/pods", "", `{"name":"a","then":"put"}`)
	add(2, "/v1/pods", "", `{"name":"a"}`+"\n"+`{"name":"b","then":"delete"}`)
	add(2, "/v1/pods", "", `{"name":"a","name":"b"}`)
	add(2, "/v1/pods", "", `{"name":"a","version":"`+strings.Repeat("A", 64)+`"}`)
	add(2, "/v1/pods", "", `{"name":"a","version":null}`+"\n"+`{"name":"a","version":null}`)
	hash := string(hashOf(a.Manifest))
	add(2, "/v1/pods", "", `{"name":"a","manifest":"`+hash+`"}`)
	add(2, "/v1/pods", "", `{"name":"a","version":"`+v+`","manifest":"`+hash+`","then":"put"}`+"\n"+`{"pod_name":"a"}`)
	s := openStore(f)
	f.Fuzz(func(t *testing.T, method byte, path, header, body string) {
		for _, m := range []*store.Metadata{a, {PodName: "b"}} {
			if err := store.Write(t.Context(), s, m); err != nil {
				t.Fatal(err)
			}
		}
		h := Handler(s, &ServerOptions{MaxPods: 8, Timeout: 5 * time.Second})
		if !strings.HasPrefix(path, "/") {
			t.Skip()
		}
		r, err := http.NewRequestWithContext(t.Context(), fuzzMethods[int(method)%len(fuzzMethods)], "http://p"+path, bytes.NewReader([]byte(body)))
		if err != nil {
			t.Skip()
		}
		for line := range strings.SplitSeq(header, "\n") {
			if name, value, ok := strings.Cut(line, ": "); ok {
				r.Header.Add(name, value)
			}
		}
		before := stateOf(t, s)
		got := serveOne(h, r)
		after := stateOf(t, s)
		changed := !reflect.DeepEqual(before, after)
		if changed && (got.Code != http.StatusNoContent || r.Method == http.MethodGet || r.Method == http.MethodHead) {
			t.Errorf("%s %s was answered %d and changed %v to %v", r.Method, path, got.Code, before, after)
		}
		if got.Code >= 500 {
			t.Errorf("%d: %s", got.Code, got.Body)
		}
		if got.Code >= 400 && got.Header().Get("Content-Type") == jsonType {
			if err := (&answer{status: got.Code, header: got.Header(), body: got.Body.Bytes()}).check(); !refusal(err) {
				t.Errorf("a client does not understand %d %s: %v", got.Code, got.Body, err)
			}
		}
		for name := range after {
			if name != "a" && name != "b" {
				if err := store.Do(t.Context(), s, name, store.Delete{}); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// Whatever a server sends, a client does not panic, and takes nothing for a Pod
// that is not one.
func FuzzAnswer(f *testing.F) {
	f.Add(`{"name":"a","version":null}` + "\n" + `{"name":"b","version":null}`)
	a := podOf(&store.Metadata{PodName: "a", Manifest: []byte("{}")}, nil)
	for _, has := range []version{absent, a.manifest} {
		f.Add(string(nobody.append(a.append(nil, "a", has), "b", has)))
	}
	f.Add(`{"error":{"kind":"conflict","also":["invalid"],"reason":"x"}}` + "\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, body string) {
		names := []string{"a", "b"}
		for _, before := range [][]*pod{nil, {a, nobody}} {
			pods, err := parseState(names, []byte(body), before)
			if err != nil {
				continue
			}
			for i, p := range pods {
				if (p.m == nil) != (p.version == absent) || p.m != nil && (p.m.PodName != names[i] || p.manifest != manifestOf(p.m)) {
					t.Errorf("%q gives %+v as %q", body, p, names[i])
				}
			}
		}
		_ = (&answer{status: 409, header: http.Header{}, body: []byte(body)}).check()
		for line := range lines([]byte(body)) {
			_ = lineError(line)
		}
	})
}
