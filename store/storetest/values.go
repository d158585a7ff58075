package storetest

import (
	"encoding/json"
	"fmt"
	"strings"

	"podstore/store"
)

var valueTests = []test{
	{"a Pod with nothing but its name exists", func(s *subject) {
		s.put(minimal("agent"))
		s.expect(minimal("agent"))
		s.expectNames("agent")
	}},
	{"are returned in normal form", func(s *subject) {
		m := minimal("agent")
		m.Children = []store.SpawnedChild{{PodName: "c", ScopeDelegated: []store.ScopeRule{}}}
		m.Reclaimed = []store.ReclaimedChild{{PodName: "r", ScopeDelegated: []store.ScopeRule{}}}
		m.Peers = []store.Peer{}
		m.Manifest = json.RawMessage(" {\n\"z\": 1e2, \"a\": [ ] }\t")
		m.Extra = map[string]json.RawMessage{"future": json.RawMessage(` { "z" : null, "a" : 1.10 } `)}
		want := minimal("agent")
		want.Children = []store.SpawnedChild{{PodName: "c"}}
		want.Reclaimed = []store.ReclaimedChild{{PodName: "r"}}
		want.Manifest = json.RawMessage(`{"a":[],"z":100.0}`)
		want.Extra = map[string]json.RawMessage{"future": json.RawMessage(`{"a":1.1,"z":null}`)}
		judge := func(how string, got *store.Metadata) {
			if why := mismatch(got, want); why != "" {
				s.Errorf("%s: %s", how, why)
			}
		}
		s.put(m)
		judge("Read", s.get("agent"))
		judge("All", s.all(store.ReadOptions{})["agent"])
		judge("Update", s.update("agent", func(stored *store.Metadata) error {
			judge("edit's argument", stored)
			*stored = *m.Clone()
			return nil
		}))
		judge("Read after Update", s.get("agent"))
		if s.updatesPods() {
			judge("UpdatePods", s.updatePods([]string{"agent"}, func(pods []*store.Metadata) error {
				judge("edit's element", pods[0])
				pods[0] = m.Clone()
				return nil
			})[0])
			judge("Read after UpdatePods", s.get("agent"))
		}
		m.Children, m.Reclaimed, m.Extra = []store.SpawnedChild{}, []store.ReclaimedChild{}, map[string]json.RawMessage{}
		want.Children, want.Reclaimed, want.Extra = nil, nil, nil
		s.put(m)
		judge("Read of what has empty lists", s.get("agent"))
	}},
	{"JSON comes back canonical", func(s *subject) {
		for _, c := range canonical {
			m := minimal("agent")
			m.Manifest = json.RawMessage(c.in)
			m.Extra = map[string]json.RawMessage{"future": json.RawMessage(c.in)}
			s.put(m)
			s.update("updated", func(u *store.Metadata) error {
				u.Manifest, u.Extra = m.Manifest, m.Extra
				return nil
			})
			for _, name := range []string{"agent", "updated"} {
				got := s.get(name)
				if string(got.Manifest) != c.want {
					s.Errorf("manifest %s came back as %s, want %s", c.in, got.Manifest, c.want)
				}
				if string(got.Extra["future"]) != c.want {
					s.Errorf("unknown field %s came back as %s, want %s", c.in, got.Extra["future"], c.want)
				}
			}
		}
	}},
	{"a null manifest means none, and no other value does", func(s *subject) {
		for _, none := range []json.RawMessage{nil, {}, json.RawMessage("null"), json.RawMessage(" null\n")} {
			m := full("agent")
			s.put(m)
			m.Manifest = none
			s.put(m)
			if got := s.get("agent"); got.Manifest != nil {
				s.Errorf("manifest %q came back as %q", none, got.Manifest)
			}
		}
		for _, some := range []string{`false`, `0`, `""`, `[]`, `{}`, `[null]`, `"null"`} {
			m := full("agent")
			m.Manifest = json.RawMessage(some)
			s.put(m)
			s.expect(m)
		}
	}},
	{"a null unknown field is kept", func(s *subject) {
		m := minimal("agent")
		m.Extra = map[string]json.RawMessage{"future": json.RawMessage("null")}
		s.put(m)
		s.expect(m)
	}},
	{"JSON may be nested as deeply as the limit", func(s *subject) {
		m := minimal("agent")
		m.Manifest = nestedJSON(store.MaxValueDepth)
		m.Extra = map[string]json.RawMessage{"future": nestedJSON(store.MaxValueDepth)}
		s.put(m)
		s.expect(m)
		s.update("agent", func(m *store.Metadata) error { return m.AddPeer("peer") })
		m.Peers = []store.Peer{{PodName: "peer"}}
		s.expect(m)
	}},
	{"strings come back as they were", func(s *subject) {
		for i, text := range []string{
			"", " ", "\x00", "a\x00b", "\x01\x1f\x7f", "\u2028\u2029", "<>&", `"\/`, "\r\n\t", "\ufeff", "\ufffd", "\U0010FFFF",
			"e\u0301", "é", "../..", "//", strings.Repeat("日", 30_000),
		} {
			m := minimal(fmt.Sprint("pod-", i))
			rules := []store.ScopeRule{{Target: text, Permission: text, Recursive: i%2 == 0}}
			m.Children = []store.SpawnedChild{{PodName: text, SocketPath: text, ScopeDelegated: rules, CallbackAddress: text}}
			m.Reclaimed = []store.ReclaimedChild{{PodName: text, ScopeDelegated: rules}}
			m.Peers = []store.Peer{{PodName: text}}
			m.Extra = map[string]json.RawMessage{text: json.RawMessage("1")}
			s.put(m)
			s.expect(m)
		}
	}},
	{"the active segment comes back as it was", func(s *subject) {
		session, segment := store.NewSessionID(), store.NewSegmentID()
		for _, active := range []*store.ActiveSegment{
			nil, store.PendingSegment(session), store.ActiveIn(session, segment),
			store.PendingSegment(store.SessionID{}), store.ActiveIn(store.SessionID{}, store.SegmentID{}),
		} {
			m := minimal("agent")
			m.Active = active
			s.put(m)
			s.expect(m)
		}
	}},
	{"a large manifest comes back", func(s *subject) {
		var b strings.Builder
		b.WriteString(`{"entries":["`)
		for i := 0; b.Len() < 1<<20; i++ {
			fmt.Fprintf(&b, `line %d \" 日本語","`, i)
		}
		b.WriteString(`"]}`)
		m := full("agent")
		m.Manifest = json.RawMessage(b.String())
		s.put(m, full("other"))
		s.expect(m, full("other"))
		s.update("agent", func(m *store.Metadata) error { return m.AddPeer("peer") })
		if err := m.AddPeer("peer"); err != nil {
			s.Fatal(err)
		}
		s.expect(m)
		s.put(minimal("agent"))
		s.expect(minimal("agent"), full("other"))
	}},
	{"long lists come back", func(s *subject) {
		m := minimal("agent")
		m.Extra = map[string]json.RawMessage{}
		for i := range 2000 {
			c := full("").Children[i%3]
			c.SocketPath = fmt.Sprintf("/run/%d.sock", i)
			m.Children = append(m.Children, c)
			m.Reclaimed = append(m.Reclaimed, store.ReclaimedChild{PodName: fmt.Sprint("past-", i)})
			m.Peers = append(m.Peers, store.Peer{PodName: fmt.Sprint("peer-", i)})
			m.Extra[fmt.Sprint("future-", i)] = json.RawMessage(fmt.Sprint(i))
		}
		s.put(m)
		s.expect(m)
	}},
	{"growing and shrinking leaves the last", func(s *subject) {
		for i := range 60 {
			m := minimal("agent")
			m.Manifest = json.RawMessage(`"` + strings.Repeat("x", i*i*7%9001) + `"`)
			m.Peers = make([]store.Peer, i*5%13)
			s.put(m)
			s.expect(m)
		}
	}},
}

// memoryTests change what the store returned and what it was given, and check that the
// store does not notice.
var memoryTests = []test{
	{"what Read returned is the caller's", func(s *subject) {
		s.put(full("agent"))
		scribble(s.get("agent"))
		s.expect(full("agent"))
	}},
	{"what List returned is the caller's", func(s *subject) {
		s.put(minimal("a"), minimal("b"))
		names := s.list()
		names[0], names[1] = "?", "?"
		s.expectNames("a", "b")
	}},
	{"what All yielded is the caller's", func(s *subject) {
		s.put(full("a"), full("b"))
		for m := range store.All(background, s.MetadataStore, store.ReadOptions{}) {
			scribble(m)
		}
		s.expect(full("a"), full("b"))
		for _, m := range s.all(store.ReadOptions{OmitManifest: true}) {
			scribble(m)
		}
		s.expect(full("a"), full("b"))
	}},
	{"what Update returned is the caller's", func(s *subject) {
		s.put(full("agent"))
		scribble(s.update("agent", func(*store.Metadata) error { return nil }))
		s.expect(full("agent"))
		got := s.update("agent", func(m *store.Metadata) error { return m.AddPeer("peer-b") })
		want := full("agent")
		if err := want.AddPeer("peer-b"); err != nil {
			s.Fatal(err)
		}
		s.same("Update", got, want)
		scribble(got)
		s.expect(want)
	}},
	{"what edit set is not kept by the store", func(s *subject) {
		s.put(full("agent"))
		set := full("agent")
		set.Peers = nil
		s.update("agent", func(m *store.Metadata) error { *m = *set; return nil })
		scribble(set)
		want := full("agent")
		want.Peers = nil
		s.expect(want)
	}},
	{"what UpdatePods returned and was given is the caller's", func(s *subject) {
		if !s.updatesPods() {
			s.Skip("no UpdatePods")
		}
		s.put(full("a"))
		set := full("b")
		got := s.updatePods([]string{"a", "b"}, func(pods []*store.Metadata) error {
			pods[1] = set
			return pods[0].AddPeer("peer-b")
		})
		want := full("a")
		if err := want.AddPeer("peer-b"); err != nil {
			s.Fatal(err)
		}
		for _, m := range got {
			scribble(m)
		}
		scribble(set)
		s.expect(want, full("b"))
	}},
}
