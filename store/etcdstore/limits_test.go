package etcdstore_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"podstore/store"
	"podstore/store/etcdstore"
)

// bulky has something in each sub-key.
func bulky(name string) *store.Metadata {
	return &store.Metadata{
		PodName:   name,
		Active:    store.ActiveIn(store.NewSessionID(), store.NewSegmentID()),
		Children:  []store.SpawnedChild{{PodName: "child", SocketPath: "/run/child.sock", ScopeDelegated: []store.ScopeRule{{Target: "/src", Permission: "read"}}}},
		Reclaimed: []store.ReclaimedChild{{PodName: "old"}},
		Peers:     []store.Peer{{PodName: "peer"}},
		Manifest:  json.RawMessage(`{"name":"` + name + `"}`),
		Extra:     map[string]json.RawMessage{"later": json.RawMessage("[1]")},
	}
}

func withManifest(name string, size int) *store.Metadata {
	return &store.Metadata{PodName: name, Manifest: json.RawMessage(`"` + strings.Repeat("x", size-2) + `"`)}
}

func writeAll(s store.MetadataStore, pods []*store.Metadata) error {
	var changes []store.Change
	for _, m := range pods {
		changes = append(changes, store.Change{Pod: m.PodName, Op: store.Put{Metadata: m}})
	}
	_, err := s.Apply(background, changes, nil)
	return err
}

// The store refuses what is beyond the servers' limits before it sends anything. The
// servers accept what the store counts as within their limits.
func TestLimits(t *testing.T) {
	const bytes = 3 << 19
	several := func(n int, make func(name string) *store.Metadata) (pods []*store.Metadata) {
		for i := range n {
			pods = append(pods, make(fmt.Sprintf("pod-%03d", i)))
		}
		return pods
	}
	empty := func(name string) *store.Metadata { return &store.Metadata{PodName: name} }
	for name, c := range map[string]struct {
		pods  []*store.Metadata
		pod   string // the Pod that is named where it is refused
		fits  bool
		reads int64 // requests at most
	}{
		"Pods to compare, just":        {several(69, empty), "", true, 2}, // and 58 keys for who deletes them, and the format
		"Pods to compare":              {several(128, empty), "", false, 0},
		"Pods to compare that are new": {several(80, empty), "", false, 2},
		"operations, just":             {several(18, bulky), "", true, 1}, // 127, and the format
		"operations":                   {several(19, bulky), "", false, 1},
		"bytes, just":                  {[]*store.Metadata{withManifest("a", bytes-3000)}, "", true, 1},
		"bytes":                        {[]*store.Metadata{withManifest("a", bytes)}, "a", false, 1},
		"bytes of several, just":       {several(3, func(n string) *store.Metadata { return withManifest(n, bytes/3-1500) }), "", true, 1},
		"bytes of several":             {several(3, func(n string) *store.Metadata { return withManifest(n, bytes/3) }), "", false, 1},
		"bytes of one of several":      {[]*store.Metadata{empty("a"), withManifest("b", bytes), empty("c")}, "b", false, 1},
		"bytes of one with everything": {[]*store.Metadata{bulkyAnd("a", bytes-1024)}, "a", false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w, s, beside, _ := onWire(t, nil)
			err := writeAll(s, c.pods)
			reads, writes := w.reads.Load(), w.writes.Load()
			names, listErr := beside.List(background)
			if listErr != nil {
				t.Fatal(listErr)
			}
			if c.fits {
				if err != nil || len(names) != len(c.pods) {
					t.Fatalf("%d Pods, %v", len(names), err)
				}
				for _, m := range c.pods {
					if got, err := beside.Read(background, m.PodName); err != nil || got.Diff(m) != "" {
						t.Errorf("%q is not what was written: %v", m.PodName, err)
					}
				}
				check(t, s)
				return
			}
			e, ok := errors.AsType[*store.Error](err)
			if !ok || !errors.Is(err, store.ErrTooLarge) || !errors.Is(err, store.ErrInvalid) || e.Pod != c.pod {
				t.Errorf("got %v", err)
			}
			if writes != 0 || reads > c.reads || len(names) != 0 {
				t.Errorf("%d reads and %d writes were sent, there are %q", reads, writes, names)
			}
		})
	}
}

func bulkyAnd(name string, manifest int) *store.Metadata {
	m := bulky(name)
	m.Manifest = withManifest(name, manifest).Manifest
	return m
}

// Servers with raised limits accept more if Options say so. If the limits in Options
// are higher than those of the servers, the servers refuse, and the error is the same.
func TestRaisedLimits(t *testing.T) {
	_, s, _, _ := onWire(t, &etcdstore.Options{MaxTxnOps: 1000, MaxRequestBytes: 4 << 20})
	for name, pods := range map[string][]*store.Metadata{
		"server, bytes": {withManifest("a", 3<<19+1000)},
		"client, bytes": {withManifest("a", 3<<20)},
		"server, operations": func() (pods []*store.Metadata) {
			for i := range 60 {
				pods = append(pods, bulky(fmt.Sprint(i)))
			}
			return pods
		}(),
	} {
		if err := writeAll(s, pods); !errors.Is(err, store.ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if names, err := s.List(background); len(names) != 0 {
		t.Errorf("%q, %v", names, err)
	}
}

// A copy to a store with narrow limits makes as many changes as it needs. It refuses
// what does not fit alone.
func TestCopyWithinLimits(t *testing.T) {
	_, s, _, _ := onWire(t, nil)
	var pods []*store.Metadata
	for i := range 200 {
		pods = append(pods, bulky(fmt.Sprintf("pod-%03d", i)))
	}
	pods[100] = withManifest("pod-100", 2<<20)
	summary, err := store.Copy(background, s, func(yield func(*store.Metadata, error) bool) {
		for _, m := range pods {
			if !yield(m, nil) {
				return
			}
		}
	}, store.CopyOptions{})
	if err != nil || summary.Written != 199 || summary.Refused != 1 {
		t.Errorf("%+v, %v", summary, err)
	}
	check(t, s)
}

// An edit sends the sub-keys that it changes, and the record. An edit that changes
// nothing sends only its reads.
func TestSendsOnlyWhatChanged(t *testing.T) {
	w, s, _, direct := onWire(t, nil)
	put(t, s, bulky("agent"), bulky("other"))
	revisions := func() map[string]int64 {
		revs := map[string]int64{}
		for _, kv := range keys(t, direct, s.Prefix()).Kvs {
			revs[strings.TrimPrefix(string(kv.Key), s.Prefix())] = kv.ModRevision
		}
		return revs
	}
	before := revisions()
	w.reads.Store(0)
	w.set(nil)
	for range 2 {
		if err := store.Do(background, s, "agent", store.AddPeer{PodName: "peer"}); err != nil {
			t.Fatal(err)
		}
		put(t, s, mustRead(t, s, "agent"))
	}
	if reads, writes := w.reads.Load(), w.writes.Load(); writes != 0 || reads != 6 {
		t.Errorf("two edits, two reads and two writes that changed nothing sent %d reads and %d writes", reads, writes)
	}
	if err := store.Do(background, s, "agent", store.AddPeer{PodName: "new"}); err != nil {
		t.Fatal(err)
	}
	if n := w.writes.Load(); n != 1 {
		t.Errorf("an edit sent %d writes", n)
	}
	var changed []string
	for key, rev := range revisions() {
		if before[key] != rev {
			changed = append(changed, key)
		}
	}
	if len(changed) != 2 || revisions()["pods/agent"] == before["pods/agent"] || revisions()["values/agent/peers"] == before["values/agent/peers"] {
		t.Errorf("an edit of the peers changed %q", changed)
	}
}

func mustRead(t *testing.T, s store.MetadataStore, name string) *store.Metadata {
	t.Helper()
	m, err := s.Read(background, name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A full etcd is ErrNoSpace, and what was acknowledged is there.
func TestNoSpace(t *testing.T) {
	server := newCluster(t, 1, func(mc *memberConfig) { mc.Quota = 8 << 20 })
	s := newStore(t, newClient(t, nil, server.endpoints...), nil)
	written := 0
	for ; written < 100; written++ {
		if err := store.Write(background, s, withManifest(fmt.Sprintf("pod-%03d", written), 1<<20)); err != nil {
			if !errors.Is(err, store.ErrNoSpace) {
				t.Errorf("got %v", err)
			}
			break
		}
	}
	if names, err := s.List(background); err != nil || len(names) != written || written == 100 {
		t.Errorf("%d were written, there are %q, %v", written, names, err)
	}
	check(t, s)
}
