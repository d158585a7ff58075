package podjson

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"podstore/store"
)

const upstream = "../../testdata/upstream"

// upstreamFiles are the documents of one of the trees that the writers of this layout
// made, by the name of their Pod.
func upstreamFiles(t testing.TB, tree string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := fs.WalkDir(os.DirFS(filepath.Join(upstream, tree)), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || filepath.Base(path) != "metadata.json" {
			return err
		}
		files[filepath.Dir(path)], err = os.ReadFile(filepath.Join(upstream, tree, path))
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", tree, len(files), err)
	}
	return files
}

// TestUpstream: what each writer wrote is canonical in its naming, and becomes the
// other naming and back without another change.
func TestUpstream(t *testing.T) {
	for tree, want := range map[string]Naming{"pods": Pods, "pods-workspace": Pods, "workers": Workers} {
		for pod, data := range upstreamFiles(t, tree) {
			m, n, err := Read(data, pod)
			if err != nil || n != want {
				t.Errorf("%s/%s: %v, %v", tree, pod, n, err)
				continue
			}
			if !bytes.Equal(n.Append(nil, m), data) {
				t.Errorf("%s/%s: comes out in other bytes", tree, pod)
			}
			other := 1 - n
			renamed := other.Append(nil, m)
			if replaced := bytes.ReplaceAll(data, []byte(`"`+n.Key()+`": `), []byte(`"`+other.Key()+`": `)); !bytes.Equal(renamed, replaced) {
				t.Errorf("%s/%s: the other naming is more than other names", tree, pod)
			}
			again, o, err := Read(renamed, pod)
			if err != nil || o != other || m.Diff(again) != "" {
				t.Errorf("%s/%s: read again as %v, %v", tree, pod, o, err)
			}
		}
	}
}

func TestFieldsOfLaterWritersHaveTheirPlace(t *testing.T) {
	in := `{"zoo":1,"workspace_id":"w","a":2,"peers":[{"pod_name":"q"}],"workspace_root":"/r","pod_name":"p",
		"active":{"session_id":"0190f5c011117abc8def0123456789ab"}}`
	want := `{
  "pod_name": "p",
  "active": {
    "session_id": "0190f5c0-1111-7abc-8def-0123456789ab"
  },
  "workspace_root": "/r",
  "workspace_id": "w",
  "peers": [
    {
      "pod_name": "q"
    }
  ],
  "a": 2,
  "zoo": 1
}`
	m, err := Decode([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Extra) != 4 || string(m.Extra[WorkspaceRoot]) != `"/r"` {
		t.Errorf("Extra is %s", m.Extra)
	}
	if got := Append(nil, m); string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestOneNaming: the first key for a name, at whatever depth, tells the naming, and
// one of the other naming is refused where it stands.
func TestOneNaming(t *testing.T) {
	const other = "a document has one of them at every level"
	for _, c := range []struct{ doc, reason string }{
		{`{"pod_name":"p",▸"worker_name":"p"}`, other},
		{`{"worker_name":"p",▸"pod_name":"p"}`, other},
		{`{"worker_name":"p",▸"p\u006fd_name":"p"}`, other},
		{`{"worker_name":"p",▸"worker_name":"p"}`, "duplicate field"},
		{"{\"peers\":[{\"worker_name\":\"q\"}],\n ▸\"pod_name\":\"p\"}", other},
		{`{"pod_name":"p","peers":[{"pod_name":"q"},{▸"worker_name":"r"}]}`, other},
		{`{"peers":[{"pod_name":"q",▸"worker_name":"q"}],"pod_name":"p"}`, other},
		{`{"worker_name":"p","spawned_children":[{"socket_path":"s",▸"pod_name":"c"}]}`, other},
		{`{"worker_name":"p","reclaimed_children":[{▸"pod_name":"c"}]}`, other},
		{`{"worker_name":"p","peers":[{▸"x":1}]}`, "expected worker_name"},
		{`{"worker_name":"p","spawned_children":[{▸"x":1}]}`, "expected worker_name, socket_path"},
		{`{"worker_name":"p","reclaimed_children":[{▸}]}`, `missing field "worker_name"`},
		{`{"peers":[{"worker_name":"q"}]▸}`, `missing field "worker_name"`},
		{`{"worker_name":▸null}`, "worker_name: expected a string"},
		{`{"Worker_Name":"p"▸}`, `"Worker_Name" is another field: case matters`},
		{`{"pod_name":"p","active":{▸"worker_name":"q"}}`, "unknown field"},
	} {
		before, after, _ := strings.Cut(c.doc, "▸")
		_, err := Decode([]byte(before + after))
		e, ok := err.(*store.Error)
		if !ok {
			t.Errorf("%s: %v", c.doc, err)
			continue
		}
		line, column := 1+strings.Count(before, "\n"), len(before)-strings.LastIndex(before, "\n")
		if e.Line != line || e.Column != column || !strings.Contains(e.Reason(), c.reason) {
			t.Errorf("%s: %v, want %d:%d and %q", c.doc, err, line, column, c.reason)
		}
	}
	// What is inside a value of any kind tells nothing.
	m, n, err := Read([]byte(`{"resolved_manifest_snapshot":{"pod_name":1},"x":{"pod_name":2},"worker_name":"p"}`), "p")
	if err != nil || n != Workers || m.PodName != "p" {
		t.Errorf("%v %v %v", m, n, err)
	}
}

func TestNamings(t *testing.T) {
	for _, n := range []Naming{Pods, Workers} {
		if got, err := ParseNaming(n.String()); got != n || err != nil {
			t.Errorf("%v: %v, %v", n, got, err)
		}
	}
	if _, err := ParseNaming("pod_name"); err == nil {
		t.Error("a key is taken for a naming")
	}
}

func TestNamingOf(t *testing.T) {
	for doc, want := range map[string]string{
		`{"worker_name":"p"}`:                             "workers",
		`{"pod_name":"p","worker_name":"p"}`:              "pods",
		`{"x":1,"peers":[{"worker_name":"p",`:             "workers",
		`{"resolved_manifest_snapshot":{"pod_name":"p"}}`: "",
		`{"x`: "",
		``:    "",
	} {
		n, ok := NamingOf([]byte(doc))
		if ok != (want != "") || ok && n.String() != want {
			t.Errorf("%s: %v, %v", doc, n, ok)
		}
	}
}

func TestReadChecksTheName(t *testing.T) {
	_, _, err := Read([]byte("{\n  \"worker_name\": \"p\"\n}"), "q")
	var other *NameError
	if !errors.As(err, &other) || *other != (NameError{"worker_name", "p", "q"}) || !errors.Is(other, store.ErrInvalid) {
		t.Fatal(err)
	}
	if want := `line 2 column 18: invalid: worker_name is "p", but the directory is named "q"; rename the directory or correct worker_name`; err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestWorkspace(t *testing.T) {
	for doc, want := range map[string]string{
		`{"pod_name":"p","workspace_root":"/home/\u00e9"}`: "/home/é",
		`{"pod_name":"p","workspace_root":null}`:           "",
		`{"pod_name":"p","workspace_root":["/home"]}`:      "",
		`{"pod_name":"p"}`:                                 "",
	} {
		m, err := Decode([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		if root, ok := Workspace(m); root != want || ok != (want != "") {
			t.Errorf("%s: %q, %v", doc, root, ok)
		}
	}
}

// TestAppendMax: what is too large is told before memory is taken for it, and is not
// appended.
func TestAppendMax(t *testing.T) {
	m := benchPod(1)
	all := Append(nil, m)
	n := int64(len(all))
	for _, limit := range []int64{0, 100, n - 1, n, n + 1, 1 << 30} {
		out, size := Pods.AppendMax([]byte("x"), m, limit)
		switch {
		case limit >= n && (size != n || string(out) != "x"+string(all)):
			t.Errorf("limit %d: %d bytes, size %d", limit, len(out), size)
		case limit < n && (size <= limit || string(out) != "x"):
			t.Errorf("limit %d: %d bytes, size %d", limit, len(out), size)
		}
	}
}
