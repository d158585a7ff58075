package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"podstore/store"
)

var errEdit = errors.New("the edit's own error")

// update makes an Update that must succeed.
func (s *subject) update(name string, edit func(m *store.Metadata) error) *store.Metadata {
	s.Helper()
	m, err := s.Update(background, name, edit)
	if err != nil {
		s.Fatalf("Update %.80q: %v", name, err)
	}
	if m == nil {
		s.Fatalf("Update %.80q: neither metadata nor an error", name)
	}
	return m
}

var updateTests = []test{
	{"gives edit what is stored", func(s *subject) {
		s.put(full("agent"))
		s.update("agent", func(m *store.Metadata) error {
			s.same("edit's argument", m, full("agent"))
			return nil
		})
	}},
	{"writes what edit made and returns it", func(s *subject) {
		s.put(full("agent"), full("other"))
		got := s.update("agent", func(m *store.Metadata) error {
			m.Active = store.PendingSegment(store.SessionID{9})
			m.Peers = append(m.Peers, store.Peer{PodName: "new"})
			m.Children[0].SocketPath = "/elsewhere"
			m.Manifest = json.RawMessage(`{"b":[1.0,2],"a":{}}`)
			setExtra(m, "future", `{"y":1,"x":2}`)
			return nil
		})
		want := full("agent")
		want.Active = store.PendingSegment(store.SessionID{9})
		want.Peers = append(want.Peers, store.Peer{PodName: "new"})
		want.Children[0].SocketPath = "/elsewhere"
		want.Manifest = json.RawMessage(`{"a":{},"b":[1.0,2]}`)
		setExtra(want, "future", `{"x":2,"y":1}`)
		s.same("Update", got, want)
		s.expect(want, full("other"))
	}},
	{"changes each field alone", func(s *subject) {
		for field, empty := range clearings {
			s.put(full("agent"))
			want := full("agent")
			empty(want)
			got := s.update("agent", func(m *store.Metadata) error { empty(m); return nil })
			s.same("Update without "+field, got, want)
			s.expect(want)
			got = s.update("agent", func(m *store.Metadata) error { *m = *full("agent"); return nil })
			s.same("Update that sets "+field, got, full("agent"))
			s.expect(full("agent"))
		}
	}},
	{"can replace everything", func(s *subject) {
		s.put(full("agent"))
		got := s.update("agent", func(m *store.Metadata) error { *m = store.Metadata{}; return nil })
		s.same("Update", got, minimal("agent"))
		s.expect(minimal("agent"))
		s.expectNames("agent")
	}},
	{"gives a missing Pod as nothing but its name and creates it", func(s *subject) {
		got := s.update("agent", func(m *store.Metadata) error {
			if !reflect.DeepEqual(m, minimal("agent")) {
				s.Errorf("edit of a missing Pod is given %s", show(m, ""))
			}
			return m.AddPeer("peer")
		})
		want := minimal("agent")
		want.Peers = []store.Peer{{PodName: "peer"}}
		s.same("Update", got, want)
		s.expect(want)
		s.expectNames("agent")
	}},
	{"that changes nothing creates a missing Pod", func(s *subject) {
		got := s.update("agent", func(*store.Metadata) error { return nil })
		s.same("Update", got, minimal("agent"))
		s.expect(minimal("agent"))
		s.expectNames("agent")
	}},
	{"cannot change the name", func(s *subject) {
		s.put(full("agent"), minimal("other"))
		for _, name := range append([]string{"other", "newcomer"}, badNames...) {
			got := s.update("agent", func(m *store.Metadata) error { m.PodName = name; return nil })
			s.same("Update", got, full("agent"))
			s.expect(full("agent"), minimal("other"))
			s.expectNames("agent", "other")
		}
		got := s.update("created", func(m *store.Metadata) error { m.PodName = "newcomer"; return nil })
		s.same("Update", got, minimal("created"))
		s.expectNames("agent", "created", "other")
	}},
	{"returns the edit's error and changes nothing", func(s *subject) {
		s.put(full("agent"))
		s.unchanged("an edit that fails", func() {
			for _, name := range []string{"agent", "missing"} {
				_, err := s.Update(background, name, func(m *store.Metadata) error {
					m.SetActive(nil, nil)
					scribble(m)
					return fmt.Errorf("wrapped: %w", errEdit)
				})
				s.is("Update", err, errEdit)
			}
		})
		s.absent("missing")
	}},
	{"lets a panic in edit reach its caller and changes nothing", func(s *subject) {
		s.put(full("agent"))
		s.unchanged("an edit that panics", func() {
			for _, name := range []string{"agent", "missing"} {
				p := recovered(func() {
					_, err := s.Update(background, name, func(m *store.Metadata) error {
						scribble(m)
						panic(errEdit)
					})
					s.Errorf("Update returned although its edit panicked; error: %v", err)
				})
				if p != errEdit {
					s.Errorf("Update panicked with %v, want the value of the edit's panic", p)
				}
			}
		})
		s.absent("missing")
	}},
	{"works on after errors and panics", func(s *subject) {
		s.put(full("agent"))
		for i := range 20 {
			_, err := s.Update(background, "agent", func(*store.Metadata) error { return errEdit })
			s.is("Update", err, errEdit)
			if recovered(func() {
				_, _ = s.Update(background, "agent", func(*store.Metadata) error { panic("edit") })
			}) == nil {
				s.Error("the panic did not reach the caller")
			}
			s.put(minimal(fmt.Sprint("pod-", i)))
			s.update("agent", func(m *store.Metadata) error { m.SetActive(nil, json.RawMessage(fmt.Sprint(i))); return nil })
		}
		want := full("agent")
		want.SetActive(nil, json.RawMessage("19"))
		s.expect(want)
	}},
	{"refuses what breaks a rule", func(s *subject) {
		s.put(full("agent"))
		for _, sp := range spoiled {
			for _, name := range []string{"agent", "newcomer"} {
				s.unchanged("Update where "+sp.what, func() {
					_, err := s.Update(background, name, func(m *store.Metadata) error {
						m.Peers = nil
						sp.spoil(m)
						return nil
					})
					s.is("Update where "+sp.what, err, store.ErrInvalid)
				})
			}
		}
	}},
	{"that changes nothing writes nothing", func(s *subject) {
		if s.b.Written == nil {
			s.Skip("the backend does not tell what it writes")
		}
		s.put(full("agent"), minimal("bare"))
		before := s.b.Written(s.T, s.MetadataStore)
		for range 3 {
			s.same("Update", s.update("agent", func(m *store.Metadata) error {
				m.PodName = "ignored"
				return m.AddPeer("peer-a")
			}), full("agent"))
			s.same("Update", s.update("agent", func(m *store.Metadata) error {
				*m = *full("agent")
				m.Manifest = json.RawMessage(string(m.Manifest) + " ")
				return nil
			}), full("agent"))
			s.same("Update", s.update("bare", func(m *store.Metadata) error {
				m.Peers = []store.Peer{}
				m.Manifest = json.RawMessage("null")
				m.Extra = map[string]json.RawMessage{}
				return nil
			}), minimal("bare"))
		}
		if after := s.b.Written(s.T, s.MetadataStore); after != before {
			s.Errorf("an update that changes nothing wrote something: %s was %s", after, before)
		}
		s.update("bare", func(m *store.Metadata) error { return m.AddPeer("peer") })
		if s.b.Written(s.T, s.MetadataStore) == before {
			s.Error("an update that changes something wrote nothing, or the backend does not tell")
		}
	}},
}
