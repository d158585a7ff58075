package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"podstore/store"
)

var writeBatchTests = skipping("the store writes no batches", func(s *subject) bool {
	_, ok := s.MetadataStore.(store.BatchWriter)
	return ok
}, []test{
	{"writes each Pod", func(s *subject) {
		s.put(full("a"), full("b"))
		var pods []*store.Metadata
		for _, name := range oddNames {
			pods = append(pods, full(name))
		}
		pods = append(pods, minimal("b"), minimal("new"))
		s.writeBatch(pods, nil)
		for _, m := range pods {
			if m.PodName != "a" {
				s.expect(m)
			}
		}
	}},
	{"of nothing returns nothing", func(s *subject) {
		s.put(full("a"))
		s.unchanged("WriteBatch", func() { s.writeBatch(nil, nil) })
	}},
	{"refuses one and writes the others", func(s *subject) {
		s.put(full("bad"))
		for _, sp := range spoiled {
			bad := full("bad")
			bad.Peers = nil
			sp.spoil(bad)
			s.writeBatch([]*store.Metadata{minimal("a"), bad, minimal("b")}, []error{nil, store.ErrInvalid, nil})
			s.expect(minimal("a"), full("bad"), minimal("b"))
			s.writeBatch([]*store.Metadata{bad, full("a")}, []error{store.ErrInvalid, nil})
			s.expect(full("a"), full("bad"))
		}
		for _, name := range badNames {
			s.writeBatch([]*store.Metadata{minimal("a"), full(name), full("b")}, []error{nil, store.ErrInvalidName, nil})
			s.expect(minimal("a"), full("b"))
		}
		s.expectNames("a", "b", "bad")
	}},
	{"writes a Pod that comes twice in order", func(s *subject) {
		s.writeBatch([]*store.Metadata{full("a"), minimal("b"), minimal("a"), full("b")}, nil)
		s.expect(minimal("a"), full("b"))
	}},
	{"neither changes nor keeps what it is given", func(s *subject) {
		m := full("a")
		m.Manifest = []byte(` { "b":1, "a":2 } `)
		before := m.Clone()
		s.writeBatch([]*store.Metadata{m}, nil)
		if why := mismatch(m, before); why != "" {
			s.Errorf("WriteBatch changed what it was given: %s", why)
		}
		scribble(m)
		s.expect(before)
	}},
	{"takes the changed time of a put", func(s *subject) {
		long := time.UnixMilli(1_600_000_000_123).UTC()
		errs := s.MetadataStore.(store.BatchWriter).WriteBatch(background, []store.Put{{Metadata: full("a"), Changed: long}})
		if len(errs) != 1 || errs[0] != nil {
			s.Fatalf("WriteBatch: %v", errs)
		}
		if m, err := s.Read(background, "a"); err != nil || !m.Version.Changed.IsZero() && !m.Version.Changed.Equal(long) {
			s.Errorf("the Pod changed at %v, expected %v; %v", m.Version.Changed, long, err)
		}
	}},
})

// puts returns a batch of Puts.
func puts(pods ...*store.Metadata) []store.Put {
	var puts []store.Put
	for _, m := range pods {
		puts = append(puts, store.Put{Metadata: m})
	}
	return puts
}

// writeBatch writes a batch and compares the errors. A nil expects none.
func (s *subject) writeBatch(pods []*store.Metadata, want []error) {
	s.Helper()
	errs := s.MetadataStore.(store.BatchWriter).WriteBatch(background, puts(pods...))
	if len(errs) != len(pods) {
		s.Fatalf("WriteBatch of %d Pods returned %d errors", len(pods), len(errs))
	}
	for i, err := range errs {
		if want == nil || want[i] == nil {
			if err != nil {
				s.Errorf("WriteBatch %.80q: %v", pods[i].PodName, err)
			}
			continue
		}
		s.is(fmt.Sprintf("WriteBatch %.80q", pods[i].PodName), err, want[i])
	}
}

var rootDirTests = skipping("the store is not kept in a directory", func(s *subject) bool {
	return store.RootDir(s.MetadataStore) != ""
}, []test{
	{"holds everything that is written, and nothing is written beside it", func(s *subject) {
		root := store.RootDir(s.MetadataStore)
		beside := s.files(filepath.Dir(root), root)
		before := s.files(root, "")
		for _, name := range oddNames {
			s.put(full(name))
			s.update(name, func(m *store.Metadata) error { return m.AddPeer("peer") })
		}
		if after := s.files(root, ""); after == before {
			s.Errorf("nothing below the root %s has changed", root)
		}
		if after := s.files(filepath.Dir(root), root); after != beside {
			s.Errorf("beside the root there is\n%safter\n%s", after, beside)
		}
	}},
	{"cannot be escaped through a name", func(s *subject) {
		root := store.RootDir(s.MetadataStore)
		victim := filepath.Join(filepath.Dir(root), "victim")
		if err := os.Mkdir(victim, 0o700); err != nil {
			s.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(victim, "metadata.json"), []byte(`{"pod_name":"victim"}`), 0o600); err != nil {
			s.Fatal(err)
		}
		s.put(full("agent"))
		before := s.files(filepath.Dir(root), "")
		for _, name := range append([]string{
			"../victim", victim, "agent/../../victim", "./agent", "agent/", "..\x00/victim", "../victim/metadata.json",
		}, badNames...) {
			for method, call := range s.byName() {
				s.is(fmt.Sprintf("%s %.80q", method, name), call(background, name), store.ErrInvalidName)
			}
		}
		if after := s.files(filepath.Dir(root), ""); after != before {
			s.Errorf("bad names left\n%safter\n%s", after, before)
		}
	}},
})

// files lists the files below dir, except below except, with their times of
// modification.
func (s *subject) files(dir, except string) string {
	s.Helper()
	var list strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path == dir:
			return nil
		case path == except:
			return fs.SkipDir
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&list, "%q %s %d %s\n", path, info.Mode(), info.Size(), info.ModTime())
		return nil
	})
	if err != nil {
		s.Fatal(err)
	}
	return list.String()
}

func (s *subject) takesSnapshots() bool {
	s.Helper()
	_, closer, err := s.snapshot()
	if err == nil {
		err = closer.Close()
	}
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		s.Fatal(err)
	}
	return err == nil
}

var snapshotTests = skipping("the store takes no snapshots", (*subject).takesSnapshots, []test{
	{"holds one moment", func(s *subject) {
		s.put(full("a"), minimal("b"), full("c"))
		snap := s.mustSnapshot()
		s.put(minimal("a"), full("d"))
		s.update("b", func(m *store.Metadata) error { return m.AddPeer("late") })
		if err := store.Do(background, s, "c", store.Delete{}); err != nil {
			s.Fatal(err)
		}
		snap.expectNames("a", "b", "c")
		snap.expect(full("a"), minimal("b"), full("c"))
		snap.absent("d")
		snap.checkWhole()
		s.expect(minimal("a"), full("d"))
		s.absent("c")
	}},
	{"of an empty store is empty", func(s *subject) {
		snap := s.mustSnapshot()
		s.put(full("a"))
		snap.expectNames()
		snap.absent("a")
	}},
	{"cannot be changed", func(s *subject) {
		s.put(full("agent"), full("a"))
		snap := s.mustSnapshot()
		s.unchanged("a change of a snapshot", func() {
			snap.unchanged("a change of a snapshot", func() {
				edit := func(m *store.Metadata) error { return m.AddPeer("new") }
				changes := map[string]error{
					"Write":          store.Write(background, snap, minimal("agent")),
					"Write new":      store.Write(background, snap, minimal("new")),
					"Delete":         store.Do(background, snap, "agent", store.Delete{}),
					"AddPeer":        store.Do(background, snap, "agent", store.AddPeer{PodName: "new"}),
					"AddPeer to new": store.Do(background, snap, "new", store.AddPeer{PodName: "new"}),
				}
				_, changes["Update"] = snap.Update(background, "agent", edit)
				_, changes["Update of new"] = snap.Update(background, "new", edit)
				if u, ok := snap.MetadataStore.(store.PodUpdater); ok {
					_, changes["UpdatePods"] = u.UpdatePods(background, []string{"agent", "a"}, func(pods []*store.Metadata) error {
						clear(pods)
						return nil
					})
				}
				if b, ok := snap.MetadataStore.(store.BatchWriter); ok {
					changes["WriteBatch"] = errors.Join(b.WriteBatch(background, puts(minimal("agent")))...)
				}
				for method, err := range changes {
					s.is(method+" on a snapshot", err, store.ErrReadOnly)
				}
			})
		})
	}},
	{"keeps the rules of reading", func(s *subject) {
		s.put(full("a"))
		snap := s.mustSnapshot()
		for _, name := range badNames {
			_, err := snap.Read(background, name)
			s.is("Read of a snapshot", err, store.ErrInvalidName)
		}
		ctx, cancel := context.WithCancel(background)
		cancel()
		_, err := snap.Read(ctx, "a")
		s.is("Read of a snapshot", err, context.Canceled)
		_, err = snap.List(ctx)
		s.is("List of a snapshot", err, context.Canceled)
		scribble(snap.get("a"))
		snap.expect(full("a"))
		s.expect(full("a"))
	}},
	{"several do not disturb each other nor the store", func(s *subject) {
		var snaps []*subject
		for i := range 4 {
			snaps = append(snaps, s.mustSnapshot())
			s.put(full(fmt.Sprint("pod-", i)))
		}
		for i, snap := range snaps {
			if n := len(snap.list()); n != i {
				s.Errorf("snapshot %d has %d Pods", i, n)
			}
		}
		s.expect(full("pod-3"))
	}},
	{"that is closed leaves the store alone", func(s *subject) {
		s.put(full("a"))
		for range 10 {
			_, closer, err := s.snapshot()
			if err != nil {
				s.Fatal(err)
			}
			if err := closer.Close(); err != nil {
				s.Errorf("closing a snapshot: %v", err)
			}
			s.update("a", func(m *store.Metadata) error { return m.AddPeer("peer") })
		}
		if !s.get("a").HasPeer("peer") {
			s.Error("a change after closing a snapshot is lost")
		}
	}},
})

func (s *subject) snapshot() (store.MetadataStore, io.Closer, error) {
	sn, ok := s.MetadataStore.(store.Snapshotter)
	if !ok {
		return nil, nil, errors.ErrUnsupported
	}
	return sn.Snapshot(background)
}

// mustSnapshot takes a snapshot and closes it at the end of the test.
func (s *subject) mustSnapshot() *subject {
	s.Helper()
	snap, closer, err := s.snapshot()
	if err != nil {
		s.Fatalf("Snapshot: %v", err)
	}
	s.atEnd = append(s.atEnd, func() {
		if err := closer.Close(); err != nil {
			s.Errorf("closing a snapshot: %v", err)
		}
	})
	return &subject{T: s.T, MetadataStore: snap, b: s.b}
}
