package podjson

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"podstore/store"
	"podstore/store/jsonvalue"
)

func TestEncodeNormalizesACopy(t *testing.T) {
	m := &store.Metadata{
		PodName:  "p",
		Peers:    []store.Peer{},
		Children: []store.SpawnedChild{{PodName: "c", ScopeDelegated: []store.ScopeRule{}}},
		Manifest: json.RawMessage(` { "b" : 1e0 , "a" : [ ] } `),
		Extra:    map[string]json.RawMessage{"z": []byte("{ }"), "\"": []byte("1"), "é": []byte(`"\u0041"`), "B": []byte("null")},
	}
	before := m.Clone()
	got, err := Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(m, before) {
		t.Errorf("Encode changed its argument: %#v", m)
	}
	want := `{
  "pod_name": "p",
  "spawned_children": [
    {
      "pod_name": "c",
      "socket_path": "",
      "scope_delegated": [],
      "callback_address": ""
    }
  ],
  "resolved_manifest_snapshot": {
    "a": [],
    "b": 1.0
  },
  "\"": 1,
  "B": null,
  "z": {},
  "é": "A"
}`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		m    *store.Metadata
		kind error
	}{
		"no name":         {&store.Metadata{}, store.ErrInvalidName},
		"a path":          {&store.Metadata{PodName: "a/b"}, store.ErrInvalidName},
		"string no UTF-8": {&store.Metadata{PodName: "p", Peers: []store.Peer{{PodName: "\xff"}}}, store.ErrInvalid},
		"manifest":        {&store.Metadata{PodName: "p", Manifest: []byte("{")}, store.ErrInvalid},
		"known field":     {&store.Metadata{PodName: "p", Extra: map[string]json.RawMessage{"peers": []byte("1")}}, store.ErrInvalid},
	} {
		data, err := Encode(c.m)
		var e *store.Error
		if data != nil || !errors.Is(err, c.kind) || !errors.As(err, &e) || e.Op != "encode" {
			t.Errorf("%s: got %q, %v", name, data, err)
		}
	}
}

// TestIndentedSize: the size that is judged before memory is taken is the size
// that is then taken.
func TestIndentedSize(t *testing.T) {
	deep := strings.Repeat("[1,", 60) + `{"a":{},"b":[]}` + strings.Repeat("]", 60)
	for _, doc := range []string{`0`, `""`, `"\\"`, `"a\"b,:{}[]"`, `[]`, `{}`, `[[]]`, `[{}]`, `{"a":1,"b\\":[1,"]",{"c":{}}]}`, deep} {
		c, err := jsonvalue.Canonical([]byte(doc), jsonvalue.MaxDepth)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := indentedSize(c), len(jsonvalue.AppendIndent(nil, c, 1)); got != int64(want) {
			t.Errorf("%s: %d, want %d", doc, got, want)
		}
	}
}
