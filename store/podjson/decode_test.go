package podjson

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"podstore/store"
)

// TestDecodePositions: each document has one fault, at the byte marked by ▸ (or
// at its end), and is refused there with a reason that says what was expected.
func TestDecodePositions(t *testing.T) {
	const child = `"pod_name":"c","socket_path":"s","callback_address":"a"`
	const id = `"0190f5c0-1111-7abc-8def-0123456789ab"`
	for _, c := range []struct{ name, doc, reason string }{
		{"empty", `▸`, "expected an object"},
		{"only space", " \n ▸", "expected an object"},
		{"array", `▸[]`, "metadata: expected an object, found an array"},
		{"null", ` ▸null`, "metadata: expected an object, found null"},
		{"trailing value", `{"pod_name":"p"} ▸{}`, "expected the end of the document"},
		{"byte order mark", "▸\ufeff{}", "byte order mark"},
		{"cut after name", `{"pod_name":"p"▸`, "expected ',' or '}'"},
		{"cut in name", `{"pod_name":"p▸`, "closing quote"},
		{"no pod_name", "{\n \"peers\": []\n▸}", `missing field "pod_name"`},
		{"no pod_name, empty", `{▸}`, `missing field "pod_name"`},
		{"other case", `{"Pod_Name":"p"▸}`, `"Pod_Name" is another field: case matters`},
		{"pod_name null", `{"pod_name": ▸null}`, "pod_name: expected a string, found null"},
		{"pod_name number", `{"pod_name": ▸1}`, "pod_name: expected a string, found a number"},
		{"pod_name garbage", `{"pod_name": ▸x}`, "expected a string, found 'x'"},
		{"pod_name twice", `{"pod_name":"p",▸"pod_name":"p"}`, `duplicate field "pod_name"`},
		{"active twice", `{"pod_name":"p","active":null, ▸"active":null}`, `duplicate field "active"`},
		{"manifest twice", `{"resolved_manifest_snapshot":null,▸"resolved_manifest_snapshot":1,"pod_name":"p"}`, "duplicate field"},
		{"peers twice, escaped", `{"peers":[],"pod_name":"p",` + "\n" + `▸"p\u0065ers":[]}`, `duplicate field "peers"`},
		{"unknown twice", `{"pod_name":"p","x":1, ▸"x":1}`, `duplicate field "x"`},
		{"unknown twice, escaped", `{"x":1,"pod_name":"p", ▸"\u0078":1}`, `duplicate field "x"`},
		{"unknown with bad value", `{"pod_name":"p","x":▸01}`, "leading zero"},
		{"active list", `{"pod_name":"p","active":▸[]}`, "active: expected an object, found an array"},
		{"active empty", `{"pod_name":"p","active":{▸}}`, `missing field "session_id" in active`},
		{"session null", `{"pod_name":"p","active":{"session_id":▸null}}`, "session_id: expected a string, found null"},
		{"session twice", `{"pod_name":"p","active":{"session_id":` + id + `,▸"session_id":` + id + `}}`, `duplicate field "session_id"`},
		{"session no uuid", `{"pod_name":"p","active":{"session_id":▸"x"}}`, `session_id: invalid UUID "x"`},
		{"session cut", `{"pod_name":"p","active":{"session_id":"x▸`, "closing quote"},
		{"session braces of other kind", `{"pod_name":"p","active":{"session_id":▸"(0190f5c0-1111-7abc-8def-0123456789ab)"}}`, "invalid UUID"},
		{"session urn of other case", `{"pod_name":"p","active":{"session_id":▸"URN:UUID:0190f5c0-1111-7abc-8def-0123456789ab"}}`, "invalid UUID"},
		{"session with space", `{"pod_name":"p","active":{"session_id":▸" 0190f5c0-1111-7abc-8def-0123456789ab"}}`, "invalid UUID"},
		{"segment number", `{"pod_name":"p","active":{"session_id":` + id + `,"segment_id":▸7}}`, "segment_id: expected a string, found a number"},
		{"unknown in active", `{"pod_name":"p","active":{"session_id":` + id + `,▸"x":7}}`, `unknown field "x" in active would be lost; expected session_id, segment_id`},
		{"children null", `{"pod_name":"p","spawned_children":▸null}`, "spawned_children: expected an array, found null"},
		{"children object", `{"pod_name":"p","spawned_children":▸{}}`, "spawned_children: expected an array, found an object"},
		{"child null", `{"pod_name":"p","spawned_children":[▸null]}`, "a spawned child: expected an object, found null"},
		{"child array", `{"pod_name":"p","spawned_children":[▸["c","s",[],"a"]]}`, "a spawned child: expected an object, found an array"},
		{"child without scope", `{"pod_name":"p","spawned_children":[{` + child + `▸}]}`, `missing field "scope_delegated" in a spawned child`},
		{"child without anything", `{"pod_name":"p","spawned_children":[{▸}]}`, `missing field "pod_name" in a spawned child`},
		{"second child bad", `{"pod_name":"p","spawned_children":[{` + child + `,"scope_delegated":[]},` + "\n" + `  {▸"socket":1}]}`, `unknown field "socket" in a spawned child`},
		{"scope null", `{"pod_name":"p","spawned_children":[{` + child + `,"scope_delegated":▸null}]}`, "scope_delegated: expected an array, found null"},
		{"child path null", `{"pod_name":"p","spawned_children":[{"socket_path":▸null}]}`, "socket_path: expected a string, found null"},
		{"child callback number", `{"pod_name":"p","spawned_children":[{"callback_address":▸1}]}`, "callback_address: expected a string, found a number"},
		{"rule without recursive", `{"pod_name":"p","reclaimed_children":[{"pod_name":"c","scope_delegated":[{"target":"t","permission":"r"▸}]}]}`, `missing field "recursive" in a scope rule`},
		{"rule recursive string", `{"pod_name":"p","reclaimed_children":[{"scope_delegated":[{"recursive":▸"true"}]}]}`, "recursive: expected a boolean, found a string"},
		{"rule recursive word", `{"pod_name":"p","reclaimed_children":[{"scope_delegated":[{"recursive":▸tru}]}]}`, "expected true"},
		{"rule unknown", `{"pod_name":"p","reclaimed_children":[{"scope_delegated":[{▸"x":0}]}]}`, `unknown field "x" in a scope rule`},
		{"rule twice", `{"pod_name":"p","reclaimed_children":[{"scope_delegated":[{"target":"a",▸"target":"a"}]}]}`, `duplicate field "target"`},
		{"reclaimed without scope", `{"pod_name":"p","reclaimed_children":[{"pod_name":"c"▸}]}`, `missing field "scope_delegated" in a reclaimed child`},
		{"reclaimed unknown", `{"pod_name":"p","reclaimed_children":[{▸"socket_path":"s"}]}`, `unknown field "socket_path" in a reclaimed child`},
		{"peers object", `{"pod_name":"p","peers":▸{}}`, "peers: expected an array"},
		{"peer string", `{"pod_name":"p","peers":[▸"q"]}`, "a peer: expected an object, found a string"},
		{"peer unknown", `{"pod_name":"p","peers":[{"pod_name":"q",▸"since":1}]}`, `unknown field "since" in a peer would be lost; expected pod_name`},
		{"peer without name", `{"pod_name":"p","peers":[{▸}]}`, `missing field "pod_name" in a peer`},
		{"peer list not closed", `{"pod_name":"p","peers":[{"pod_name":"q"}▸}`, "expected ',' or ']'"},
		{"key no string", `{▸1:2}`, "a key in double quotes"},
		{"lone surrogate", `{"pod_name":▸"\ud800"}`, "lone surrogate"},
		{"not UTF-8", "{\"pod_name\":▸\"\xff\"}", "not UTF-8"},
		{"control", "{\"pod_name\":▸\"\n\"}", "control character"},
		{"too deep", `{"pod_name":"p","resolved_manifest_snapshot":` + strings.Repeat("[", 126) + `▸[`, "at most 127"},
		{"unknown too deep", `{"pod_name":"p","x":` + strings.Repeat(`{"a":`, 126) + `▸{}`, "at most 127"},
		{"float too large", `{"pod_name":"p","resolved_manifest_snapshot":[1,▸1e400]}`, "out of range"},
		{"last line", "{\n\"pod_name\": \"p\",\n\t\"peers\": [\n\t\t{\"pod_name\": \"é\"},\n\t\t▸7\n\t]\n}", "a peer: expected an object, found a number"},
		{"after two-byte letters", `{"pod_name":"éé","peers":▸1}`, "peers: expected an array"},
	} {
		before, after, ok := strings.Cut(c.doc, "▸")
		if !ok {
			t.Fatalf("%s: no mark", c.name)
		}
		line := 1 + strings.Count(before, "\n")
		column := len(before) - strings.LastIndex(before, "\n")
		m, err := Decode([]byte(before + after))
		var e *store.Error
		switch {
		case m != nil || !errors.Is(err, store.ErrInvalid) || !errors.As(err, &e):
			t.Errorf("%s: got %v, %v", c.name, m, err)
		case e.Line != line || e.Column != column:
			t.Errorf("%s: at %d:%d, want %d:%d: %v", c.name, e.Line, e.Column, line, column, err)
		case !strings.Contains(e.Reason(), c.reason):
			t.Errorf("%s: reason %q, want %q in it", c.name, e.Reason(), c.reason)
		case e.Op != "decode" || e.Kind != store.ErrInvalid:
			t.Errorf("%s: %#v", c.name, e)
		}
	}
}

func TestDecodeFillsEveryField(t *testing.T) {
	session, _ := store.ParseSessionID("0190f5c0-1111-7abc-8def-0123456789ab")
	segment, _ := store.ParseSegmentID("0190f5c0-2222-7abc-8def-0123456789ab")
	rules := []store.ScopeRule{{Target: "/t", Permission: "write", Recursive: true}, {Target: "", Permission: "", Recursive: false}}
	want := &store.Metadata{
		PodName:   "p/not judged here",
		Active:    store.ActiveIn(session, segment),
		Children:  []store.SpawnedChild{{PodName: "c", SocketPath: "/s", ScopeDelegated: rules, CallbackAddress: "/b"}, {PodName: "c"}},
		Reclaimed: []store.ReclaimedChild{{PodName: "r", ScopeDelegated: rules}, {PodName: ".."}},
		Peers:     []store.Peer{{PodName: "z"}, {PodName: "a"}, {PodName: "a"}},
		Manifest:  []byte(`{"a":[1.0,{}],"b":null}`),
		Extra:     map[string]json.RawMessage{"": []byte("null"), "A": []byte("[]"), "pod_names": []byte(`"x"`)},
	}
	doc := []byte(`
	{ "pod_names" : "\u0078" , "resolved_manifest_snapshot":{"b":null,"a":[1e0,{ }]}, "":null,
	  "peers":[{"pod_name":"z"},{"pod_name":"a"},{"\u0070od_name":"a"}],
	  "reclaimed_children":[{"scope_delegated":[{"recursive":true,"permission":"write","target":"\/t"},{"target":"","permission":"","recursive":false}],"pod_name":"r"},
	    {"pod_name":"..","scope_delegated":[]}],
	  "spawned_children":[{"pod_name":"c","socket_path":"/s","scope_delegated":[{"recursive":true,"permission":"write","target":"/t"},{"target":"","permission":"","recursive":false}],"callback_address":"/b"},
	    {"pod_name":"c","socket_path":"","scope_delegated":[],"callback_address":""}],
	  "A":[], "active":{"segment_id":"{0190F5C0-2222-7ABC-8DEF-0123456789AB}","session_id":"urn:uuid:0190f5c0-1111-7abc-8def-0123456789ab"},
	  "pod_name":"p/not judged here" }
	`)
	got, err := Decode(doc)
	if err != nil {
		t.Fatal(err)
	}
	for i := range doc {
		doc[i] = 'x'
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%#v\nwant\n%#v", got, want)
	}
}

func TestDecodeAbsentNullAndEmptyAreTheSame(t *testing.T) {
	want := &store.Metadata{PodName: "p"}
	for _, doc := range []string{
		`{"pod_name":"p"}`,
		`{"pod_name":"p","active":null,"resolved_manifest_snapshot":null}`,
		`{"spawned_children":[],"reclaimed_children":[],"peers":[],"pod_name":"p"}`,
	} {
		got, err := Decode([]byte(doc))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %#v, %v", doc, got, err)
		}
	}
	got, err := Decode([]byte(`{"pod_name":"p","active":{"session_id":"0190f5c011117abc8def0123456789ab","segment_id":null}}`))
	if err != nil || got.Active == nil || got.Active.SegmentID != nil {
		t.Errorf("a null segment: got %#v, %v", got, err)
	}
}

// TestDecodeDepth: 127 containers in a document, so 126 in a value.
func TestDecodeDepth(t *testing.T) {
	for _, field := range []string{"resolved_manifest_snapshot", "unknown"} {
		for depth, ok := range map[int]bool{126: true, 127: false} {
			doc := `{"pod_name":"p","` + field + `":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + `}`
			m, err := Decode([]byte(doc))
			if (err == nil) != ok {
				t.Errorf("%s with %d containers: %v", field, depth, err)
			}
			if ok && m.Clone().Normalize() != nil {
				t.Errorf("%s with %d containers is read, but not written", field, depth)
			}
		}
	}
}

// TestDecodeValueLimit: what is too large to be written is not read either.
func TestDecodeValueLimit(t *testing.T) {
	long := `"` + strings.Repeat("x", store.MaxValueSize-2) + `"`
	for i, c := range []struct {
		doc string
		ok  bool
	}{
		{`{"pod_name":"p","resolved_manifest_snapshot":` + long + `}`, true},
		{`{"pod_name":"p","resolved_manifest_snapshot":[` + long + `]}`, false},
		{`{"pod_name":"p","":` + long + `}`, true},
		{`{"pod_name":"p","k":` + long + `}`, false},
		{`{"pod_name":"p","":0,"k":` + long[1:] + `}`, false},
	} {
		if testing.Short() && i > 0 {
			continue // each takes two seconds
		}
		m, err := Decode([]byte(c.doc))
		if (err == nil) != c.ok {
			t.Errorf("%.60s: %v", c.doc, err)
		}
		if err == nil && m.Normalize() != nil {
			t.Errorf("%.60s: read, but cannot be written", c.doc)
		}
	}
}
