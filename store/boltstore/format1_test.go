package boltstore

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
)

// podstore reads a file of format 1 as it is. The first change makes it version 2 and
// changes nothing else. testdata has two, written by the last build of version 1
// (2edd66e): format-1.db, and format-1-large.db.gz with the Pods below.

const largePods = 120

// largePod is one of many.
func largePod(i int) *store.Metadata {
	m := &store.Metadata{PodName: fmt.Sprintf("pod-%03d", i)}
	session := store.SessionID{1, byte(i), 15: 1}
	switch i % 3 {
	case 1:
		m.Active = store.PendingSegment(session)
	case 2:
		m.Active = store.ActiveIn(session, store.SegmentID{2, byte(i), 15: 2})
	}
	for k := range i % 4 {
		m.Children = append(m.Children, store.SpawnedChild{
			PodName: fmt.Sprintf("child-%d-%d", i, k), SocketPath: fmt.Sprintf("/run/%d/%d.sock", i, k), CallbackAddress: "/run/parent.sock",
			ScopeDelegated: []store.ScopeRule{{Target: fmt.Sprintf("/srv/é/%d", k), Permission: "write", Recursive: k%2 == 0}},
		})
	}
	for k := range i % 7 {
		m.Reclaimed = append(m.Reclaimed, store.ReclaimedChild{PodName: fmt.Sprintf("past-%d", k)})
	}
	if i%5 > 0 {
		m.Manifest = json.RawMessage(fmt.Sprintf(`{"n":%d,"ratio":0.5,"text":"%s"}`, i, strings.Repeat("x", 60*i)))
	}
	if i%5 == 0 {
		m.Extra = map[string]json.RawMessage{"team": json.RawMessage(fmt.Sprintf(`"t%d"`, i%3)), "weights": json.RawMessage(fmt.Sprintf(`[%d,0.25,null]`, i))}
	}
	if i%8 < 4 { // linked with its neighbour
		m.Peers = []store.Peer{{PodName: fmt.Sprintf("pod-%03d", i^1)}}
	}
	return m
}

// largeFile returns the Pods of format-1-large.db.
func largeFile() map[string]*store.Metadata {
	long := largePod(119)
	long.PodName, long.Peers, long.Reclaimed = "long", nil, past(0, 2000)
	pods := map[string]*store.Metadata{"long": long, "empty": {PodName: "empty"}}
	for i := range largePods {
		m := largePod(i)
		pods[m.PodName] = m
	}
	return pods
}

// version1 copies a frozen file to a path of its own.
func version1(t testing.TB, name string) (path string, content []byte) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(name, ".gz") {
		z, err := gzip.NewReader(bytes.NewReader(content))
		if err == nil {
			content, err = io.ReadAll(z)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	path = filepath.Join(t.TempDir(), "pods.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, content
}

var version1Files = map[string]map[string]*store.Metadata{
	"format-1.db":          {"agent": sample(), "empty": {PodName: "empty"}},
	"format-1-large.db.gz": largeFile(),
}

// hasPods reads a store in every way.
func hasPods(t *testing.T, s *Store, want map[string]*store.Metadata) {
	t.Helper()
	ctx := context.Background()
	names, err := s.List(ctx)
	if err != nil || len(names) != len(want) {
		t.Errorf("list: %d names, expected %d, %v", len(names), len(want), err)
	}
	for m, err := range s.All(ctx, store.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if w := want[m.PodName]; w == nil || m.Diff(w) != "" {
			t.Errorf("all: %q differs in %q", m.PodName, m.Diff(w))
		}
	}
	for name, w := range want {
		if m, err := s.Read(ctx, name); err != nil || m.Diff(w) != "" {
			t.Errorf("read: %q differs in %q, %v", name, m.Diff(w), err)
		}
		o := store.ReadOptions{OmitManifest: true, OmitReclaimed: true}
		if m, err := s.ReadPart(ctx, name, o); err != nil || m.Diff(o.Part(w)) != "" {
			t.Errorf("a part of %q: %v", name, err)
		}
	}
}

// A call that changes nothing leaves every byte of a file of version 1.
func TestVersion1IsRead(t *testing.T) {
	ctx := context.Background()
	for name, want := range version1Files {
		t.Run(name, func(t *testing.T) {
			path, before := version1(t, name)
			same := func(when string) {
				t.Helper()
				if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
					t.Fatalf("%s: the file was changed (%v)", when, err)
				}
			}
			s := open(t, path, &Options{ReadOnly: true, FullCheck: true})
			hasPods(t, s, want)
			if err := store.Write(ctx, s, &store.Metadata{PodName: "x"}); err == nil {
				t.Error("written through a handle for reading")
			}
			s.Close()
			same("read-only")
			if sum, all := findings(t, path); sum.Findings > 0 || sum.Pods != len(want) {
				t.Errorf("check: %+v", all)
			}
			same("checked")
			for how, copied := range copies {
				s := open(t, path, nil)
				c := open(t, copied(t, s), nil)
				hasPods(t, c, want)
				sound(t, c)
				s.Close()
				same(how)
			}
			s = open(t, path, nil)
			hasPods(t, s, want)
			first := largePod(2).PodName
			if name == "format-1.db" {
				first = "agent"
			}
			m := want[first]
			for what, err := range map[string]error{
				"a peer that is there": store.Do(ctx, s, first, store.AddPeer{PodName: m.Peers[0].PodName}),
				"the same put":         store.Write(ctx, s, m),
				"an edit of nothing":   second(s.Update(ctx, first, func(*store.Metadata) error { return nil })),
				"a condition":          second(s.Apply(ctx, []store.Change{{Pod: first, If: store.Exists}}, nil)),
				"nothing to remove":    store.Do(ctx, s, "nobody", store.Remove{}),
				"under an ID":          second(tryID(s, 1, store.ApplyOptions{Metadata: true}, first, store.RemovePeer{PodName: "nobody"})),
			} {
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			if _, err := s.Apply(ctx, []store.Change{{Pod: first, Op: peer(1)}, {Pod: first, If: store.Missing}}, nil); err == nil {
				t.Error("a condition that is not met was passed over")
			}
			s.Close()
			same("opened to write, and read")
		})
	}
}

// rawBuckets returns the bytes that a file has under each name.
func rawBuckets(t *testing.T, path string) map[string]string {
	t.Helper()
	buckets := map[string]string{}
	name := ""
	for line := range strings.Lines(dump(t, path)) {
		if !strings.HasPrefix(line, " ") {
			name, _, _ = strings.Cut(line, " sequence ")
		}
		buckets[name] += line
	}
	return buckets
}

// The first change writes the number of the new format and its own Pods, and the log
// says so. All other Pods stay the same, to the byte, until they change.
func TestVersion1IsUpgraded(t *testing.T) {
	ctx := context.Background()
	long := func(s *Store, ops ...store.Op) error { return store.Do(ctx, s, "long", ops...) }
	for what, c := range map[string]struct {
		change  func(s *Store) error
		changed []string
		edit    func(pods map[string]*store.Metadata)
	}{
		"add peer": {
			func(s *Store) error { return store.Do(ctx, s, "empty", peer(1)) }, []string{"empty"},
			func(pods map[string]*store.Metadata) { _ = pods["empty"].AddPeer("peer 1") },
		},
		"reclaim into a long value": {
			func(s *Store) error { return long(s, store.Reclaim{Reclaimed: past(2000, 3)}) }, []string{"long"},
			func(pods map[string]*store.Metadata) { pods["long"].Reclaimed = past(0, 2003) },
		},
		"trim a long value": {
			func(s *Store) error { return long(s, store.TrimReclaimed{Keep: 1900}) }, []string{"long"},
			func(pods map[string]*store.Metadata) { pods["long"].Reclaimed = past(100, 1900) },
		},
		"another field beside a long value": {
			func(s *Store) error { return long(s, peer(1)) }, []string{"long"},
			func(pods map[string]*store.Metadata) { _ = pods["long"].AddPeer("peer 1") },
		},
		"put": {
			func(s *Store) error { return store.Write(ctx, s, sample()) }, []string{"agent"},
			func(pods map[string]*store.Metadata) { pods["agent"] = sample() },
		},
		"update": {
			func(s *Store) error {
				_, err := s.Update(ctx, "pod-010", func(m *store.Metadata) error { m.Extra = nil; return nil })
				return err
			}, []string{"pod-010"},
			func(pods map[string]*store.Metadata) { pods["pod-010"].Extra = nil },
		},
		"delete": {
			func(s *Store) error { return long(s, store.Delete{}) }, []string{"long"},
			func(pods map[string]*store.Metadata) { delete(pods, "long") },
		},
		"remove": {
			func(s *Store) error { return store.Do(ctx, s, "pod-002", store.Remove{}) }, []string{"pod-002", "pod-003"},
			func(pods map[string]*store.Metadata) { delete(pods, "pod-002"); pods["pod-003"].Peers = nil },
		},
		"link": {
			func(s *Store) error { return store.LinkPeers(ctx, s, "empty", "long") }, []string{"empty", "long"},
			func(pods map[string]*store.Metadata) {
				_ = pods["empty"].AddPeer("long")
				_ = pods["long"].AddPeer("empty")
			},
		},
		"under an ID": {
			func(s *Store) error { return second(tryID(s, 7, store.ApplyOptions{}, "pod-000", entry(1))) }, []string{"pod-000"},
			func(pods map[string]*store.Metadata) { pods["pod-000"].Reclaimed = past(1, 1) },
		},
	} {
		t.Run(what, func(t *testing.T) {
			path, _ := version1(t, "format-1-large.db.gz")
			want := largeFile()
			before := rawBuckets(t, path)
			var log bytes.Buffer
			s := open(t, path, &Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if log.Len() > 0 {
				t.Errorf("opening logs %s", &log)
			}
			if err := c.change(s); err != nil {
				t.Fatal(err)
			}
			if said := log.String(); !strings.Contains(said, "older programs cannot open") || !strings.Contains(said, path) {
				t.Errorf("the log says %q", said)
			}
			c.edit(want)
			hasPods(t, s, want)
			for _, name := range c.changed {
				if m := want[name]; m != nil {
					if m, err := s.Read(ctx, name); err != nil || m.Version.Revision.Number == 0 || m.Version.Changed.IsZero() || !m.Version.Created.IsZero() && name != "agent" {
						t.Errorf("%q has version %+v, %v", name, m.Version, err)
					}
				}
			}
			sound(t, s)
			after := rawBuckets(t, path)
			changed := map[string]bool{fmt.Sprintf("%q", bookkeeping): true}
			for _, name := range c.changed {
				changed[fmt.Sprintf("%q", name)] = true
			}
			for name := range before {
				if same := before[name] == after[name]; same == changed[name] && after[name] != "" {
					t.Errorf("%s was written anew: %v", name, !same)
				}
			}
			names, deletions := after[fmt.Sprintf("%q", bookkeeping)], what == "delete" || what == "remove"
			if strings.Contains(names, keyBase) || strings.Contains(names, keyDeletions) != deletions {
				t.Errorf("the bookkeeping is %s", names)
			}

			// It stays version 2, and the next change logs nothing.
			log.Reset()
			s = open(t, path, &Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			do(t, s, "pod-001", peer(2))
			_ = want["pod-001"].AddPeer("peer 2")
			hasPods(t, s, want)
			if log.Len() > 0 {
				t.Errorf("the second change logs %s", &log)
			}
			err := s.view("test", "", func(tx *bolt.Tx) error {
				version, err := checkFormat(tx)
				if version != formatVersion {
					t.Errorf("the format is %d", version)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
			sound(t, s)
		})
	}
}

// A whole file of version 1, changed Pod by Pod, is one of version 2.
func TestVersion1IsChangedThroughout(t *testing.T) {
	path, _ := version1(t, "format-1-large.db.gz")
	want := largeFile()
	s := open(t, path, nil)
	for name, m := range want {
		do(t, s, name, entry(5000), peer(3))
		m.Reclaimed = append(m.Reclaimed, past(5000, 1)...)
		_ = m.AddPeer("peer 3")
	}
	s = reopen(t, s)
	hasPods(t, s, want)
	holds(t, s, "long", want["long"].Reclaimed)
	sound(t, s)
}
