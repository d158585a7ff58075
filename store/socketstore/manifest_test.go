package socketstore

import (
	"net/http"
	"strings"
	"testing"

	"podstore/store"
)

// A manifest that both sides have does not cross the socket, and is kept.
func TestManifestStaysWhereItIs(t *testing.T) {
	s := openStore(t)
	h := Handler(s, nil)
	manifest := `{"prompt":"` + strings.Repeat("x", 1000) + `"}`
	m := &store.Metadata{PodName: "a", Manifest: []byte(manifest), Peers: []store.Peer{{PodName: "b"}}}
	if err := store.Write(t.Context(), s, m); err != nil {
		t.Fatal(err)
	}
	post := func(body string, want int) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://p"+podsPath, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		got := serveOne(h, r)
		if got.Code != want {
			t.Errorf("%s is answered %d %s, want %d", body, got.Code, got.Body, want)
		}
		return got.Body.String()
	}
	v, other := string(versionOf(m)), strings.Repeat("0", 64)
	has := `,"manifest":"` + string(hashOf([]byte(manifest))) + `"`
	short := `{"pod_name": "a","peers": [{"pod_name": "b"}]}` + "\n"
	item := `{"name":"a","version":"` + v + `"`

	if got := post(`{"name":"a"`+has+"}", http.StatusOK); got != item+has+"}\n"+short {
		t.Errorf("who has the manifest is answered %s", got)
	}
	if got := post(`{"name":"a","manifest":"`+other+`"}`, http.StatusOK); !strings.Contains(got, "xxxx") || strings.Contains(got, other) {
		t.Errorf("who has another manifest is answered %s", got)
	}
	if got := post(`{"name":"a","version":null`+has+"}", http.StatusConflict); !strings.HasSuffix(got, item+has+"}\n"+short) {
		t.Errorf("the conflict is answered %s", got)
	}

	changed := `{"pod_name":"a","active":null}` + "\n"
	for _, bad := range []string{
		`{"name":"a","then":"put"` + has + "}\n" + changed,
		`{"name":"a","version":null,"then":"put"` + has + "}\n" + changed,
		item + `,"then":"put","manifest":"` + other + `"}` + "\n" + changed,
		item + `,"then":"put"` + has + "}\n" + `{"pod_name":"a","resolved_manifest_snapshot":` + manifest + "}\n",
		item + `,"then":"put","manifest":null}` + "\n" + changed,
	} {
		post(bad, http.StatusBadRequest)
	}
	if got, err := s.Read(t.Context(), "a"); err != nil || !got.Equal(m) {
		t.Errorf("what was refused left %+v, %v", got, err)
	}
	post(`{"name":"a","version":"`+other+`","then":"put"`+has+"}\n"+changed, http.StatusConflict)
	for range 2 { // what the server has not seen before, and what it has
		h = Handler(s, nil)
		post(item+`,"then":"put"`+has+"}\n"+changed, http.StatusNoContent)
		m.Peers = nil
		if got, err := s.Read(t.Context(), "a"); err != nil || !got.Equal(m) {
			t.Errorf("the Pod is %+v, %v", got, err)
		}
		item = `{"name":"a","version":"` + string(versionOf(m)) + `"`
	}
}

// A client that is told of a manifest that it has not does not take the answer.
func TestManifestThatTheClientHasNot(t *testing.T) {
	a := podOf(&store.Metadata{PodName: "a", Manifest: []byte("{}")}, nil)
	other := podOf(&store.Metadata{PodName: "a", Manifest: []byte("[]")}, nil)
	answer := a.append(nil, "a", a.manifest)
	for _, before := range [][]*pod{nil, {nobody}, {other}} {
		if pods, err := parseState([]string{"a"}, answer, before); err == nil {
			t.Errorf("with %+v it is taken as %+v", before, pods)
		}
	}
	pods, err := parseState([]string{"a"}, answer, []*pod{a})
	if err != nil || !pods[0].m.Equal(a.m) || pods[0].version != a.version {
		t.Errorf("it is taken as %+v, %v", pods, err)
	}
}
