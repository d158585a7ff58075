package storetest

import (
	"encoding/json"
	"strings"

	"podstore/store"
)

// minimal returns a Pod with a name and nothing else.
func minimal(name string) *store.Metadata { return &store.Metadata{PodName: name} }

// full returns a Pod with something in every field, in normal form. Its lists are in no
// order and repeat names: every store must keep them so.
func full(name string) *store.Metadata {
	rules := []store.ScopeRule{
		{Target: "/srv/data", Permission: "write", Recursive: true},
		{Target: "/srv/日本", Permission: "", Recursive: false},
	}
	return &store.Metadata{
		PodName: name,
		Active:  store.ActiveIn(store.SessionID{1, 2, 3}, store.SegmentID{4, 5, 6}),
		Children: []store.SpawnedChild{
			{PodName: "worker", SocketPath: "/run/worker.sock", ScopeDelegated: rules, CallbackAddress: "/run/parent.sock"},
			{PodName: "auditor", SocketPath: "", CallbackAddress: "line\nbreak \"quoted\" \\ \u2028"},
			{PodName: "worker", SocketPath: "/run/worker-2.sock", ScopeDelegated: rules[:1], CallbackAddress: "/run/parent.sock"},
		},
		Reclaimed: []store.ReclaimedChild{
			{PodName: "past", ScopeDelegated: rules[1:]},
			{PodName: "past"},
		},
		Peers:    []store.Peer{{PodName: "peer-c"}, {PodName: "peer-a"}, {PodName: "peer-c"}},
		Manifest: json.RawMessage(`{"float":1.5,"list":[null,true,"\u0000"],"pod":{"name":"` + strings.ToValidUTF8(plain(name), "") + `"}}`),
		Extra: map[string]json.RawMessage{
			"":             json.RawMessage(`""`),
			"a future one": json.RawMessage(`{"since":2}`),
			"nothing":      json.RawMessage(`null`),
			"Pod_Name":     json.RawMessage(`"not the known field"`),
		},
	}
}

// plain returns the characters of a name that need no escape in JSON.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == '"' || r == '\\' {
			return '-'
		}
		return r
	}, name)
}

// oddNames are valid Pod names. Each is a trap for some way of keeping Pods. They are
// in no order, and their order by bytes differs from that by UTF-16 or by letters.
var oddNames = []string{
	"日本語", "line\nbreak", "-dash", `back\slash`, "...", ".hidden", " ", " lead", "trail ",
	"a", "a ", "A", "aa", "a\x01", "a.b", "ab", "Z", "z", "é", "e\u0301", "\uffee", "\U0001F600",
	"metadata.json", ".metadata.json", "metadata.json.tmp", "..data", "a..", "~", "*", "?", "a:b", "%2e%2e", "$HOME",
	"podstore", "extra", "peers", "\x7f", "\ufffd", `"quoted"`, "null", "tab\there",
	strings.Repeat("n", store.MaxNameLen), strings.Repeat("語", store.MaxNameLen/3), strings.Repeat("n", 200),
}

// badNames are names that no Pod can have.
var badNames = []string{
	"", ".", "..", "/", "a/b", "/a", "a/", "../a", "../../etc/passwd", "a/../../b", "/podstore",
	"\x00", "a\x00b", "\xff", "a\xc3", "\xed\xa0\x80", strings.Repeat("n", store.MaxNameLen+1),
}

// nestedJSON returns n nested containers.
func nestedJSON(n int) json.RawMessage {
	return json.RawMessage(strings.Repeat("[", n) + strings.Repeat("]", n))
}

// knownFields are names that no unknown field can have.
var knownFields = append([]string{"pod_name", "worker_name"}, store.FieldNames()...)

// spoiled are metadata that break a rule of Normalize, each in its own way.
var spoiled = func() []spoiler {
	const bad = "\xff"
	list := []spoiler{
		{"a child's name is not UTF-8", func(m *store.Metadata) { m.Children = []store.SpawnedChild{{PodName: bad}} }},
		{"a socket path is not UTF-8", func(m *store.Metadata) { m.Children = []store.SpawnedChild{{PodName: "c", SocketPath: bad}} }},
		{"a callback address is not UTF-8", func(m *store.Metadata) { m.Children = []store.SpawnedChild{{PodName: "c", CallbackAddress: bad}} }},
		{"a child's target is not UTF-8", func(m *store.Metadata) {
			m.Children = []store.SpawnedChild{{PodName: "c"}, {PodName: "c", ScopeDelegated: []store.ScopeRule{{Target: bad}}}}
		}},
		{"a child's permission is not UTF-8", func(m *store.Metadata) {
			m.Children = []store.SpawnedChild{{PodName: "c", ScopeDelegated: []store.ScopeRule{{Permission: bad}}}}
		}},
		{"a reclaimed name is not UTF-8", func(m *store.Metadata) { m.Reclaimed = []store.ReclaimedChild{{PodName: bad}} }},
		{"a reclaimed target is not UTF-8", func(m *store.Metadata) {
			m.Reclaimed = []store.ReclaimedChild{{PodName: "c", ScopeDelegated: []store.ScopeRule{{Target: bad}}}}
		}},
		{"a reclaimed permission is not UTF-8", func(m *store.Metadata) {
			m.Reclaimed = []store.ReclaimedChild{{PodName: "c", ScopeDelegated: []store.ScopeRule{{Permission: bad}}}}
		}},
		{"a peer's name is not UTF-8", func(m *store.Metadata) { m.Peers = []store.Peer{{PodName: "p"}, {PodName: bad}} }},
		{"an unknown field's name is not UTF-8", func(m *store.Metadata) { setExtra(m, bad, `1`) }},
		{"an unknown field has no value", func(m *store.Metadata) { setExtra(m, "future", ``) }},
		{"an unknown field is no JSON", func(m *store.Metadata) { setExtra(m, "future", `{"a":}`) }},
		{"an unknown field is nested too deeply", func(m *store.Metadata) { setExtra(m, "future", string(nestedJSON(store.MaxValueDepth+1))) }},
		{"the manifest is nested too deeply", func(m *store.Metadata) { m.Manifest = nestedJSON(store.MaxValueDepth + 1) }},
	}
	for _, field := range knownFields {
		list = append(list, spoiler{"the known field " + field + " stands among the unknown", func(m *store.Metadata) { setExtra(m, field, `1`) }})
	}
	for _, manifest := range []string{
		` `, `{`, `{"a":1,}`, `{"a":1}}`, `1 2`, `01`, `1.`, `+1`, `NaN`, `1e400`, `nul`, `Null`, "{'a':1}", `{a:1}`, "// 1\n1",
		`"`, `"\ud800"`, `"\x"`, "\"\n\"", "\"\xff\"", "\ufeff1", "[1]\x00",
	} {
		list = append(list, spoiler{"the manifest is " + manifest, func(m *store.Metadata) { m.Manifest = json.RawMessage(manifest) }})
	}
	return list
}()

type spoiler struct {
	what  string
	spoil func(m *store.Metadata)
}

func setExtra(m *store.Metadata, name, value string) {
	extra := map[string]json.RawMessage{name: json.RawMessage(value)}
	for k, v := range m.Extra {
		if k != name {
			extra[k] = v
		}
	}
	m.Extra = extra
}

// canonical maps JSON as a caller may write it to its canonical compact form.
var canonical = []struct{ in, want string }{
	{"0", "0"}, {"-0", "-0.0"}, {"-0.0", "-0.0"}, {"1e0", "1.0"}, {"1.50", "1.5"}, {"100e-2", "1.0"},
	{"9007199254740993", "9007199254740993"}, {"9007199254740993.0", "9007199254740992.0"},
	{"18446744073709551615", "18446744073709551615"}, {"18446744073709551616", "1.8446744073709552e+19"},
	{"-9223372036854775808", "-9223372036854775808"}, {"-9223372036854775809", "-9.223372036854776e+18"},
	{"1e15", "1000000000000000.0"}, {"1e16", "1e+16"}, {"0.00001", "0.00001"}, {"1e-6", "1e-6"}, {"5e-324", "5e-324"}, {"1e-400", "0.0"},
	{"1.7976931348623157e308", "1.7976931348623157e+308"},
	{" false ", "false"}, {"\t[ ]\n", "[]"}, {"{ }", "{}"}, {`""`, `""`},
	{`{"b":1, "a":2, "b":3}`, `{"a":2,"b":3}`},
	{`{"é":1,"z":2,"Z":3,"":4,"😀":5,"�":6}`, `{"":4,"Z":3,"z":2,"é":1,"�":6,"😀":5}`},
	{`"\u0041\/\u00e9\ud83d\ude00<>&` + "\u2028\x7f" + `"`, `"A/é😀<>&` + "\u2028\x7f" + `"`},
	{`"\b\t\n\f\r\u0000\u001F\"\\"`, `"\b\t\n\f\r\u0000\u001f\"\\"`},
	{`{"\u0061":{"y":[1,{"d":1,"c":2}],"x":null}}`, `{"a":{"x":null,"y":[1,{"c":2,"d":1}]}}`},
}

// peer is the operation that most tests use: any name will do for it.
func peer(name string) store.Op { return store.AddPeer{PodName: name} }

// withPeers returns a Pod that has only peers.
func withPeers(pod string, names ...string) *store.Metadata {
	m := minimal(pod)
	m.Peers = peers(names...)
	return m
}
