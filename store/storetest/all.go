package storetest

import (
	"slices"

	"podstore/store"
)

var allTests = []test{
	{"yields every Pod in the order of List", func(s *subject) {
		for i, name := range oddNames {
			if i%2 == 0 {
				s.put(full(name))
			} else {
				s.put(minimal(name))
			}
		}
		var names []string
		for m, err := range store.All(background, s.MetadataStore, store.ReadOptions{}) {
			if err != nil {
				s.Fatal(err)
			}
			names = append(names, m.PodName)
			s.same("All", m, s.get(m.PodName))
		}
		if want := s.list(); !slices.Equal(names, want) {
			s.Errorf("All: got %q, want %q", names, want)
		}
	}},
	{"of an empty store yields nothing", func(s *subject) {
		for m, err := range store.All(background, s.MetadataStore, store.ReadOptions{}) {
			s.Errorf("All yields %v, %v", m, err)
		}
	}},
	{"lets the caller use the store in the loop", func(s *subject) {
		s.put(full("a"), full("b"), full("c"), full("d"))
		var names []string
		for m, err := range store.All(background, s.MetadataStore, store.ReadOptions{}) {
			if err != nil {
				s.Fatal(err)
			}
			if m.PodName == "c" || len(m.PodName) > 1 {
				continue // the loop deletes or creates it: All may yield it or not
			}
			names = append(names, m.PodName)
			done := inBackground(func() error {
				if err := store.Do(background, s.MetadataStore, m.PodName, store.AddPeer{PodName: "met"}); err != nil {
					return err
				}
				if _, err := s.Read(background, m.PodName); err != nil {
					return err
				}
				if m.PodName == "b" {
					if err := store.Do(background, s, "c", store.Delete{}); err != nil {
						return err
					}
				}
				for _, err := range store.All(background, s.MetadataStore, store.ReadOptions{}) {
					if err != nil {
						return err
					}
				}
				return store.Write(background, s, minimal("new-"+m.PodName))
			})
			if err := s.await(done, "the store is stuck while All yields"); err != nil {
				s.Error(err)
			}
		}
		if !slices.Equal(names, []string{"a", "b", "d"}) {
			s.Errorf("All left out Pods that were there all the time, it gave %q", names)
		}
		for _, name := range []string{"a", "b", "d"} {
			if !s.get(name).HasPeer("met") {
				s.Errorf("what was written to %q in the loop is lost", name)
			}
		}
		s.absent("c")
	}},
	{"gives each Pod as it was at one moment of the iteration", func(s *subject) {
		// Whatever the loop does to a Pod before the iteration reaches it, All yields
		// the Pod from before or after that, never a mix of both.
		for _, name := range []string{"a", "b", "c"} {
			s.put(minimal(name))
		}
		for m, err := range store.All(background, s.MetadataStore, store.ReadOptions{}) {
			if err != nil {
				s.Fatal(err)
			}
			if m.Diff(minimal(m.PodName)) != "" && m.Diff(full(m.PodName)) != "" {
				s.Errorf("All gives %q as it never was: %s", m.PodName, show(m, ""))
			}
			for _, name := range []string{"a", "b", "c"} {
				s.put(full(name))
			}
		}
	}},
	{"can be left early", func(s *subject) {
		for _, name := range oddNames {
			s.put(full(name))
		}
		for range 50 {
			for range store.All(background, s.MetadataStore, store.ReadOptions{}) {
				break
			}
		}
		s.put(full("agent"))
		s.expect(full("agent"))
		if err := store.Do(background, s, "agent", store.Delete{}); err != nil {
			s.Error(err)
		}
	}},
	{"lets a panic in the loop reach the caller and works on", func(s *subject) {
		s.put(full("a"), full("b"))
		p := recovered(func() {
			for range store.All(background, s.MetadataStore, store.ReadOptions{}) {
				panic("loop")
			}
		})
		if p != "loop" {
			s.Errorf("panic in the loop gave %v", p)
		}
		s.put(minimal("a"))
		s.expect(minimal("a"))
	}},
}
