package store_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"podstore/store"
)

// whole has something in every field, in normal form.
func whole() *store.Metadata {
	return &store.Metadata{
		PodName: "agent",
		Active:  store.ActiveIn(store.SessionID{1}, store.SegmentID{2}),
		Children: []store.SpawnedChild{
			{PodName: "worker", SocketPath: "/s", ScopeDelegated: []store.ScopeRule{{Target: "/t", Permission: "write", Recursive: true}}, CallbackAddress: "/c"},
			{PodName: "auditor"},
		},
		Reclaimed: []store.ReclaimedChild{{PodName: "past", ScopeDelegated: []store.ScopeRule{{Target: "/t"}}}},
		Peers:     []store.Peer{{PodName: "b"}, {PodName: "a"}},
		Manifest:  json.RawMessage(`{"a":1}`),
		Extra:     map[string]json.RawMessage{"future": json.RawMessage(`[1]`), "": json.RawMessage(`null`)},
	}
}

// changes are single differences to whole, by the field that Diff names.
var changes = []struct {
	field  string
	change func(m *store.Metadata)
}{
	{"pod_name", func(m *store.Metadata) { m.PodName = "other" }},
	{"active", func(m *store.Metadata) { m.Active = nil }},
	{"active", func(m *store.Metadata) { m.Active.SessionID[15]++ }},
	{"active", func(m *store.Metadata) { m.Active.SegmentID[15]++ }},
	{"active", func(m *store.Metadata) { m.Active.SegmentID = nil }},
	{"spawned_children", func(m *store.Metadata) { m.Children = m.Children[:1] }},
	{"spawned_children", func(m *store.Metadata) { m.Children[1].PodName = "x" }},
	{"spawned_children", func(m *store.Metadata) { m.Children[0].SocketPath = "x" }},
	{"spawned_children", func(m *store.Metadata) { m.Children[0].CallbackAddress = "x" }},
	{"spawned_children", func(m *store.Metadata) { m.Children[0].ScopeDelegated = nil }},
	{"spawned_children", func(m *store.Metadata) { m.Children[0].ScopeDelegated[0].Recursive = false }},
	{"spawned_children", func(m *store.Metadata) { m.Children[0], m.Children[1] = m.Children[1], m.Children[0] }},
	{"reclaimed_children", func(m *store.Metadata) { m.Reclaimed = nil }},
	{"reclaimed_children", func(m *store.Metadata) { m.Reclaimed[0].PodName = "x" }},
	{"reclaimed_children", func(m *store.Metadata) { m.Reclaimed[0].ScopeDelegated[0].Permission = "x" }},
	{"peers", func(m *store.Metadata) { m.Peers[0].PodName = "x" }},
	{"peers", func(m *store.Metadata) { m.Peers = append(m.Peers, store.Peer{}) }},
	{"resolved_manifest_snapshot", func(m *store.Metadata) { m.Manifest = nil }},
	{"resolved_manifest_snapshot", func(m *store.Metadata) { m.Manifest[5] = '2' }},
	{"future", func(m *store.Metadata) { m.Extra["future"][1] = '2' }},
	{"future", func(m *store.Metadata) { delete(m.Extra, "future") }},
	{"new", func(m *store.Metadata) { m.Extra["new"] = json.RawMessage("1") }},
	{`""`, func(m *store.Metadata) { delete(m.Extra, "") }},
}

func TestDiffNamesTheFirstFieldThatDiffers(t *testing.T) {
	if field := whole().Diff(whole()); field != "" || !whole().Equal(whole()) {
		t.Errorf("equal metadata differs in %q", field)
	}
	for _, c := range changes {
		m := whole()
		c.change(m)
		for _, pair := range [][2]*store.Metadata{{m, whole()}, {whole(), m}} {
			if field := pair[0].Diff(pair[1]); field != c.field {
				t.Errorf("Diff: got %q, want %q", field, c.field)
			}
			if pair[0].Equal(pair[1]) {
				t.Errorf("metadata that differs in %q is equal", c.field)
			}
		}
	}
}

func TestDiffNamesTheFirstOfSeveral(t *testing.T) {
	m := &store.Metadata{}
	for _, field := range []string{
		"pod_name", "active", "spawned_children", "reclaimed_children", "peers", "resolved_manifest_snapshot", `""`, "future",
	} {
		if got := m.Diff(whole()); got != field {
			t.Errorf("Diff: got %q, want %q", got, field)
		}
		switch w := whole(); field {
		case "pod_name":
			m.PodName = w.PodName
		case "active":
			m.Active = w.Active
		case "spawned_children":
			m.Children = w.Children
		case "reclaimed_children":
			m.Reclaimed = w.Reclaimed
		case "peers":
			m.Peers = w.Peers
		case "resolved_manifest_snapshot":
			m.Manifest = w.Manifest
		case `""`:
			m.Extra = map[string]json.RawMessage{"": w.Extra[""]}
		case "future":
			m.Extra = w.Extra
		}
	}
	if got := m.Diff(whole()); got != "" {
		t.Errorf("Diff: got %q", got)
	}
}

func TestDiffTakesEmptyListsForNone(t *testing.T) {
	a := &store.Metadata{PodName: "a"}
	b := &store.Metadata{
		PodName: "a", Children: []store.SpawnedChild{}, Reclaimed: []store.ReclaimedChild{}, Peers: []store.Peer{},
		Manifest: json.RawMessage{}, Extra: map[string]json.RawMessage{},
	}
	if field := a.Diff(b); field != "" {
		t.Errorf("Diff: got %q", field)
	}
	a.Active, b.Active = store.PendingSegment(store.SessionID{1}), store.PendingSegment(store.SessionID{1})
	if field := a.Diff(b); field != "" {
		t.Errorf("Diff: got %q", field)
	}
}

func TestCloneSharesNothing(t *testing.T) {
	for _, c := range changes {
		m := whole()
		clone := m.Clone()
		if !reflect.DeepEqual(clone, m) {
			t.Fatalf("Clone: got %+v, want %+v", clone, m)
		}
		c.change(m)
		if !reflect.DeepEqual(clone, whole()) {
			t.Errorf("a change of %s reaches the clone", c.field)
		}
	}
	for _, m := range []*store.Metadata{
		{PodName: "a"},
		{PodName: "a", Active: store.PendingSegment(store.SessionID{1})},
		{Peers: []store.Peer{}, Extra: map[string]json.RawMessage{"x": nil}},
	} {
		if clone := m.Clone(); !reflect.DeepEqual(clone, m) {
			t.Errorf("Clone: got %#v, want %#v", clone, m)
		}
	}
}

func TestActiveSegmentConstructors(t *testing.T) {
	segment := store.SegmentID{2}
	active := store.ActiveIn(store.SessionID{1}, segment)
	if active.SessionID != (store.SessionID{1}) || *active.SegmentID != segment {
		t.Errorf("ActiveIn: %v", active)
	}
	if pending := store.PendingSegment(store.SessionID{1}); pending.SessionID != (store.SessionID{1}) || pending.SegmentID != nil {
		t.Errorf("PendingSegment: %v", pending)
	}
}

func TestNormalizeBringsNormalForm(t *testing.T) {
	m := &store.Metadata{
		PodName:   "agent",
		Children:  []store.SpawnedChild{{PodName: "a/b", ScopeDelegated: []store.ScopeRule{}}},
		Reclaimed: []store.ReclaimedChild{{PodName: "", ScopeDelegated: []store.ScopeRule{}}},
		Peers:     []store.Peer{},
		Manifest:  json.RawMessage(" { \"b\" : 1e0, \"a\" : [ ] } "),
		Extra:     map[string]json.RawMessage{"future": json.RawMessage(" null ")},
	}
	if err := m.Normalize(); err != nil {
		t.Fatal(err)
	}
	want := &store.Metadata{
		PodName:   "agent",
		Children:  []store.SpawnedChild{{PodName: "a/b"}},
		Reclaimed: []store.ReclaimedChild{{}},
		Manifest:  json.RawMessage(`{"a":[],"b":1.0}`),
		Extra:     map[string]json.RawMessage{"future": json.RawMessage("null")},
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("Normalize: got %#v, want %#v", m, want)
	}
	m = &store.Metadata{PodName: "agent", Children: []store.SpawnedChild{}, Reclaimed: []store.ReclaimedChild{}, Extra: map[string]json.RawMessage{}}
	for _, none := range []string{"", "null", " null\n"} {
		m.Manifest = json.RawMessage(none)
		if err := m.Normalize(); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(m, &store.Metadata{PodName: "agent"}) {
			t.Errorf("Normalize with manifest %q: got %#v", none, m)
		}
	}
}

func TestNormalizeTwiceIsNormalizeOnce(t *testing.T) {
	m := whole()
	if err := m.Normalize(); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(m, whole()) {
		t.Errorf("normal form was changed: %#v", m)
	}
}

func TestNormalizeGivesJSONItsOwnMemory(t *testing.T) {
	manifest, future := []byte(`{"a":1}`), []byte(`[1]`)
	m := &store.Metadata{PodName: "agent", Manifest: manifest, Extra: map[string]json.RawMessage{"future": future}}
	extra := m.Extra
	if err := m.Normalize(); err != nil {
		t.Fatal(err)
	}
	manifest[0], future[0] = '#', '#'
	extra["new"] = nil
	if string(m.Manifest) != `{"a":1}` || string(m.Extra["future"]) != `[1]` || len(m.Extra) != 1 {
		t.Errorf("what Normalize was given reaches the result: %s, %s", m.Manifest, m.Extra)
	}
}

func TestNormalizeNamesWhatBreaksARule(t *testing.T) {
	const bad = "\xff"
	deep := json.RawMessage(strings.Repeat("[", store.MaxValueDepth+1) + strings.Repeat("]", store.MaxValueDepth+1))
	rules := []store.ScopeRule{{Target: "/t"}, {Permission: bad}}
	large := json.RawMessage(`"` + strings.Repeat("x", store.MaxValueSize-1) + `"`)
	for _, c := range []struct {
		names string
		m     store.Metadata
	}{
		{"spawned_children[1]", store.Metadata{Children: []store.SpawnedChild{{}, {PodName: bad}}}},
		{"spawned_children[0]", store.Metadata{Children: []store.SpawnedChild{{SocketPath: bad}}}},
		{"spawned_children[0]", store.Metadata{Children: []store.SpawnedChild{{CallbackAddress: bad}}}},
		{"spawned_children[0]", store.Metadata{Children: []store.SpawnedChild{{ScopeDelegated: []store.ScopeRule{{Target: bad}}}}}},
		{"spawned_children[0]", store.Metadata{Children: []store.SpawnedChild{{ScopeDelegated: rules}}}},
		{"reclaimed_children[1]", store.Metadata{Reclaimed: []store.ReclaimedChild{{}, {PodName: bad}}}},
		{"reclaimed_children[0]", store.Metadata{Reclaimed: []store.ReclaimedChild{{ScopeDelegated: rules}}}},
		{"peers[2]", store.Metadata{Peers: []store.Peer{{}, {}, {PodName: bad}}}},
		{"manifest", store.Metadata{Manifest: json.RawMessage("{")}},
		{"manifest", store.Metadata{Manifest: deep}},
		{"manifest", store.Metadata{Manifest: large}},
		{`"future"`, store.Metadata{Extra: map[string]json.RawMessage{"future": json.RawMessage("{")}}},
		{`"future"`, store.Metadata{Extra: map[string]json.RawMessage{"future": nil}}},
		{`"future"`, store.Metadata{Extra: map[string]json.RawMessage{"future": deep}}},
		{`"\xff"`, store.Metadata{Extra: map[string]json.RawMessage{bad: json.RawMessage("1")}}},
		{`"peers"`, store.Metadata{Extra: map[string]json.RawMessage{"peers": json.RawMessage("[]")}}},
		{"unknown fields", store.Metadata{Extra: map[string]json.RawMessage{"a": large}}},
	} {
		c.m.PodName = "agent"
		err := c.m.Normalize()
		if !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: got error %v, want one that matches ErrInvalid", c.names, err)
			continue
		}
		if !strings.Contains(err.Error(), c.names) || !strings.Contains(err.Error(), `pod "agent"`) {
			t.Errorf("error %q does not name %s and the Pod", err, c.names)
		}
		if len(err.Error()) > 1000 {
			t.Errorf("%s: the error has %d bytes", c.names, len(err.Error()))
		}
	}
	m := whole()
	m.PodName = "a/b"
	if err := m.Normalize(); !errors.Is(err, store.ErrInvalidName) {
		t.Errorf("bad name: got error %v", err)
	}
}

func TestNormalizeAcceptsTheLimits(t *testing.T) {
	m := &store.Metadata{
		PodName:  "agent",
		Manifest: json.RawMessage(strings.Repeat("[", store.MaxValueDepth) + strings.Repeat("]", store.MaxValueDepth)),
		Extra:    map[string]json.RawMessage{"x": json.RawMessage(`"` + strings.Repeat("x", store.MaxValueSize-3) + `"`)},
	}
	if err := m.Normalize(); err != nil {
		t.Error(err)
	}
	m.Manifest = json.RawMessage(`  "` + strings.Repeat("x", store.MaxValueSize-2) + `"  `)
	m.Extra = nil
	if err := m.Normalize(); err != nil {
		t.Error(err)
	}
}

func TestIsFieldName(t *testing.T) {
	for _, name := range []string{"pod_name", "active", "spawned_children", "reclaimed_children", "peers", "resolved_manifest_snapshot"} {
		if !store.IsFieldName(name) {
			t.Errorf("%s is no field", name)
		}
	}
	for _, name := range []string{"", "Pod_Name", "extra", "manifest", "children", "session_id"} {
		if store.IsFieldName(name) {
			t.Errorf("%s is a field", name)
		}
	}
}
