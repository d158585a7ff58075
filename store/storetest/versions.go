package storetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"podstore/store"
)

// keepsNumbers reports whether revisions have numbers.
func (s *subject) keepsNumbers() bool {
	s.Helper()
	s.put(minimal("probe"))
	number := s.get("probe").Version.Revision.Number
	s.do("probe", store.Delete{})
	return number != 0
}

// keepsTimes reports whether the store knows when a Pod was changed. It may still not
// know when the Pod was created.
func (s *subject) keepsTimes() bool {
	s.Helper()
	s.put(minimal("probe"))
	v := s.get("probe").Version
	s.do("probe", store.Delete{})
	return !v.Changed.IsZero()
}

// changers returns all ways to change an existing Pod, each with another content. They
// return the version that the store reports.
func (s *subject) changers() map[string]func(pod string, i int) store.Version {
	return map[string]func(pod string, i int) store.Version{
		"Apply": func(pod string, i int) store.Version {
			return s.apply(store.Change{Pod: pod, Op: peer(fmt.Sprint("applied-", i))})[0].Version
		},
		"Write": func(pod string, i int) store.Version {
			s.put(withPeers(pod, fmt.Sprint("written-", i)))
			return s.get(pod).Version
		},
		"Update": func(pod string, i int) store.Version {
			return s.update(pod, func(m *store.Metadata) error { return m.AddPeer(fmt.Sprint("updated-", i)) }).Version
		},
		"UpdatePods": func(pod string, i int) store.Version {
			pods, err := store.UpdatePods(background, s.MetadataStore, []string{pod}, func(pods []*store.Metadata) error {
				return pods[0].AddPeer(fmt.Sprint("edited-", i))
			})
			if errors.Is(err, errors.ErrUnsupported) {
				return s.apply(store.Change{Pod: pod, Op: peer(fmt.Sprint("edited-", i))})[0].Version
			}
			if err != nil {
				s.Fatal(err)
			}
			return pods[0].Version
		},
		"WriteBatch": func(pod string, i int) store.Version {
			if b, ok := s.MetadataStore.(store.BatchWriter); ok {
				if errs := b.WriteBatch(background, puts(withPeers(pod, fmt.Sprint("batched-", i)))); errs[0] != nil {
					s.Fatal(errs[0])
				}
			} else {
				s.put(withPeers(pod, fmt.Sprint("batched-", i)))
			}
			return s.get(pod).Version
		},
	}
}

var versionTests = slices.Concat([]test{
	{"a change gives the Pod another revision, by whatever method", func(s *subject) {
		s.put(full("agent"), full("other"))
		other := s.get("other").Version
		seen := map[store.Revision]string{s.get("agent").Version.Revision: "the first Write"}
		for i := range 3 {
			for method, change := range s.changers() {
				v := change("agent", i)
				if was := seen[v.Revision]; was != "" {
					s.Errorf("%s gave revision %v, as %s did", method, v.Revision, was)
				}
				seen[v.Revision] = method
				if got := s.get("agent").Version; got != v {
					s.Errorf("%s says version %v, Read %v", method, v, got)
				}
			}
		}
		if got := s.get("other").Version; got != other {
			s.Errorf("changes of one Pod gave another version %v instead of %v", got, other)
		}
	}},
	{"a change that changes nothing keeps the version, by whatever method", func(s *subject) {
		s.put(full("agent"))
		want := s.get("agent").Version
		s.writesNothing("a change that changes nothing", func() {
			s.put(full("agent"))
			s.do("agent", peer("peer-a"))
			s.do("agent", store.SetPeers{Peers: full("").Peers}, store.RemovePeer{PodName: "none"})
			s.do("agent", store.Put{Metadata: full("agent"), Created: time.Unix(1, 0), Changed: time.Unix(2, 0)})
			if got := s.update("agent", func(m *store.Metadata) error { m.Version = store.Version{}; return nil }).Version; got != want {
				s.Errorf("Update returned version %v, want %v", got, want)
			}
			if s.updatesPods() {
				pods := s.updatePods([]string{"missing", "agent"}, func(pods []*store.Metadata) error { pods[1] = full("agent"); return nil })
				if got := pods[1].Version; got != want {
					s.Errorf("UpdatePods returned version %v, want %v", got, want)
				}
			}
			if b, ok := s.MetadataStore.(store.BatchWriter); ok {
				if errs := b.WriteBatch(background, puts(full("agent"))); errs[0] != nil {
					s.Error(errs[0])
				}
			}
			got := s.applyFor(&store.ApplyOptions{Metadata: true}, store.Change{Pod: "agent", Op: peer("peer-a")}, store.Change{Pod: "agent", If: store.Exists})
			if got[0].Version != want || got[1].Version != want {
				s.Errorf("Apply returned versions %v and %v, want %v", got[0].Version, got[1].Version, want)
			}
		})
	}},
	{"are the same however the Pod is read", func(s *subject) {
		s.put(full("a"), minimal("b"))
		s.do("b", peer("x"))
		for _, opts := range partsOf {
			all := s.all(opts)
			for _, name := range []string{"a", "b"} {
				want := s.get(name).Version
				part, err := store.ReadPart(background, s.MetadataStore, name, opts)
				if err != nil {
					s.Fatal(err)
				}
				if part.Version != want || all[name].Version != want {
					s.Errorf("%q with %+v: Read gives version %v, ReadPart %v, All %v", name, opts, want, part.Version, all[name].Version)
				}
			}
		}
		want := s.get("a").Version
		s.update("a", func(m *store.Metadata) error {
			if m.Version != want {
				s.Errorf("Update gives its edit version %v, want %v", m.Version, want)
			}
			return nil
		})
		if s.updatesPods() {
			s.updatePods([]string{"b", "a"}, func(pods []*store.Metadata) error {
				if pods[1].Version != want {
					s.Errorf("UpdatePods gives its edit version %v, want %v", pods[1].Version, want)
				}
				return nil
			})
		}
		if snap, closer, err := s.snapshot(); err == nil {
			m, err := snap.Read(background, "a")
			if err != nil || m.Version != want {
				s.Errorf("a snapshot gives version %v, %v, want %v", m.Version, err, want)
			}
			if err := closer.Close(); err != nil {
				s.Error(err)
			}
		}
	}},
	{"are the store's: what a caller sets is ignored", func(s *subject) {
		mine := store.Version{Revision: stale, Created: time.Unix(1, 0).UTC(), Changed: time.Unix(2, 0).UTC()}
		m := full("agent")
		m.Version = mine
		s.put(m)
		if m.Version != mine {
			s.Error("Write changed what it was given")
		}
		got := []store.Version{s.get("agent").Version, s.update("agent", func(m *store.Metadata) error {
			m.Version = mine
			return m.AddPeer("new")
		}).Version, s.get("agent").Version}
		for _, v := range got {
			if v.Revision == mine.Revision || v.Created.Equal(mine.Created) || v.Changed.Equal(mine.Changed) {
				s.Errorf("the store took over version %v", v)
			}
		}
	}},
	{"a Pod that is made again is at no revision that it had", func(s *subject) {
		seen := map[store.Revision]bool{}
		for i := range 3 {
			s.do("agent", peer(fmt.Sprint("life-", i)))
			r := s.get("agent").Version.Revision
			if seen[r] {
				s.Errorf("revision %v for the second time", r)
			}
			seen[r] = true
			s.do("agent", store.Delete{})
		}
	}},
	{"stay when the data is opened again", func(s *subject) {
		if s.b.Reopen == nil {
			s.Skip("the backend has no Reopen")
		}
		s.put(full("a"), minimal("b"))
		s.do("a", peer("x"))
		s.unchanged("opening again", s.reopen)
		last := s.get("a").Version.Revision
		s.do("b", peer("x"))
		if r := s.get("b").Version.Revision; last.Number != 0 && r.Number <= last.Number {
			s.Errorf("revision %v after %v, which was given before the data was opened again", r, last)
		}
	}},
}, skipping("the store keeps no numbers", (*subject).keepsNumbers, []test{
	{"numbers rise with each change, of whatever Pod and by whatever method", func(s *subject) {
		s.put(minimal("a"), minimal("b"))
		last := s.get("b").Version.Revision.Number
		if first := s.get("a").Version.Revision.Number; first >= last {
			s.Errorf("number %d after %d", last, first)
		}
		for i := range 3 {
			for _, pod := range []string{"b", "a"} {
				for method, change := range s.changers() {
					number := change(pod, i).Revision.Number
					if number <= last {
						s.Errorf("%s of %q gave number %d after %d", method, pod, number, last)
					}
					last = number
				}
			}
			applied := s.apply(store.Change{Pod: "b", Op: store.Delete{}})
			if n := applied[0].Version.Revision.Number; n <= last {
				s.Errorf("a deletion gave number %d after %d", n, last)
			}
			last = max(last, applied[0].Version.Revision.Number)
			s.apply(store.Change{Pod: "b", Op: store.Delete{}}, store.Change{Pod: "b", Op: store.RemovePeer{PodName: "x"}})
		}
	}},
	{"a deletion of a missing Pod has none", func(s *subject) {
		s.put(minimal("a"))
		for _, a := range s.apply(store.Change{Pod: "missing", Op: store.Delete{}}, store.Change{Pod: "missing", Op: peer("x"), If: store.SkipMissing}) {
			if a.Version != (store.Version{}) {
				s.Errorf("version %v of a Pod that never was", a.Version)
			}
		}
	}},
	{"all Pods that one Apply changed have the same number", func(s *subject) {
		if !s.appliesSeveral() {
			s.Skip("the store changes one Pod at a time")
		}
		s.put(minimal("a"), minimal("b"), minimal("c"), full("same"))
		before := s.get("same").Version
		applied := s.apply(
			store.Change{Pod: "a", Op: peer("x")}, store.Change{Pod: "b", Op: peer("x")}, store.Change{Pod: "new", Op: peer("x")},
			store.Change{Pod: "c", Op: store.Delete{}}, store.Change{Pod: "a", Op: peer("y")}, store.Change{Pod: "same", Op: peer("peer-a")})
		for _, a := range applied[:5] {
			if a.Version.Revision.Number != applied[0].Version.Revision.Number {
				s.Errorf("one Apply gave %q number %d and %q number %d", a.Pod, a.Version.Revision.Number, "a", applied[0].Version.Revision.Number)
			}
		}
		if got := applied[5].Version; got != before {
			s.Errorf("a Pod in which nothing changed has version %v, was %v", got, before)
		}
		if s.updatesPods() {
			pods := s.updatePods([]string{"a", "b", "c"}, func(pods []*store.Metadata) error {
				pods[2] = minimal("c")
				return errors.Join(pods[0].AddPeer("z"), pods[1].AddPeer("z"))
			})
			for _, m := range pods {
				if n := m.Version.Revision.Number; n != pods[0].Version.Revision.Number || n <= applied[0].Version.Revision.Number {
					s.Errorf("one UpdatePods gave %q number %d, the first %d", m.PodName, n, pods[0].Version.Revision.Number)
				}
			}
		}
	}},
}), skipping("the store keeps no times", (*subject).keepsTimes, []test{
	{"created stays and changed does not go back", func(s *subject) {
		s.put(minimal("agent"))
		last := s.get("agent").Version
		created := last.Created
		for i := range 3 {
			for method, change := range s.changers() {
				v := change("agent", i)
				if v.Created != created {
					s.Errorf("%s changed the time of creation from %v to %v", method, created, v.Created)
				}
				if v.Changed.Before(last.Changed) {
					s.Errorf("%s changed the Pod at %v, after a change at %v", method, v.Changed, last.Changed)
				}
				last = v
			}
		}
	}},
	{"Put brings the times of a former place", func(s *subject) {
		zone := time.FixedZone("", 3600)
		created, changed := time.Date(2001, 2, 3, 4, 5, 6, 7_800_000, zone), time.Date(2002, 2, 3, 4, 5, 6, 7_800_000, zone)
		want := store.Version{Created: created.UTC().Truncate(time.Millisecond), Changed: changed.UTC().Truncate(time.Millisecond)}
		is := func(what string, got store.Version, created, changed time.Time) {
			s.Helper()
			if got.Created != created && !got.Created.IsZero() || got.Changed != changed {
				s.Errorf("%s: created %v, changed %v, want %v, %v", what, got.Created, got.Changed, created, changed)
			}
		}
		s.do("agent", store.Put{Metadata: full("agent"), Created: created, Changed: changed})
		is("Put of a new Pod", s.get("agent").Version, want.Created, want.Changed)
		s.do("agent", store.Put{Metadata: minimal("agent"), Created: created.AddDate(0, 0, 1), Changed: changed.AddDate(0, 0, 1)})
		is("Put of a Pod that exists", s.get("agent").Version, want.Created, want.Changed.AddDate(0, 0, 1))
		s.do("agent", peer("x"))
		v := s.get("agent").Version
		if is("a change", v, want.Created, v.Changed); v.Changed.Before(want.Changed.AddDate(1, 0, 0)) {
			s.Errorf("a change of today is dated %v", v.Changed)
		}
		s.do("agent", store.Put{Metadata: full("agent")})
		v = s.get("agent").Version
		if is("Put without times", v, want.Created, v.Changed); v.Changed.Before(want.Changed.AddDate(1, 0, 0)) {
			s.Errorf("a Put of today is dated %v", v.Changed)
		}
		s.do("agent", store.Put{Metadata: minimal("agent"), Changed: changed.AddDate(-2, 0, 0)})
		is("Put of what was changed before it was created", s.get("agent").Version, want.Changed.AddDate(-2, 0, 0), want.Changed.AddDate(-2, 0, 0))
		s.do("agent", store.Delete{})
		s.do("agent", peer("x"))
		if v := s.get("agent").Version; !v.Created.IsZero() && v.Created.Before(want.Changed.AddDate(1, 0, 0)) {
			s.Errorf("a Pod that was made again today was created %v", v.Created)
		}
		s.do("late", store.Put{Metadata: full("late"), Changed: changed})
		is("Put of a new Pod without a time of creation", s.get("late").Version, want.Changed, want.Changed)
	}},
	{"Put takes a time in the future for now", func(s *subject) {
		s.put(minimal("now"))
		future := s.get("now").Version.Changed.AddDate(1, 0, 0)
		s.do("agent", store.Put{Metadata: full("agent"), Created: future, Changed: future})
		if v := s.get("agent").Version; !v.Created.Before(future.AddDate(0, -6, 0)) || !v.Changed.Before(future.AddDate(0, -6, 0)) {
			s.Errorf("created %v, changed %v", v.Created, v.Changed)
		}
		s.do("agent", store.Put{Metadata: minimal("agent"), Changed: future})
		if v := s.get("agent").Version; !v.Changed.Before(future.AddDate(0, -6, 0)) {
			s.Errorf("changed %v", v.Changed)
		}
	}},
}))
