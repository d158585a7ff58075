package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"podstore/store"
)

var writeTests = []test{
	{"creates the Pod", func(s *subject) {
		s.put(full("agent"), minimal("bare"))
		s.expect(full("agent"), minimal("bare"))
		s.expectNames("agent", "bare")
	}},
	{"replaces everything that is kept of the Pod", func(s *subject) {
		s.put(full("agent"), full("other"))
		s.put(minimal("agent"))
		s.expect(minimal("agent"), full("other"))
		s.put(full("agent"))
		s.expect(full("agent"), full("other"))
	}},
	{"replaces each field", func(s *subject) {
		for field, empty := range clearings {
			s.put(full("agent"))
			m := full("agent")
			empty(m)
			s.put(m)
			if why := mismatch(s.get("agent"), m); why != "" {
				s.Errorf("without %s: %s", field, why)
			}
		}
	}},
	{"the same again is a success", func(s *subject) {
		s.put(full("agent"))
		s.put(full("agent"))
		s.expect(full("agent"))
		s.expectNames("agent")
	}},
	{"does not change m", func(s *subject) {
		given := func() *store.Metadata {
			m := full("agent")
			m.Manifest = json.RawMessage(` { "b" : 1.50, "a" : 2 } `)
			m.Children = []store.SpawnedChild{{PodName: "c", ScopeDelegated: []store.ScopeRule{}}}
			m.Peers = []store.Peer{}
			setExtra(m, "future", ` [ 1 ] `)
			return m
		}
		m := given()
		s.put(m)
		if !reflect.DeepEqual(m, given()) {
			s.Errorf("Write changed what it was given: %s", show(m, ""))
		}
		s.expect(given())
	}},
	{"does not keep m", func(s *subject) {
		m := full("agent")
		s.put(m)
		scribble(m)
		s.expect(full("agent"))
	}},
	{"refuses what breaks a rule", func(s *subject) {
		s.put(full("agent"))
		for _, sp := range spoiled {
			for _, name := range []string{"agent", "newcomer"} {
				s.unchanged("Write where "+sp.what, func() {
					m := full(name)
					sp.spoil(m)
					s.is("Write where "+sp.what, store.Write(background, s, m), store.ErrInvalid)
				})
			}
		}
	}},
}

// Each of clearings empties one field.
var clearings = map[string]func(*store.Metadata){
	"active":                     func(m *store.Metadata) { m.Active = nil },
	"active.segment_id":          func(m *store.Metadata) { m.Active.SegmentID = nil },
	"spawned_children":           func(m *store.Metadata) { m.Children = nil },
	"reclaimed_children":         func(m *store.Metadata) { m.Reclaimed = nil },
	"peers":                      func(m *store.Metadata) { m.Peers = nil },
	"resolved_manifest_snapshot": func(m *store.Metadata) { m.Manifest = nil },
	"extra":                      func(m *store.Metadata) { m.Extra = nil },
	"one of extra":               func(m *store.Metadata) { delete(m.Extra, "nothing") },
}

var readTests = []test{
	{"returns what was written", func(s *subject) {
		s.put(full("agent"))
		s.expect(full("agent"))
		s.expect(full("agent"))
	}},
	{"of a missing Pod gives ErrNotFound and names it", func(s *subject) {
		s.put(full("agent"))
		for _, name := range []string{"agen", "agent2", "agent ", "AGENT", "active", "agent\n"} {
			m, err := s.Read(background, name)
			s.is("Read", err, store.ErrNotFound)
			var e *store.Error
			if !errors.As(err, &e) || e.Pod != name {
				s.Errorf("Read: error %v is no *store.Error that names Pod %q", err, name)
			}
			if m != nil {
				s.Errorf("Read gives metadata together with %v", err)
			}
			s.absent(name)
		}
	}},
}

var listTests = []test{
	{"of an empty store is empty", func(s *subject) {
		if names := s.list(); len(names) != 0 {
			s.Errorf("List: got %q", names)
		}
	}},
	{"gives the names of all Pods", func(s *subject) {
		s.put(minimal("b"), full("a"), minimal("c"))
		s.expectNames("a", "b", "c")
		if err := store.Do(background, s, "b", store.Delete{}); err != nil {
			s.Error(err)
		}
		s.expectNames("a", "c")
		if _, err := s.Update(background, "d", func(*store.Metadata) error { return nil }); err != nil {
			s.Error(err)
		}
		s.expectNames("a", "c", "d")
	}},
	{"is sorted by bytes", func(s *subject) {
		for _, name := range oddNames {
			s.put(minimal(name))
		}
		if names := s.list(); !slices.IsSorted(names) || len(names) != len(oddNames) {
			s.Errorf("List: %d of %d Pods: %q", len(names), len(oddNames), names)
		}
	}},
	{"gives many", func(s *subject) {
		var names []string
		for i := range 300 {
			names = append(names, fmt.Sprintf("pod-%d", i))
			s.put(minimal(names[i]))
		}
		s.expectNames(names...)
	}},
}

var deleteTests = []test{
	{"removes the Pod", func(s *subject) {
		s.put(full("agent"), full("agent2"), full("age"))
		if err := store.Do(background, s, "agent", store.Delete{}); err != nil {
			s.Fatal(err)
		}
		s.absent("agent")
		s.expectNames("age", "agent2")
		s.expect(full("age"), full("agent2"))
	}},
	{"of what does not exist is a success", func(s *subject) {
		s.put(full("agent"))
		s.unchanged("Delete", func() {
			for range 2 {
				if err := store.Do(background, s, "missing", store.Delete{}); err != nil {
					s.Errorf("Delete of a missing Pod: %v", err)
				}
			}
		})
	}},
	{"leaves nothing for a Pod of the same name", func(s *subject) {
		s.put(full("agent"))
		for range 2 {
			if err := store.Do(background, s, "agent", store.Delete{}); err != nil {
				s.Fatal(err)
			}
		}
		s.update("agent", func(*store.Metadata) error { return nil })
		s.expect(minimal("agent"))
	}},
	{"of every Pod empties the store", func(s *subject) {
		for _, name := range oddNames {
			s.put(full(name))
		}
		for _, name := range oddNames {
			if err := store.Do(background, s, name, store.Delete{}); err != nil {
				s.Errorf("Delete %.80q: %v", name, err)
			}
		}
		s.expectNames()
		s.put(full("agent"))
		s.expect(full("agent"))
	}},
}

var nameTests = []test{
	{"any valid one can be used", func(s *subject) {
		for _, name := range oddNames {
			s.put(full(name))
		}
		s.expectNames(slices.Clone(oddNames)...)
		for _, name := range oddNames {
			s.expect(full(name))
			s.update(name, func(m *store.Metadata) error { return m.AddPeer(name) })
			want := full(name)
			if err := want.AddPeer(name); err != nil {
				s.Fatal(err)
			}
			s.expect(want)
		}
	}},
	{"a bad one is refused by every method", func(s *subject) {
		s.put(full("agent"), minimal("a"))
		s.unchanged("a bad name", func() {
			for _, name := range badNames {
				for method, call := range s.byName() {
					s.is(fmt.Sprintf("%s %.80q", method, name), call(background, name), store.ErrInvalidName)
				}
			}
		})
	}},
	{"a missing one is found by no method", func(s *subject) {
		s.put(full("agent"))
		s.unchanged("asking for a missing Pod", func() {
			for _, f := range []func() error{
				func() error { _, err := s.Read(background, "missing"); return err },
				func() error {
					err := store.LinkPeers(background, s, "agent", "missing")
					if errors.Is(err, errors.ErrUnsupported) {
						return store.ErrNotFound // the store changes one Pod at a time
					}
					return err
				},
			} {
				s.is("a missing Pod", f(), store.ErrNotFound)
			}
		})
	}},
	{"inside of children and peers may be anything", func(s *subject) {
		for i, name := range append(slices.Clone(badNames), oddNames...) {
			m := minimal(fmt.Sprint("pod-", i))
			name = strings.ToValidUTF8(name, "?")
			m.Children = []store.SpawnedChild{{PodName: name, SocketPath: name, CallbackAddress: name}}
			m.Reclaimed = []store.ReclaimedChild{{PodName: name}}
			m.Peers = []store.Peer{{PodName: name}}
			s.put(m)
			s.expect(m)
		}
	}},
}

// scribble changes everything that m points to.
func scribble(m *store.Metadata) {
	if m.Active != nil {
		m.Active.SessionID[0]++
		if m.Active.SegmentID != nil {
			m.Active.SegmentID[0]++
		}
	}
	for i := range m.Children {
		m.Children[i].PodName += "!"
		for j := range m.Children[i].ScopeDelegated {
			m.Children[i].ScopeDelegated[j].Permission += "!"
		}
	}
	for i := range m.Reclaimed {
		m.Reclaimed[i].PodName += "!"
		for j := range m.Reclaimed[i].ScopeDelegated {
			m.Reclaimed[i].ScopeDelegated[j].Target += "!"
		}
	}
	for i := range m.Peers {
		m.Peers[i].PodName += "!"
	}
	for i := range m.Manifest {
		m.Manifest[i] = '#'
	}
	for k, v := range m.Extra {
		for i := range v {
			v[i] = '#'
		}
		delete(m.Extra, k)
	}
}
