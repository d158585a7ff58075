package storetest

import (
	"context"
	"errors"
	"fmt"

	"podstore/store"
)

// watches reports whether the store can be watched.
func (s *subject) watches() bool {
	s.Helper()
	err := s.await(inBackground(func() error {
		for _, err := range store.Watch(background, s.MetadataStore, store.WatchOptions{}) {
			return err
		}
		return errors.New("Watch yields nothing, not even an error")
	}), "Watch yields nothing")
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		s.Fatal(err)
	}
	return err == nil
}

var watchTests = skipping("the store cannot be watched", (*subject).watches, []test{
	{"begins with every Pod as it is", func(s *subject) {
		for i, name := range oddNames {
			if i%2 == 0 {
				s.put(full(name))
			} else {
				s.put(minimal(name))
			}
		}
		w := s.watch(store.WatchOptions{})
		if n := len(w.sync()); n != len(oddNames) {
			s.Errorf("the list has %d events for %d Pods", n, len(oddNames))
		}
		w.isStore()
	}},
	{"of an empty store is synced at once", func(s *subject) {
		w := s.watch(store.WatchOptions{})
		if events := w.sync(); len(events) > 0 {
			s.Errorf("the list of an empty store is %v", events)
		}
		s.put(full("a"))
		w.until(func() bool { return !w.lacks("a") })
		w.isStore()
	}},
	{"of many Pods lists them all", func(s *subject) {
		const n = 700
		for i := 0; i < n; i += 100 {
			var changes []store.Change
			for k := range 100 {
				changes = append(changes, store.Change{Pod: fmt.Sprintf("pod-%04d", i+k), Op: peer("x")})
			}
			s.apply(changes...)
		}
		w := s.watch(store.WatchOptions{})
		w.sync()
		w.isStore()
		w.reach(last(s.apply(store.Change{Pod: "pod-0001", Op: peer("y")})))
	}},
	{"gives what each operation changes", func(s *subject) {
		s.put(full("agent"), full("other"), minimal("hub"))
		w := s.watch(store.WatchOptions{})
		w.sync()
		for i, op := range []store.Op{
			peer("new"), store.RemovePeer{PodName: "new"}, store.SetPeers{}, store.AddChild{Child: store.SpawnedChild{PodName: "c"}},
			store.RemoveChild{PodName: "c"}, store.SetChildren{}, store.SetActive{Manifest: []byte(`{"new":true}`)},
			store.SetSegment{Active: store.PendingSegment(store.SessionID{9})}, store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: "gone"}}},
			store.TrimReclaimed{}, store.SetField{Field: "future", Value: []byte(`1`)}, store.ClearField{Field: "future"},
			store.Put{Metadata: full("agent")}, store.Delete{}, store.Put{Metadata: minimal("agent")}, store.Remove{}, peer("again"),
		} {
			if _, ok := op.(store.Remove); ok && !s.removes() {
				continue
			}
			a := s.apply(store.Change{Pod: "agent", Op: op})[0]
			w.reach(a.Version.Revision.Number)
			if (a.Version.Revision.Digest == 0) != w.lacks("agent") {
				s.Errorf("operation %d, %s: the watcher is at number %d, and has not what became of it", i, op.Name(), w.number)
			}
		}
	}},
	{"gives what is changed by whatever method", func(s *subject) {
		s.put(full("agent"))
		w := s.watch(store.WatchOptions{})
		w.sync()
		for i := range 3 {
			for method, change := range s.changers() {
				v := change("agent", i)
				w.until(func() bool { return w.number >= v.Revision.Number })
				if !w.isAt("agent", v.Revision) {
					s.Errorf("after %s the watcher is at number %d, and has not revision %v", method, w.number, v.Revision)
				}
				w.isStore()
			}
		}
	}},
	{"a change of several Pods comes in one batch", func(s *subject) {
		if !s.appliesSeveral() {
			s.Skip("the store changes one Pod at a time")
		}
		s.put(minimal("a"), minimal("b"), minimal("c"), minimal("d"))
		w := s.watch(store.WatchOptions{})
		some := s.watch(store.WatchOptions{Pods: []string{"a", "c"}})
		w.sync()
		some.sync()
		for i := range 20 {
			x := fmt.Sprint("x-", i)
			changes := []store.Change{{Pod: "a", Op: peer(x)}, {Pod: "b", Op: peer(x)}, {Pod: "c", Op: store.Delete{}}}
			if i%2 == 1 {
				changes[2].Op = peer(x)
			}
			applied := s.apply(changes...)
			for _, w := range []*watching{w, some} {
				w.until(func() bool {
					a, c := w.isAt("a", applied[0].Version.Revision), w.isAt("c", applied[2].Version.Revision) || i%2 == 0 && w.lacks("c")
					if a != c {
						s.Errorf("change %d is given in part: a %v, c %v", i, a, c)
						return true
					}
					return a
				})
				w.isStore()
			}
			if s.Failed() {
				return
			}
		}
	}},
	{"gives a Pod that is removed together with what referred to it", func(s *subject) {
		if !s.removes() {
			s.Skip("the store removes no references")
		}
		s.put(referring("a", "b"), full("b"), referring("c", "b"))
		w := s.watch(store.WatchOptions{})
		w.sync()
		s.do("b", store.Remove{})
		w.until(func() bool {
			left := w.pods["a"].Metadata.RefersTo("b")
			if w.lacks("b") == left || w.pods["c"].Metadata.RefersTo("b") != left {
				s.Fatal("a Pod is removed and still referred to, or the other way round")
			}
			return !left
		})
		w.isStore()
	}},
	{"gives deletions", func(s *subject) {
		s.put(full("a"), full("b"), full("c"))
		w := s.watch(store.WatchOptions{})
		some := s.watch(store.WatchOptions{Pods: []string{"b"}})
		w.sync()
		some.sync()
		s.do("b", store.Delete{})
		w.until(func() bool { return w.lacks("b") })
		some.until(func() bool { return some.lacks("b") })
		s.put(minimal("b"))
		number := s.get("b").Version.Revision.Number
		w.reach(number)
		some.reach(number)
		for _, name := range []string{"a", "b", "c"} {
			s.do(name, store.Delete{})
		}
		w.until(func() bool { return len(w.pods) == 0 })
		some.until(func() bool { return len(some.pods) == 0 })
	}},
	{"may leave out states between, and gives the last", func(s *subject) {
		s.put(full("a"), full("b"))
		w := s.watch(store.WatchOptions{})
		w.sync()
		var r store.Revision
		for i := range 300 {
			r = s.apply(store.Change{Pod: "a", Op: peer(fmt.Sprint("x-", i))})[0].Version.Revision
			if i%3 == 0 {
				s.do("b", store.Delete{})
				s.do("b", peer("y"))
			}
		}
		w.until(func() bool { return w.isAt("a", r) })
		w.reach(s.get("b").Version.Revision.Number)
	}},
	{"of some Pods gives no others, whether they exist or not", func(s *subject) {
		s.put(full("a"), full("b"), full("c"))
		w := s.watch(store.WatchOptions{Pods: []string{"c", "missing", "a"}})
		w.sync()
		w.isStore()
		s.put(minimal("b"), minimal("d"))
		w.reach(last(s.apply(store.Change{Pod: "missing", Op: peer("x")})))
		s.do("missing", store.Delete{})
		w.until(func() bool { return w.lacks("missing") })
		w.reach(last(s.apply(store.Change{Pod: "a", Op: peer("x")})))
	}},
	{"of no Pods gives none", func(s *subject) {
		s.put(full("a"))
		w := s.watch(store.WatchOptions{Pods: []string{}})
		if events := w.sync(); len(events) > 0 {
			s.Errorf("%v", events)
		}
	}},
	{"gives no manifests where they are not wanted, and no history", func(s *subject) {
		s.put(full("a"), long("b", 300))
		bare, whole := s.watch(store.WatchOptions{OmitManifest: true}), s.watch(store.WatchOptions{})
		for i := range 3 {
			number := max(s.get("a").Version.Revision.Number, s.get("b").Version.Revision.Number)
			bare.reach(number)
			whole.reach(number)
			for _, name := range []string{"a", "b"} {
				for _, w := range []*watching{bare, whole} {
					err := store.Write(background, s, w.pods[name].Metadata)
					s.is("Write of what a watcher was given", err, store.ErrInvalid)
				}
				s.do(name, store.Reclaim{Reclaimed: pasts(i, i+2)}, store.SetActive{Manifest: fmt.Append(nil, i)})
			}
		}
	}},
	{"says how far it is, also where what changed is not watched", func(s *subject) {
		s.Parallel() // it waits
		s.put(full("a"), full("b"))
		w := s.watch(store.WatchOptions{Pods: []string{"a"}})
		w.sync()
		if n := s.get("b").Version.Revision.Number; w.number < n {
			s.Errorf("the list is of number %d, and a Pod has %d", w.number, n)
		}
		w.reach(last(s.apply(store.Change{Pod: "b", Op: peer("x")})))
	}},
	{"says so where nothing changes", func(s *subject) {
		s.Parallel() // it waits
		s.put(full("a"))
		w := s.watch(store.WatchOptions{})
		w.sync()
		if b := w.batch(); len(b.Events) > 0 {
			s.Errorf("nothing has changed, and %v is given", b.Events)
		}
	}},
	{"is at a moment that is not before it began", func(s *subject) {
		for i := range 30 {
			r := s.apply(store.Change{Pod: "a", Op: store.SetField{Field: "n", Value: fmt.Append(nil, i)}})[0].Version.Revision
			w := s.watch(store.WatchOptions{Pods: [][]string{nil, {"a"}}[i%2]})
			if w.sync(); !w.isAt("a", r) {
				s.Fatalf("the list of a watch has not what was written before it began, revision %v", r)
			}
		}
	}},
	{"shows nothing that is not made", func(s *subject) {
		s.put(full("a"))
		w := s.watch(store.WatchOptions{})
		w.sync()
		for i := range 10 {
			changes := []store.Change{{Pod: "a", Op: peer("never")}, {Pod: "a", If: store.Missing}}
			if _, err := s.Apply(background, changes, nil); !errors.Is(err, store.ErrExists) {
				s.Fatal(err)
			}
			_, err := s.Update(background, "a", func(m *store.Metadata) error { return errors.Join(m.AddPeer("never"), errEdit) })
			s.is("Update", err, errEdit)
			w.reach(last(s.apply(store.Change{Pod: "b", Op: peer(fmt.Sprint("x-", i))})))
		}
	}},
	{"that is slow holds up nobody", func(s *subject) {
		s.put(full("a"), full("b"))
		slow := s.watch(store.WatchOptions{})
		slow.batch() // and takes no more for a long time
		quick := s.watch(store.WatchOptions{OmitManifest: true})
		quick.sync()
		var number uint64
		for i := range 300 {
			changes := []store.Change{{Pod: "a", Op: peer(fmt.Sprint("x-", i))}}
			var applied []store.Applied
			if err := s.await(inBackground(func() (err error) {
				applied, err = s.Apply(background, changes, nil)
				return err
			}), "a writer waits for a watcher that is slow"); err != nil {
				s.Fatal(err)
			}
			if number = last(applied); i%50 == 0 {
				quick.reach(number)
			}
		}
		quick.reach(number)
		slow.reach(number)
	}},
	{"lets the caller use the store in the loop", func(s *subject) {
		s.put(full("a"), full("b"))
		ctx, cancel := context.WithCancel(background)
		defer cancel()
		use := func() error {
			n := 0
			for b, err := range store.Watch(ctx, s.MetadataStore, store.WatchOptions{}) {
				if err != nil {
					return err
				}
				if err := store.Do(background, s, "a", peer(fmt.Sprint("x-", n))); err != nil {
					return err
				}
				if _, err := s.Read(background, "b"); err != nil {
					return err
				}
				for b, err := range store.Watch(ctx, s.MetadataStore, store.WatchOptions{Pods: []string{"b"}}) {
					if err != nil {
						return err
					}
					if b.Synced {
						break
					}
				}
				if n++; b.Synced && n > 5 {
					return nil
				}
			}
			return nil
		}
		if err := s.await(inBackground(use), "the store is stuck while a watcher uses it"); err != nil {
			s.Error(err)
		}
	}},
	{"ends with the context's error", func(s *subject) {
		s.put(full("a"))
		for _, opts := range []store.WatchOptions{{}, {Pods: []string{"a"}}, {OmitManifest: true}} {
			ended := s.watch(opts)
			ended.cancel()
			ended.ends(context.Canceled)
			waiting := s.watch(opts)
			waiting.sync()
			waiting.cancel()
			waiting.ends(context.Canceled)
			late := s.watch(opts)
			late.sync()
			s.put(minimal("b"))
			late.cancel()
			for !late.over(context.Canceled) {
			}
		}
	}},
	{"is refused bad names", func(s *subject) {
		for _, name := range badNames {
			w := s.watch(store.WatchOptions{Pods: []string{"a", name}})
			w.ends(store.ErrInvalidName)
		}
		w := s.watch(store.WatchOptions{Pods: []string{"a", "b", "a"}})
		w.ends(store.ErrInvalid)
	}},
	{"each loop is a watch of its own", func(s *subject) {
		s.put(full("a"))
		ctx, cancel := context.WithCancel(background)
		defer cancel()
		watch := store.Watch(ctx, s.MetadataStore, store.WatchOptions{})
		for i := range 3 {
			r := newReceiver(store.WatchOptions{})
			if err := s.await(inBackground(func() error {
				for b, err := range watch {
					if err := errors.Join(err, r.take(b)); err != nil || b.Synced {
						return err
					}
				}
				return errors.New("the watch ended")
			}), "a watch that is begun again is not synced"); err != nil {
				s.Fatal(err)
			}
			if len(r.pods) != i+1 {
				s.Errorf("loop %d has %q", i, sortedKeys(r.pods))
			}
			s.put(full(fmt.Sprint("new-", i)))
		}
	}},
	{"can be left early, also by a panic", func(s *subject) {
		s.put(full("a"), full("b"))
		for i := range 50 {
			if p := recovered(func() {
				for b := range store.Watch(background, s.MetadataStore, store.WatchOptions{}) {
					if i%3 == 0 {
						panic("loop")
					}
					if b.Synced {
						break
					}
				}
			}); (p == "loop") != (i%3 == 0) {
				s.Fatalf("the loop ended with %v", p)
			}
		}
		w := s.watch(store.WatchOptions{})
		w.sync()
		w.reach(last(s.apply(store.Change{Pod: "a", Op: peer("x")})))
	}},
	{"gives a damaged Pod as an error that names it, until it is healed", func(s *subject) {
		if s.b.Damage == nil {
			s.Skip("the backend has no Damage")
		}
		s.damage()
		all, some := s.watch(store.WatchOptions{}), s.watch(store.WatchOptions{Pods: []string{"b", "c"}})
		for _, w := range []*watching{all, some} {
			w.sync()
			err := w.pods["b"].Err
			s.is("an event", err, store.ErrCorrupt)
			s.namesPod("an event", err)
			if why := mismatch(w.pods["c"].Metadata, store.ReadOptions{OmitReclaimed: true}.Part(full("c"))); why != "" {
				s.Errorf("beside a damaged Pod, c: %s", why)
			}
		}
		s.put(minimal("b"))
		r := s.get("b").Version.Revision
		for _, w := range []*watching{all, some} {
			w.until(func() bool { return w.isAt("b", r) })
			w.isStore()
		}
		s.damaged = false
	}},
	{"random histories are told as they were", func(s *subject) {
		if !s.removes() || !s.updatesPods() {
			s.Skip("the store cannot do all that the histories are made of")
		}
		random := newRandom(s.T)
		for i := range histories() {
			w := NewWatchRun(s.T, s.MetadataStore, random)
			w.Dangling = s.b.Dangling
			w.Watch(s.MetadataStore, 4)
			w.Write([]store.MetadataStore{s.MetadataStore}, 4, 20)
			w.Watch(s.MetadataStore, 2)
			w.Write([]store.MetadataStore{s.MetadataStore}, 4, 20)
			if w.End(); s.Failed() {
				s.Fatalf("that was history %d", i)
			}
		}
	}},
})
