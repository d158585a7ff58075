package storetest

import (
	"errors"
	"fmt"
	"slices"

	"podstore/store"
)

// reopen closes the store and opens the same data again.
func (s *subject) reopen() {
	s.Helper()
	s.MetadataStore = s.b.Reopen(s.T, s.MetadataStore)
}

var reopenTests = skipping("the backend has no Reopen", func(s *subject) bool { return s.b.Reopen != nil }, []test{
	{"finds everything", func(s *subject) {
		for i, name := range oddNames {
			if i%2 == 0 {
				s.put(full(name))
			} else {
				s.put(minimal(name))
			}
		}
		s.unchanged("opening again", s.reopen)
		s.unchanged("opening again", s.reopen)
	}},
	{"finds what each operation left", func(s *subject) {
		s.reopen()
		s.expectNames()
		s.put(full("a"), full("b"), full("c"))
		s.reopen()
		s.update("a", func(m *store.Metadata) error { return m.AddPeer("peer") })
		if err := store.Do(background, s, "b", store.Delete{}); err != nil {
			s.Fatal(err)
		}
		s.update("d", func(*store.Metadata) error { return nil })
		_, err := s.Update(background, "c", func(m *store.Metadata) error { scribble(m); return errEdit })
		s.is("Update", err, errEdit)
		s.unchanged("opening again", s.reopen)
		a := full("a")
		a.Peers = peers("peer", "peer-a", "peer-c", "peer-c")
		s.expect(a, full("c"), minimal("d"))
		s.expectNames("a", "c", "d")
	}},
	{"finds what was done to several Pods", func(s *subject) {
		if !s.updatesPods() {
			s.Skip("no UpdatePods")
		}
		s.put(full("a"), full("b"))
		s.updatePods([]string{"a", "b", "c"}, func(pods []*store.Metadata) error {
			pods[0], pods[2] = nil, full("c")
			return pods[1].AddPeer("c")
		})
		s.unchanged("opening again", s.reopen)
		s.expectNames("b", "c")
	}},
})

// damageTests spoil Pod b and leave a and c.
var damageTests = skipping("the backend has no Damage", func(s *subject) bool { return s.b.Damage != nil }, []test{
	{"is ErrCorrupt for Read and leaves other Pods readable", func(s *subject) {
		s.damage()
		_, err := s.Read(background, "b")
		s.is("Read", err, store.ErrCorrupt)
		s.namesPod("Read", err)
		s.expect(full("a"), full("c"))
	}},
	{"does not hide the Pod from List", func(s *subject) {
		s.damage()
		names, err := s.List(background)
		if err != nil {
			s.is("List", err, store.ErrCorrupt)
		}
		if !slices.Equal(names, []string{"a", "b", "c"}) {
			s.Errorf("List: got %q", names)
		}
	}},
	{"is yielded by All as an error that names the Pod, and the others follow", func(s *subject) {
		s.damage()
		for _, opts := range []store.ReadOptions{{}, {OmitManifest: true}} {
			var order []string
			for m, err := range store.All(background, s.MetadataStore, opts) {
				var e *store.Error
				switch {
				case err == nil:
					order = append(order, m.PodName)
				case errors.As(err, &e) && e.Pod == "":
					order = append(order, "(whole)")
				default:
					s.is("All", err, store.ErrCorrupt)
					s.namesPod("All", err)
					order = append(order, "damaged")
				}
				if err != nil && m != nil {
					s.Errorf("All yields metadata together with %v", err)
				}
			}
			if len(order) == 4 && order[3] == "(whole)" {
				order = order[:3]
			}
			// Where the damage is in what OmitManifest leaves unread it is not seen.
			if opts.OmitManifest && slices.Equal(order, []string{"a", "b", "c"}) {
				continue
			}
			if !slices.Equal(order, []string{"a", "damaged", "c"}) {
				s.Errorf("All gives %q", order)
			}
		}
	}},
	{"is healed by Write", func(s *subject) {
		s.damage()
		s.put(minimal("b"))
		s.expect(full("a"), minimal("b"), full("c"))
		s.damaged = false
	}},
	{"is removed by Delete", func(s *subject) {
		s.damage()
		if err := store.Do(background, s, "b", store.Delete{}); err != nil {
			s.Fatalf("Delete of a damaged Pod: %v", err)
		}
		s.absent("b")
		s.expectNames("a", "c")
		s.update("b", func(m *store.Metadata) error {
			s.same("edit's argument", m, minimal("b"))
			return nil
		})
		s.damaged = false
	}},
	{"is ErrCorrupt for Update, which changes nothing", func(s *subject) {
		s.damage()
		err := store.Do(background, s.MetadataStore, "b", store.AddPeer{PodName: "new"})
		s.is("Update", err, store.ErrCorrupt)
		_, err = s.Read(background, "b")
		s.is("Read", err, store.ErrCorrupt)
		s.update("a", func(m *store.Metadata) error { return m.AddPeer("new") })
		if !s.get("a").HasPeer("new") {
			s.Error("damage of one Pod keeps another one from being changed")
		}
	}},
	{"is ErrCorrupt for UpdatePods, which names the Pod and changes nothing", func(s *subject) {
		if !s.updatesPods() {
			s.Skip("no UpdatePods")
		}
		s.damage()
		for _, names := range [][]string{{"a", "b", "c"}, {"b", "a"}, {"c", "new", "b"}} {
			_, err := store.UpdatePods(background, s.MetadataStore, names, func(pods []*store.Metadata) error {
				clear(pods)
				return nil
			})
			what := fmt.Sprintf("UpdatePods %q", names)
			s.is(what, err, store.ErrCorrupt)
			s.namesPod(what, err)
			s.expect(full("a"), full("c"))
		}
		s.is("LinkPeers", store.LinkPeers(background, s.MetadataStore, "a", "b"), store.ErrCorrupt)
		s.expect(full("a"), full("c"))
		s.link("a", "c")
	}},
})

func (s *subject) damage() {
	s.Helper()
	s.put(full("a"), full("b"), full("c"))
	s.damaged = true
	s.MetadataStore = s.b.Damage(s.T, s.MetadataStore, "b")
}

func (s *subject) namesPod(what string, err error) {
	s.Helper()
	var e *store.Error
	if !errors.As(err, &e) || e.Pod != "b" {
		s.Errorf("%s: error %v is no *store.Error that names Pod %q", what, err, "b")
	}
}
