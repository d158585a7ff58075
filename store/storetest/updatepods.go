package storetest

import (
	"encoding/json"
	"errors"
	"fmt"

	"podstore/store"
)

// updatesPods reports whether the store can edit several Pods at once.
func (s *subject) updatesPods() bool {
	s.Helper()
	_, err := store.UpdatePods(background, s.MetadataStore, []string{"probe"}, func([]*store.Metadata) error { return nil })
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		s.Fatalf("UpdatePods: %v", err)
	}
	return err == nil
}

// updatePods makes an UpdatePods that must succeed.
func (s *subject) updatePods(names []string, edit func(pods []*store.Metadata) error) []*store.Metadata {
	s.Helper()
	pods, err := store.UpdatePods(background, s.MetadataStore, names, edit)
	if err != nil {
		s.Fatalf("UpdatePods %.200q: %v", names, err)
	}
	if len(pods) != len(names) {
		s.Fatalf("UpdatePods of %d Pods returned %d", len(names), len(pods))
	}
	return pods
}

var updatePodsTests = skipping("the store cannot edit several Pods at once", (*subject).updatesPods, []test{
	{"gives each Pod by its place, and nil for a missing one", func(s *subject) {
		s.put(full("c"), minimal("a"), full("b"))
		s.updatePods([]string{"c", "missing", "a"}, func(pods []*store.Metadata) error {
			if len(pods) != 3 || pods[0] == nil || pods[1] != nil || pods[2] == nil {
				return fmt.Errorf("edit is given %v", pods)
			}
			s.same("edit's element", pods[0], full("c"))
			s.same("edit's element", pods[2], minimal("a"))
			return nil
		})
		s.expectNames("a", "b", "c")
	}},
	{"makes all changes and returns them", func(s *subject) {
		s.put(full("a"), full("b"), full("c"), full("other"))
		got := s.updatePods([]string{"new", "c", "b", "a", "none"}, func(pods []*store.Metadata) error {
			pods[0] = minimal("")
			pods[1] = nil
			pods[2] = minimal("b")
			pods[3].Manifest = json.RawMessage(`{"z":1, "a":2}`)
			return nil
		})
		a := full("a")
		a.Manifest = json.RawMessage(`{"a":2,"z":1}`)
		for i, want := range []*store.Metadata{minimal("new"), nil, minimal("b"), a, nil} {
			if want == nil {
				if got[i] != nil {
					s.Errorf("UpdatePods returned %s for a Pod that does not exist", show(got[i], ""))
				}
				continue
			}
			s.same("UpdatePods", got[i], want)
			s.expect(want)
		}
		s.expectNames("a", "b", "new", "other")
		s.expect(full("other"))
	}},
	{"creates, replaces and deletes one", func(s *subject) {
		names := []string{"agent"}
		s.updatePods(names, func(pods []*store.Metadata) error { pods[0] = full("agent"); return nil })
		s.expect(full("agent"))
		s.updatePods(names, func(pods []*store.Metadata) error { pods[0] = minimal("agent"); return nil })
		s.expect(minimal("agent"))
		s.updatePods(names, func(pods []*store.Metadata) error { pods[0] = nil; return nil })
		s.absent("agent")
		s.updatePods(names, func(pods []*store.Metadata) error { pods[0] = full("agent"); return nil })
		s.expect(full("agent"))
	}},
	{"that changes nothing creates nothing", func(s *subject) {
		s.put(full("a"))
		s.unchanged("UpdatePods", func() {
			s.updatePods([]string{"missing", "a"}, func([]*store.Metadata) error { return nil })
		})
	}},
	{"sets the name in any case", func(s *subject) {
		s.put(full("a"))
		for _, name := range append([]string{"b", "c"}, badNames...) {
			got := s.updatePods([]string{"a", "b"}, func(pods []*store.Metadata) error {
				pods[0].PodName = name
				pods[1] = full("b")
				pods[1].PodName = name
				return nil
			})
			s.same("UpdatePods", got[0], full("a"))
			s.same("UpdatePods", got[1], full("b"))
			s.expect(full("a"), full("b"))
			s.expectNames("a", "b")
		}
	}},
	{"can copy one Pod to another and exchange two", func(s *subject) {
		as := func(m *store.Metadata, name string) *store.Metadata {
			m.PodName = name
			return m
		}
		s.put(full("a"), minimal("b"))
		s.updatePods([]string{"a", "b"}, func(pods []*store.Metadata) error {
			pods[0], pods[1] = pods[1], pods[0]
			return nil
		})
		s.expect(minimal("a"), as(full("a"), "b"))
		got := s.updatePods([]string{"b", "c", "d"}, func(pods []*store.Metadata) error {
			pods[1], pods[2] = pods[0], pods[0]
			return nil
		})
		for i, name := range []string{"b", "c", "d"} {
			s.same("UpdatePods", got[i], as(full("a"), name))
			s.expect(as(full("a"), name))
		}
	}},
	{"refuses a name that is given twice", func(s *subject) {
		s.put(full("a"), full("b"))
		s.unchanged("UpdatePods", func() {
			for _, names := range [][]string{{"a", "a"}, {"a", "b", "a"}, {"new", "b", "new"}} {
				_, err := store.UpdatePods(background, s.MetadataStore, names, func(pods []*store.Metadata) error {
					clear(pods)
					return nil
				})
				s.is(fmt.Sprintf("UpdatePods %q", names), err, store.ErrInvalid)
			}
		})
	}},
	{"returns the edit's error and changes nothing", func(s *subject) {
		s.put(full("a"), full("b"), full("c"))
		s.unchanged("an edit that fails", func() {
			_, err := store.UpdatePods(background, s.MetadataStore, []string{"a", "b", "c", "new"}, func(pods []*store.Metadata) error {
				ruin(pods)
				return fmt.Errorf("wrapped: %w", errEdit)
			})
			s.is("UpdatePods", err, errEdit)
		})
	}},
	{"lets a panic in edit reach its caller and changes nothing", func(s *subject) {
		s.put(full("a"), full("b"), full("c"))
		s.unchanged("an edit that panics", func() {
			if p := recovered(func() {
				_, err := store.UpdatePods(background, s.MetadataStore, []string{"a", "b", "c", "new"}, func(pods []*store.Metadata) error {
					ruin(pods)
					panic(errEdit)
				})
				s.Errorf("UpdatePods returned although its edit panicked; error: %v", err)
			}); p != errEdit {
				s.Errorf("UpdatePods panicked with %v, want the value of the edit's panic", p)
			}
		})
		s.updatePods([]string{"a", "b"}, func(pods []*store.Metadata) error { pods[0] = nil; return nil })
		s.expectNames("b", "c")
	}},
	{"changes nothing where one Pod breaks a rule", func(s *subject) {
		s.put(full("a"), full("c"))
		for _, sp := range spoiled {
			for broken := range 3 {
				s.unchanged("UpdatePods where "+sp.what, func() {
					_, err := store.UpdatePods(background, s.MetadataStore, []string{"a", "new", "c"}, func(pods []*store.Metadata) error {
						pods[1] = minimal("new")
						pods[0].Peers, pods[2].Peers = nil, nil
						sp.spoil(pods[broken])
						return nil
					})
					s.is("UpdatePods where "+sp.what, err, store.ErrInvalid)
				})
			}
		}
	}},
	{"of many Pods", func(s *subject) {
		var names []string
		for i := range 200 {
			names = append(names, fmt.Sprintf("pod-%03d", i))
		}
		s.updatePods(names, func(pods []*store.Metadata) error {
			for i := range pods {
				pods[i] = full(names[i])
			}
			return nil
		})
		s.expectNames(names...)
		s.updatePods(names, func(pods []*store.Metadata) error {
			for i := range pods {
				switch i % 3 {
				case 0:
					pods[i] = nil
				case 1:
					pods[i].SetActive(nil, nil)
				}
			}
			return nil
		})
		for i, name := range names {
			switch i % 3 {
			case 0:
				s.absent(name)
			case 1:
				m := full(name)
				m.SetActive(nil, nil)
				s.expect(m)
			case 2:
				s.expect(full(name))
			}
		}
	}},
})

// ruin changes and deletes the first three Pods and creates the fourth.
func ruin(pods []*store.Metadata) {
	scribble(pods[0])
	pods[1].SetActive(nil, nil)
	pods[2] = nil
	pods[3] = minimal("new")
}

var linkTests = skipping("the store cannot edit several Pods at once", (*subject).updatesPods, []test{
	{"are made on both Pods", func(s *subject) {
		s.put(full("a"), minimal("b"), full("other"))
		s.link("a", "b")
		a, b := full("a"), minimal("b")
		a.Peers = peers("b", "peer-a", "peer-c", "peer-c")
		b.Peers = peers("a")
		s.expect(a, b, full("other"))
	}},
	{"made again change nothing", func(s *subject) {
		s.put(full("a"), minimal("b"))
		s.link("a", "b")
		s.unchanged("LinkPeers", func() {
			s.link("a", "b")
			s.link("b", "a")
		})
	}},
	{"of which one side is there are completed", func(s *subject) {
		s.put(minimal("a"), minimal("b"))
		if err := store.Do(background, s.MetadataStore, "b", store.AddPeer{PodName: "a"}); err != nil {
			s.Fatal(err)
		}
		s.link("a", "b")
		if !s.get("a").HasPeer("b") || !s.get("b").HasPeer("a") {
			s.Error("the link has one side")
		}
	}},
	{"are removed from both Pods", func(s *subject) {
		s.put(full("a"), full("b"))
		s.link("a", "b")
		if err := store.UnlinkPeers(background, s.MetadataStore, "b", "a"); err != nil {
			s.Fatal(err)
		}
		a, b := full("a"), full("b")
		a.Peers, b.Peers = peers("peer-a", "peer-c", "peer-c"), peers("peer-a", "peer-c", "peer-c")
		s.expect(a, b)
		s.unchanged("UnlinkPeers of what is not linked", func() {
			if err := store.UnlinkPeers(background, s.MetadataStore, "a", "b"); err != nil {
				s.Error(err)
			}
		})
	}},
	{"need both Pods", func(s *subject) {
		s.put(full("a"))
		s.unchanged("a link to a missing Pod", func() {
			for _, pair := range [][2]string{{"a", "missing"}, {"missing", "a"}, {"gone", "missing"}} {
				s.is("LinkPeers", store.LinkPeers(background, s, pair[0], pair[1]), store.ErrNotFound)
			}
		})
	}},
	{"of which one Pod is gone are removed from the other", func(s *subject) {
		for _, pair := range [][2]string{{"a", "gone"}, {"gone", "a"}} {
			s.put(full("a"))
			s.do("a", store.AddPeer{PodName: "gone"})
			if err := store.UnlinkPeers(background, s, pair[0], pair[1]); err != nil {
				s.Fatal(err)
			}
			want := full("a")
			want.Peers = peers("peer-a", "peer-c", "peer-c")
			s.expect(want)
			s.expectNames("a")
		}
		if err := store.UnlinkPeers(background, s, "gone", "lost"); err != nil {
			s.Errorf("UnlinkPeers of two that are gone: %v", err)
		}
		s.expectNames("a")
	}},
	{"never join a Pod to itself", func(s *subject) {
		s.put(full("a"))
		s.unchanged("a link to itself", func() {
			s.is("LinkPeers", store.LinkPeers(background, s.MetadataStore, "a", "a"), store.ErrInvalid)
			s.is("UnlinkPeers", store.UnlinkPeers(background, s.MetadataStore, "a", "a"), store.ErrInvalid)
			for _, name := range badNames {
				s.is("LinkPeers", store.LinkPeers(background, s.MetadataStore, name, name), store.ErrInvalidName)
			}
		})
	}},
})

func (s *subject) link(a, b string) {
	s.Helper()
	if err := store.LinkPeers(background, s.MetadataStore, a, b); err != nil {
		s.Fatalf("LinkPeers %q, %q: %v", a, b, err)
	}
}
