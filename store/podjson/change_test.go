package podjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"podstore/store"
)

var sampleIDs = struct {
	session store.SessionID
	segment store.SegmentID
}{store.SessionID{1, 2, 3}, store.SegmentID{4, 5, 6}}

var sampleRules = []store.ScopeRule{{Target: "/srv/\"q\"", Permission: "write", Recursive: true}, {}}

func samplePod() *store.Metadata {
	return &store.Metadata{
		PodName:   "planner",
		Active:    store.ActiveIn(sampleIDs.session, sampleIDs.segment),
		Children:  []store.SpawnedChild{{PodName: "a/b", SocketPath: "/run/x", ScopeDelegated: sampleRules, CallbackAddress: "c"}},
		Reclaimed: []store.ReclaimedChild{{PodName: "old"}, {PodName: "older", ScopeDelegated: sampleRules}},
		Peers:     []store.Peer{{PodName: "coder"}},
		Manifest:  []byte(`{"model":"large","n":[1.5,null]}`),
		Extra:     map[string]json.RawMessage{"zz": []byte(`{}`), "workspace_root": []byte(`"/w"`)},
	}
}

// changeLines are changes and their JSON: every operation, and every condition.
var changeLines = []struct {
	line   string
	change store.Change
}{
	{`{"pod":"planner","op":"add_peer","peer":"coder","if":"exists"}`, store.Change{Pod: "planner", Op: store.AddPeer{PodName: "coder"}, If: store.Exists}},
	{`{"pod":"planner","op":"remove_peer","peer":"a/b","if":"skip_missing"}`, store.Change{Pod: "planner", Op: store.RemovePeer{PodName: "a/b"}, If: store.SkipMissing}},
	{`{"pod":"p","if":"missing"}`, store.Change{Pod: "p", If: store.Missing}},
	{`{"pod":"p","op":"delete","if":"7-00000000000000ff"}`, store.Change{Pod: "p", Op: store.Delete{}, If: store.AtRevision(store.Revision{Number: 7, Digest: 255})}},
	{`{"pod":"p","op":"remove"}`, store.Change{Pod: "p", Op: store.Remove{}}},
	{`{"pod":"p","op":"put","metadata":{"pod_name":"p"},"created":1,"changed":1700000000000}`,
		store.Change{Pod: "p", Op: store.Put{Metadata: &store.Metadata{PodName: "p"}, Created: time.UnixMilli(1).UTC(), Changed: time.UnixMilli(1700000000000).UTC()}}},
	{`{"pod":"p","op":"set_active","active":{"session_id":"01020300-0000-0000-0000-000000000000"},"manifest":[1]}`,
		store.Change{Pod: "p", Op: store.SetActive{Active: store.PendingSegment(sampleIDs.session), Manifest: []byte(`[1]`)}}},
	{`{"pod":"p","op":"set_active","active":null,"manifest":null}`, store.Change{Pod: "p", Op: store.SetActive{}}},
	{`{"pod":"p","op":"set_segment","active":{"session_id":"01020300-0000-0000-0000-000000000000","segment_id":"04050600-0000-0000-0000-000000000000"}}`,
		store.Change{Pod: "p", Op: store.SetSegment{Active: store.ActiveIn(sampleIDs.session, sampleIDs.segment)}}},
	{`{"pod":"p","op":"set_children","children":[{"pod_name":"c","socket_path":"s","scope_delegated":[{"target":"t","permission":"read","recursive":false}],"callback_address":""}]}`,
		store.Change{Pod: "p", Op: store.SetChildren{Children: []store.SpawnedChild{{PodName: "c", SocketPath: "s", ScopeDelegated: []store.ScopeRule{{Target: "t", Permission: "read"}}}}}}},
	{`{"pod":"p","op":"set_children","children":[]}`, store.Change{Pod: "p", Op: store.SetChildren{}}},
	{`{"pod":"p","op":"add_child","child":{"pod_name":"c","socket_path":"","scope_delegated":[],"callback_address":"b"}}`,
		store.Change{Pod: "p", Op: store.AddChild{Child: store.SpawnedChild{PodName: "c", CallbackAddress: "b"}}}},
	{`{"pod":"p","op":"remove_child","child":"c"}`, store.Change{Pod: "p", Op: store.RemoveChild{PodName: "c"}}},
	{`{"pod":"p","op":"set_peers","peers":[{"pod_name":"b"},{"pod_name":"a"}]}`, store.Change{Pod: "p", Op: store.SetPeers{Peers: []store.Peer{{PodName: "b"}, {PodName: "a"}}}}},
	{`{"pod":"p","op":"reclaim","reclaimed":[{"pod_name":"c","scope_delegated":[]}]}`, store.Change{Pod: "p", Op: store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: "c"}}}}},
	{`{"pod":"p","op":"trim_reclaimed","keep":3}`, store.Change{Pod: "p", Op: store.TrimReclaimed{Keep: 3}}},
	{`{"pod":"p","op":"set_field","field":"workspace_id","value":null}`, store.Change{Pod: "p", Op: store.SetField{Field: "workspace_id", Value: []byte("null")}}},
	{`{"pod":"p","op":"clear_field","field":""}`, store.Change{Pod: "p", Op: store.ClearField{}}},
}

func TestChangeJSON(t *testing.T) {
	ops := map[string]bool{}
	var all []store.Change
	text := ""
	for _, c := range changeLines {
		if got := string(AppendChange(nil, c.change)); got != c.line {
			t.Errorf("AppendChange:\n%s, want\n%s", got, c.line)
		}
		got, err := DecodeChanges([]byte(c.line), 0)
		if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], c.change) {
			t.Errorf("%s: %#v, %v", c.line, got, err)
		}
		prepared, err := store.Prepare([]store.Change{c.change})
		if err != nil || !reflect.DeepEqual(prepared[0], c.change) {
			t.Errorf("%s is not in normal form: %#v, %v", c.line, prepared, err)
		}
		if c.change.Op != nil {
			ops[c.change.Op.Name()] = true
		}
		all = append(all, c.change)
		text += c.line + "\n"
	}
	for name := range operations {
		if name != "" && !ops[name] {
			t.Errorf("operation %q is not tested", name)
		}
	}
	if got := string(AppendChanges(nil, all)); got != text {
		t.Errorf("AppendChanges:\n%s", got)
	}
	got, err := DecodeChanges([]byte(text), len(all))
	if err != nil || !reflect.DeepEqual(got, all) {
		t.Errorf("DecodeChanges: %v, %v", got, err)
	}
	if _, err := DecodeChanges([]byte(text), len(all)-1); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("more changes than the limit: %v", err)
	}
}

// The members of a change may come in any order, and a document inside may have all
// the depth that it has alone.
func TestChangeAccepted(t *testing.T) {
	deepest := strings.Repeat("[", store.MaxValueDepth) + strings.Repeat("]", store.MaxValueDepth)
	for text, want := range map[string]store.Change{
		"\n {\"if\" : \"exists\", \"peer\":\"\\u0061\",\n \"op\":\"add_peer\", \"pod\":\"p\"}":            {Pod: "p", Op: store.AddPeer{PodName: "a"}, If: store.Exists},
		`{"pod":"p","op":"put","metadata":{"resolved_manifest_snapshot":` + deepest + `,"pod_name":"p"}}`: {Pod: "p", Op: store.Put{Metadata: &store.Metadata{PodName: "p", Manifest: []byte(deepest)}}},
		`{"pod":"p","op":"set_field","field":"x","value":{"b": 1, "a": 2}}`:                               {Pod: "p", Op: store.SetField{Field: "x", Value: []byte(`{"a":2,"b":1}`)}},
		`{"pod":"p","op":"trim_reclaimed","keep":-1}`:                                                     {Pod: "p", Op: store.TrimReclaimed{Keep: -1}},
		`{"pod":"","op":"delete"}`: {Op: store.Delete{}},
		`{"pod":"p"}`:              {Pod: "p"},
	} {
		got, err := DecodeChanges([]byte(text), 1)
		if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Errorf("%s: %#v, %v", text, got, err)
		}
	}
	if got, err := DecodeChanges([]byte(" \n"), 1); len(got) != 0 || err != nil {
		t.Errorf("nothing: %v, %v", got, err)
	}
}

func TestChangeRefused(t *testing.T) {
	for text, want := range map[string]string{
		`{"pod":"p","op":"delete","if":"exists"} {"op":"delete"}`:               `decode line 1 column 55: invalid: missing field "pod" in a change of operation delete`,
		"{\"pod\":\"p\",\"op\":\"delete\"}\n{\"pod\":\"q\",\"op\":\"destroy\"}": `decode pod "q" line 2 column 17: invalid: unknown operation "destroy"`,
		`{"pod":"p","op":""}`:                               `unknown operation ""`,
		`{"pod":"p","op":"delete","peer":"x"}`:              `column 26: invalid: field "peer" has no meaning in a change of operation delete`,
		`{"pod":"p","peer":"x"}`:                            `column 12: invalid: field "peer" has no meaning in a change without an operation`,
		`{"pod":"p","op":"add_peer"}`:                       `column 27: invalid: missing field "peer" in a change of operation add_peer`,
		`{"pod":"p","op":"set_active","active":null}`:       `missing field "manifest" in a change of operation set_active`,
		`{"pod":"p","op":"add_peer","peer":"x","peer":"x"}`: `column 39: invalid: duplicate field "peer"`,
		`{"pod":"p","op":"add_peer","Peer":"x"}`:            `column 28: invalid: unknown field "Peer" in a change`,
		`{"pod":"p","op":"add_child","child":"x"}`:          `column 29: invalid: child: expected an object in add_child, a name in remove_child`,
		`{"pod":"p","op":"remove_child","child":{"pod_name":"x","socket_path":"","scope_delegated":[],"callback_address":""}}`: `column 32: invalid: child: expected an object in add_child`,
		`{"pod":"p","op":"add_child","child":{"pod_name":"x"}}`:                                                                `missing field "socket_path" in a spawned child`,
		`{"pod":"p","op":"delete","if":""}`:                                                                                    `column 31: invalid: if: the condition is empty`,
		`{"pod":"p","op":"delete","if":"0x1"}`:                                                                                 `column 31: invalid: "0x1" is no condition`,
		`{"pod":"p","op":"delete","if":null}`:                                                                                  `if: expected a string, found null`,
		`{"pod":"p","op":"trim_reclaimed","keep":1.5}`:                                                                         `keep: expected a whole number`,
		`{"pod":"p","op":"trim_reclaimed","keep":99999999999999999999}`:                                                        `keep: expected a whole number`,
		`{"pod":"p","op":"put","metadata":{}}`:                                                                                 `missing field "pod_name"`,
		`{"pod":"p","op":"put","metadata":{"pod_name":"p"},"created":9999999999999999}`:                                        `created: 9999999999999999 is out of range`,
		`{"pod":"p","op":"add_peer","peer":"` + "\xff" + `"}`:                                                                  `not UTF-8`,
		`{"pod":"p","op":"set_field","field":"x","value":` + strings.Repeat("[", 200):                                          `too deep`,
		`{"pod":"p","op":"delete"}]`:                                                                                           `column 26: invalid: expected the end of the document, found ']'`,
		`[]`:                                                                                                                   `a change: expected an object, found an array`,
		`{"pod":"p","op":"delete"`:                                                                                             `unexpected end of input`,
	} {
		got, err := DecodeChanges([]byte(text), 0)
		if err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, store.ErrInvalid) || got != nil {
			t.Errorf("%s:\n%v, %v; want %s", text, got, err, want)
		}
	}
}

// A time that is out of range is written as the last that can be read: both are in
// the future, which counts as now.
func TestChangeTimesAreClamped(t *testing.T) {
	for _, at := range []time.Time{time.Unix(math.MaxInt64/4000, 0), time.Unix(math.MinInt64/4000, 0)} {
		c := store.Change{Pod: "p", Op: store.Put{Metadata: &store.Metadata{PodName: "p"}, Created: at}}
		if _, err := DecodeChanges(AppendChange(nil, c), 1); err != nil {
			t.Errorf("%v: %v", at, err)
		}
	}
}

func TestPodJSON(t *testing.T) {
	m := samplePod()
	version := store.Version{Revision: store.Revision{Number: 3, Digest: 9}, Created: time.UnixMilli(1000).UTC(), Changed: time.UnixMilli(2000).UTC()}
	m.Version = version
	for _, p := range []store.Applied{
		{Pod: "planner", Version: version, Metadata: m},
		{Pod: "gone", Version: store.Version{Revision: store.Revision{Number: 4}}},
		{Pod: "never"},
	} {
		line := AppendPod(nil, p)
		got, err := DecodePod(line)
		if err != nil || !reflect.DeepEqual(got, p) {
			t.Errorf("%s: %#v, %v", line, got, err)
		}
		if strings.ContainsAny(string(line), "\n") {
			t.Errorf("%s: more than one line", line)
		}
	}
	if got, want := string(AppendPod(nil, store.Applied{Pod: "p", Version: version})), `{"pod":"p","revision":"3-0000000000000009","created":1000,"changed":2000}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for text, want := range map[string]string{
		`{}`:                                `missing field "pod"`,
		`{"pod":"p","pod":"p"}`:             `duplicate field "pod"`,
		`{"pod":"p","x":1}`:                 `unknown field "x" in a Pod`,
		`{"pod":"p","revision":"1"}`:        `column 23: invalid: "1" is no revision`,
		`{"pod":"p","metadata":null}`:       `metadata: expected an object, found null`,
		`{"pod":"p"} {}`:                    `expected the end`,
		`{"pod":"p","created":"yesterday"}`: `created: expected a number`,
	} {
		if _, err := DecodePod([]byte(text)); err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// What is large goes through unchanged, in a line that is not the first.
func TestAppendLineOfALargeManifest(t *testing.T) {
	m := samplePod()
	m.Manifest = []byte(`"` + strings.Repeat("x", 1<<20) + `"`)
	m.Extra = map[string]json.RawMessage{"later": []byte(`"` + strings.Repeat("y", 1<<20) + `"`)}
	line := AppendLine([]byte("before"), m)
	if got, err := Decode(line[len("before"):]); err != nil || string(line[:6]) != "before" || !got.Equal(m) {
		t.Errorf("%d bytes are read as something else: %v", len(line), err)
	}
}

// A line has what the document has.
func TestAppendLine(t *testing.T) {
	line := AppendLine(nil, samplePod())
	m, err := Decode(line)
	if err != nil || !m.Equal(samplePod()) {
		t.Errorf("%s: %v", line, err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, line); err != nil || compact.String() != string(line) {
		t.Errorf("%s has space in it, %v", line, err)
	}
}

// What is read of a change is what is written of it, and what is written is read.
func FuzzChanges(f *testing.F) {
	for _, c := range changeLines {
		f.Add([]byte(c.line))
	}
	f.Add(AppendChange(nil, store.Change{Pod: "planner", Op: store.Put{Metadata: samplePod()}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		changes, err := DecodeChanges(data, 16)
		if err != nil {
			if !errors.Is(err, store.ErrInvalid) || changes != nil {
				t.Fatalf("%v, %v", changes, err)
			}
			return
		}
		line := AppendChanges(nil, changes)
		again, err := DecodeChanges(line, 0)
		if err != nil || !reflect.DeepEqual(changes, again) {
			t.Fatalf("%s\n%#v\n%#v\n%v", line, changes, again, err)
		}
		if len(changes) == 0 {
			return
		}
		if prepared, err := store.Prepare(changes); err == nil && string(AppendChanges(nil, prepared)) != string(line) {
			t.Fatalf("prepared it is\n%s, and read\n%s", AppendChanges(nil, prepared), line)
		}
	})
}

func FuzzPod(f *testing.F) {
	f.Add(AppendPod(nil, store.Applied{Pod: "planner", Metadata: samplePod()}))
	f.Add([]byte(`{"pod":"p","revision":"3-0000000000000009","created":1000,"changed":2000}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := DecodePod(data)
		if err != nil {
			return
		}
		line := AppendPod(nil, p)
		if again, err := DecodePod(line); err != nil || !reflect.DeepEqual(p, again) {
			t.Fatalf("%s\n%#v\n%#v\n%v", line, p, again, err)
		}
	})
}
