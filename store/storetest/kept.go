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
	{"finds what Apply left", func(s *subject) {
		s.put(full("a"), full("b"), long("c", 300))
		s.apply(store.Change{Pod: "a", Op: store.SetPeers{}}, store.Change{Pod: "a", Op: peer("x")})
		s.do("b", store.Delete{})
		s.do("c", store.TrimReclaimed{Keep: 250})
		s.do("new", store.SetField{Field: "future", Value: []byte(`1`)})
		s.refuses(store.ErrNotFound, store.Change{Pod: "c", Op: store.SetPeers{}}, store.Change{Pod: "c", Op: store.Delete{}}, store.Change{Pod: "c", If: store.Exists})
		s.unchanged("opening again", s.reopen)
		a, c, created := full("a"), long("c", 300), minimal("new")
		a.Peers, c.Reclaimed = peers("x"), pasts(50, 300)
		setExtra(created, "future", `1`)
		s.expect(a, c, created)
		s.expectNames("a", "c", "new")
		if s.appliesSeveral() {
			s.apply(store.Change{Pod: "a", Op: store.Delete{}}, store.Change{Pod: "c", Op: store.TrimReclaimed{}}, store.Change{Pod: "b", Op: peer("x")})
			s.unchanged("opening again", s.reopen)
			c.Reclaimed = nil
			s.expect(c, withPeers("b", "x"), created)
			s.expectNames("b", "c", "new")
		}
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

// damageTests damage Pod b and leave a and c whole.
var damageTests = skipping("the backend has no Damage", func(s *subject) bool { return s.b.Damage != nil }, append([]test{
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
		for _, opts := range partsOf {
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
			// A partial read does not see damage in what it leaves out.
			if opts != (store.ReadOptions{}) && slices.Equal(order, []string{"a", "b", "c"}) {
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
	{"is healed or removed by an Apply that begins with that", func(s *subject) {
		for _, changes := range [][]store.Change{
			{{Pod: "b", Op: store.Put{Metadata: minimal("b")}, If: store.Exists}, {Pod: "b", Op: peer("x")}},
			{{Pod: "b", Op: store.Delete{}, If: store.SkipMissing}, {Pod: "b", Op: peer("x"), If: store.Missing}},
		} {
			s.damage()
			applied, err := s.Apply(background, changes, &store.ApplyOptions{Metadata: true})
			if err != nil {
				s.Fatalf("Apply %s: %v", described(changes), err)
			}
			s.same("Apply", applied[1].Metadata, withPeers("b", "x"))
			s.expect(full("a"), withPeers("b", "x"), full("c"))
		}
		s.damaged = false
	}},
	{"leaves the Pod one that exists", func(s *subject) {
		s.damage()
		for _, op := range []store.Op{store.Put{Metadata: minimal("b")}, store.Delete{}} {
			_, err := s.Apply(background, []store.Change{{Pod: "b", Op: op, If: store.Missing}}, nil)
			s.is("Apply under Missing", err, store.ErrExists)
			_, err = s.Read(background, "b")
			s.is("Read", err, store.ErrCorrupt)
		}
	}},
	{"is ErrCorrupt for an operation that needs what is stored, and is never half repaired", func(s *subject) {
		for _, o := range operations {
			if o.op.Name() == "put" {
				continue
			}
			s.damage()
			err := store.Do(background, s, "b", o.op)
			if err != nil {
				s.is(o.name, err, store.ErrCorrupt)
				s.namesPod(o.name, err)
			}
			m, readErr := s.Read(background, "b")
			switch {
			case readErr != nil:
				s.is("Read", readErr, store.ErrCorrupt)
			case err != nil:
				s.Errorf("%s gave %v, and then Read gives the Pod", o.name, err)
			default: // the operation replaced the damaged part without reading it
				want := full("b")
				o.twin(want)
				s.same(o.name+", then Read", m, want)
			}
			s.expect(full("a"), full("c"))
		}
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
	}},
}, skipping("the store changes one Pod at a time", (*subject).appliesSeveral, []test{
	{"is ErrCorrupt for an Apply to several, which names the Pod and changes nothing", func(s *subject) {
		s.damage()
		for _, changes := range [][]store.Change{
			{{Pod: "a", Op: store.SetPeers{}}, {Pod: "b", Op: peer("x")}, {Pod: "c", Op: store.Delete{}}},
			{{Pod: "b", Op: peer("x")}, {Pod: "a", Op: store.Delete{}}},
			{{Pod: "new", Op: peer("x")}, {Pod: "a", Op: store.Delete{}}, {Pod: "b", Op: peer("x"), If: store.Exists}},
		} {
			_, err := s.Apply(background, changes, nil)
			s.is("Apply "+described(changes), err, store.ErrCorrupt)
			s.namesPod("Apply", err)
			s.expect(full("a"), full("c"))
			s.absent("new")
		}
		s.is("LinkPeers", store.LinkPeers(background, s, "a", "b"), store.ErrCorrupt)
		s.expect(full("a"), full("c"))
		s.link("a", "c")
	}},
	{"does not keep others from being changed beside a Put or Delete", func(s *subject) {
		for _, op := range []store.Op{store.Put{Metadata: minimal("b")}, store.Delete{}} {
			s.damage()
			s.apply(store.Change{Pod: "a", Op: store.Put{Metadata: minimal("a")}}, store.Change{Pod: "b", Op: op}, store.Change{Pod: "c", Op: store.Delete{}})
			s.expect(minimal("a"))
			s.absent("c")
		}
		s.absent("b")
		s.damaged = false
	}},
	{"does not keep a Pod from being removed", func(s *subject) {
		if !s.removes() {
			s.Skip("the store removes no references")
		}
		s.damage()
		s.do("a", store.AddPeer{PodName: "b"})
		s.do("b", store.Remove{})
		want := full("a")
		want.Peers = peers("peer-a", "peer-c", "peer-c")
		s.expect(want, full("c"))
		s.expectNames("a", "c")
		s.damaged = false
	}},
})...))

func (s *subject) damage() {
	s.Helper()
	s.put(full("a"), full("b"), full("c"))
	s.damaged = true
	s.MetadataStore = s.b.Damage(s.T, s.MetadataStore, "b")
}

func (s *subject) namesPod(what string, err error) {
	s.Helper()
	s.errorOf(what, err, "b")
}
