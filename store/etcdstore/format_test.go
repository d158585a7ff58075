package etcdstore_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	clientv3 "go.etcd.io/etcd/client/v3"

	"podstore/store"
	"podstore/store/etcdstore"
)

var update = flag.Bool("update", false, "write testdata anew: only before the format is released")

// The drawing in keys.go, held against a real server: a change of this dump is a
// change of the format. What differs each time is left out: times, IDs, and the
// checksum that covers them.
func TestFormatIsAsDrawn(t *testing.T) {
	_, s, _, direct := onWire(t, nil)
	m := bulky("agent")
	m.Active = store.ActiveIn(store.SessionID(uuid.MustParse("0197f1d2-5a3b-7c4d-8e6f-0123456789ab")), store.SegmentID(uuid.MustParse("0197f1d2-5a3b-7c4d-8e6f-0123456789ac")))
	put(t, s, m, &store.Metadata{PodName: "empty"}, &store.Metadata{PodName: "日 本\n"}, &store.Metadata{PodName: "gone"})
	if err := store.Do(background, s, "gone", store.Delete{}); err != nil {
		t.Fatal(err)
	}
	child := store.Change{Pod: "parent", Op: store.AddChild{Child: store.SpawnedChild{PodName: "empty"}}}
	if _, err := s.Apply(background, []store.Change{child, {Pod: "empty", If: store.Exists}}, nil); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, kv := range keys(t, direct, s.Prefix()).Kvs {
		key, value := strings.TrimPrefix(string(kv.Key), s.Prefix()), kv.Value
		switch {
		case strings.HasPrefix(key, "pods/"):
			// CRC, an array, two uint64, a uint below 128, a binary of one ID, uints.
			fmt.Fprintf(&b, "%q = (sum) %x %x (created) %x (changed) %x (ID) %x %q\n", key, value[4], value[5], value[14], value[23:26], value[42:58], value[58:])
		case strings.HasPrefix(key, "deleted/"):
			fmt.Fprintf(&b, "%q = (sum) %x (ID) %x\n", key, value[4:9], value[25:])
		case len(value) == 0:
			fmt.Fprintf(&b, "%q =\n", key)
		default:
			fmt.Fprintf(&b, "%q = %x %q\n", key, value[:4], value[4:])
		}
	}
	golden := filepath.Join("testdata", "format-2.dump")
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the keys are\n%s\nwant\n%s", b.String(), want)
	}
}

// restore copies keys of another store below a store's prefix.
func restore(t *testing.T, kv clientv3.KV, prefix, file string) {
	t.Helper()
	var kvs map[string][]byte
	b, err := os.ReadFile(filepath.Join("testdata", file))
	if err == nil {
		err = json.Unmarshal(b, &kvs)
	}
	for key, value := range kvs {
		if err == nil {
			_, err = kv.Put(background, prefix+key, string(value))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// This version reads a store of version 1 without changing a key. The first change
// writes the new format and its own Pod, and nothing else. The program of version 1
// wrote the file in testdata.
func TestFormat1(t *testing.T) {
	_, s, _, direct := onWire(t, nil)
	restore(t, direct, s.Prefix(), "format-1.json")
	agent := bulky("agent")
	agent.Active = store.ActiveIn(store.SessionID(uuid.MustParse("0197f1d2-5a3b-7c4d-8e6f-0123456789ab")), store.SegmentID(uuid.MustParse("0197f1d2-5a3b-7c4d-8e6f-0123456789ac")))
	if err := agent.AddPeer("empty"); err != nil {
		t.Fatal(err)
	}
	pods := []*store.Metadata{agent, {PodName: "empty", Peers: []store.Peer{{PodName: "agent"}}}, {PodName: "日 本\n"}}
	read := func() {
		t.Helper()
		for _, want := range pods {
			m := mustRead(t, s, want.PodName)
			if field := m.Diff(want); field != "" || m.Version.Revision.IsZero() {
				t.Errorf("%q differs in %q, version %+v", m.PodName, field, m.Version)
			}
		}
		check(t, s)
	}
	before := keys(t, direct, s.Prefix()).Kvs
	read()
	if err := store.Do(background, s, "agent", store.AddPeer{PodName: "empty"}); err != nil {
		t.Fatal(err)
	}
	if m := mustRead(t, s, "empty"); !m.Version.Created.IsZero() || !m.Version.Changed.IsZero() {
		t.Errorf("the times of a Pod of version 1 are %+v", m.Version)
	}
	if after := keys(t, direct, s.Prefix()).Kvs; !reflect.DeepEqual(before, after) {
		t.Error("reading, or a change of nothing, changed a key")
	}
	old := mustRead(t, s, "empty").Version.Revision
	applied, err := s.Apply(background, []store.Change{{Pod: "empty", Op: store.AddPeer{PodName: "new"}, If: store.AtRevision(old)}}, nil)
	if err != nil || !applied[0].Version.Created.IsZero() || applied[0].Version.Changed.IsZero() || applied[0].Version.Revision.Number <= old.Number {
		t.Errorf("%+v, %v", applied, err)
	}
	pods[1].Peers = append(pods[1].Peers, store.Peer{PodName: "new"})
	read()
	was := map[string]int64{}
	for _, kv := range before {
		was[string(kv.Key)] = kv.ModRevision
	}
	var changed []string
	for _, kv := range keys(t, direct, s.Prefix()).Kvs {
		if was[string(kv.Key)] != kv.ModRevision {
			changed = append(changed, strings.TrimPrefix(string(kv.Key), s.Prefix()))
		}
		delete(was, string(kv.Key))
	}
	if !slices.Equal(changed, []string{"format", "pods/empty", "values/empty/peers"}) || len(was) != 1 || was[s.Prefix()+"deleted"] == 0 {
		t.Errorf("the first change changed %q and removed %v", changed, was)
	}
	put(t, s, bulky("agent"), bulky("new"))
	check(t, s)
}

// sealedFormat is the value of format, as keys.go draws it.
func sealedFormat(msgpack string) string {
	sum := crc32.Checksum([]byte("/podstore\x00format\x00"+msgpack), crc32.MakeTable(crc32.Castagnoli))
	return string(binary.BigEndian.AppendUint32(nil, sum)) + msgpack
}

// A store of a newer version, or whose version is damaged, is not touched.
func TestRefusesOtherFormats(t *testing.T) {
	for name, c := range map[string]struct {
		value string
		want  error
	}{
		"newer":   {sealedFormat("\x03"), store.ErrFormat},
		"damaged": {"\x00\x00\x00\x00\x01", store.ErrCorrupt},
		"empty":   {"", store.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			w, s, _, direct := onWire(t, nil)
			put(t, s, bulky("agent"))
			w.set(nil)
			if _, err := direct.Put(background, s.Prefix()+"format", c.value); err != nil {
				t.Fatal(err)
			}
			var all error
			for _, all = range s.All(background, store.ReadOptions{}) {
			}
			_, read := s.Read(background, "agent")
			_, list := s.List(background)
			_, snapshot, _ := s.Snapshot(background)
			edit := store.Do(background, s, "agent", store.AddPeer{PodName: "new"})
			_, _, err := s.Snapshot(background)
			for method, err := range map[string]error{
				"Read": read, "List": list, "All": all, "Update": edit, "Snapshot": err,
				"Write": store.Write(background, s, bulky("agent")), "Delete": store.Do(background, s, "agent", store.Delete{}),
			} {
				if !errors.Is(err, c.want) {
					t.Errorf("%s: %v", method, err)
				}
			}
			if snapshot != nil || w.writes.Load() != 0 {
				t.Errorf("%d writes were sent", w.writes.Load())
			}
		})
	}
}

// If a newer version writes its format between reading and writing, this version
// notices and writes nothing.
func TestNewerFormatComesBetween(t *testing.T) {
	w, s, _, direct := onWire(t, nil)
	put(t, s, bulky("agent"))
	w.set(first(fate{before: func() {
		if _, err := direct.Put(background, s.Prefix()+"format", sealedFormat("\x03")); err != nil {
			t.Error(err)
		}
	}}))
	before := keys(t, direct, s.Prefix()+"pods/").Kvs
	if err := store.Do(background, s, "agent", store.AddPeer{PodName: "new"}); !errors.Is(err, store.ErrFormat) {
		t.Errorf("got %v", err)
	}
	if after := keys(t, direct, s.Prefix()+"pods/").Kvs; !reflect.DeepEqual(before, after) {
		t.Error("the Pod was changed")
	}
}

// If somebody else changes keys below the prefix, only that Pod is damaged. Write heals
// it and Delete removes it.
func TestDamage(t *testing.T) {
	swap := func(kv clientv3.KV, from, to string) error {
		resp, err := kv.Get(background, from)
		if err == nil {
			_, err = kv.Put(background, to, string(resp.Kvs[0].Value))
		}
		return err
	}
	del := func(kv clientv3.KV, key string) error {
		_, err := kv.Delete(background, key)
		return err
	}
	for name, c := range map[string]struct {
		spoil  func(kv clientv3.KV, prefix string) error
		listed bool
		apart  bool // changes that do not need it do not notice
	}{
		"a value is lost":          {func(kv clientv3.KV, p string) error { return del(kv, p+"values/b/children") }, true, false},
		"a value is another Pod's": {func(kv clientv3.KV, p string) error { return swap(kv, p+"values/a/peers", p+"values/b/peers") }, true, false},
		"a value is another's":     {func(kv clientv3.KV, p string) error { return swap(kv, p+"values/b/extra", p+"values/b/peers") }, true, false},
		"a value is empty":         {func(kv clientv3.KV, p string) error { _, err := kv.Put(background, p+"values/b/peers", ""); return err }, true, false},
		"the record is lost":       {func(kv clientv3.KV, p string) error { return del(kv, p+"pods/b") }, false, false},
		"the record is empty":      {func(kv clientv3.KV, p string) error { _, err := kv.Put(background, p+"pods/b", ""); return err }, true, false},
		"the record is another's":  {func(kv clientv3.KV, p string) error { return swap(kv, p+"pods/a", p+"pods/b") }, true, false},
		"an old value": {func(kv clientv3.KV, p string) error {
			// The value that was there before, put back behind the store's back.
			old, err := kv.Get(background, p+"values/b/manifest")
			if err != nil {
				return err
			}
			s, _ := kv.(*clientv3.Client)
			st, err := etcdstore.New(s, p, nil)
			if err != nil {
				return err
			}
			if err := store.Do(background, st, "b", store.SetActive{Active: nil, Manifest: []byte(`"other"`)}); err != nil {
				return err
			}
			_, err = kv.Put(background, p+"values/b/manifest", string(old.Kvs[0].Value))
			return err
		}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			_, s, _, direct := onWire(t, nil)
			put(t, s, bulky("a"), bulky("b"), bulky("c"))
			if err := c.spoil(direct, s.Prefix()); err != nil {
				t.Fatal(err)
			}
			_, err := s.Read(background, "b")
			e, _ := errors.AsType[*store.Error](err)
			if !errors.Is(err, store.ErrCorrupt) || e.Pod != "b" {
				t.Errorf("Read: %v", err)
			}
			for op, err := range map[string]error{"add peer": store.Do(background, s, "b", store.AddPeer{PodName: "new"}), "link": store.LinkPeers(background, s, "a", "b")} {
				if errors.Is(err, store.ErrCorrupt) == c.apart || c.apart && err != nil {
					t.Errorf("%s: %v", op, err)
				}
			}
			names, err := s.List(background)
			if err != nil || slices.Contains(names, "b") != c.listed {
				t.Errorf("List: %q, %v", names, err)
			}
			var found []error
			if _, err := s.Check(background, func(err error) { found = append(found, err) }); err != nil || len(found) == 0 {
				t.Errorf("Check: %v, %v", found, err)
			}
			for _, err := range found {
				if !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "b") {
					t.Errorf("Check: %v", err)
				}
			}
			put(t, s, bulky("b"))
			check(t, s)
			if err := c.spoil(direct, s.Prefix()); err != nil {
				t.Fatal(err)
			}
			if err := store.Do(background, s, "b", store.Delete{}); err != nil {
				t.Error(err)
			}
			if _, err := s.Read(background, "b"); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("Read after Delete: %v", err)
			}
			check(t, s)
			for _, name := range []string{"a", "c"} {
				mustRead(t, s, name)
			}
		})
	}
}

// Check names keys below the prefix that belong to nothing.
func TestStrangeKeys(t *testing.T) {
	_, s, _, direct := onWire(t, nil)
	put(t, s, bulky("a"))
	strange := []string{"x", "pods/", "pods/a/b", "pods/..", "values/lost/peers"}
	for _, key := range strange {
		if _, err := direct.Put(background, s.Prefix()+key, "v"); err != nil {
			t.Fatal(err)
		}
	}
	names, err := s.List(background)
	if !errors.Is(err, store.ErrCorrupt) || !slices.Equal(names, []string{"a"}) {
		t.Errorf("List: %q, %v", names, err)
	}
	var found []string
	pods, err := s.Check(background, func(err error) {
		e, _ := errors.AsType[*store.Error](err)
		found = append(found, strings.TrimPrefix(e.Path, s.Prefix()))
	})
	slices.Sort(found)
	slices.Sort(strange)
	if err != nil || pods != 1 || !slices.Equal(found, strange) {
		t.Errorf("Check: %d Pods, %q, %v", pods, found, err)
	}
}

// A sub-key or a record that this version does not know comes from a newer version. It
// is not damage, and nothing replaces it.
func TestNewer(t *testing.T) {
	// As a version with one more field would write it.
	longer := func(value []byte) string {
		payload := append([]byte{value[4] + 1}, append(value[5:], 0)...)
		sum := crc32.Checksum(append([]byte("b\x00pod\x00"), payload...), crc32.MakeTable(crc32.Castagnoli))
		return string(append(binary.BigEndian.AppendUint32(nil, sum), payload...))
	}
	for name, change := range map[string]func(kv clientv3.KV, prefix string) error{
		"sub-key": func(kv clientv3.KV, p string) error {
			_, err := kv.Put(background, p+"values/b/later", "v")
			return err
		},
		"stamp": func(kv clientv3.KV, p string) error {
			_, err := kv.Put(background, p+"values/b/stamp", "v")
			return err
		},
		"record": func(kv clientv3.KV, p string) error {
			resp, err := kv.Get(background, p+"pods/b")
			if err == nil {
				_, err = kv.Put(background, p+"pods/b", longer(resp.Kvs[0].Value))
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, s, _, direct := onWire(t, nil)
			put(t, s, bulky("a"), bulky("b"), bulky("c"))
			if err := change(direct, s.Prefix()); err != nil {
				t.Fatal(err)
			}
			before := keys(t, direct, s.Prefix()).Kvs
			_, read := s.Read(background, "b")
			_, part := s.ReadPart(background, "b", store.ReadOptions{OmitManifest: true, OmitReclaimed: true})
			_, update := s.Update(background, "b", increment)
			for method, err := range map[string]error{"Read": read, "ReadPart": part, "Update": update,
				"put": store.Write(background, s, bulky("b")), "delete": store.Do(background, s, "b", store.Delete{}),
				"add peer": store.Do(background, s, "b", store.AddPeer{PodName: "new"}), "link": store.LinkPeers(background, s, "a", "b"),
				"remove": store.Do(background, s, "a", store.Remove{}),
			} {
				if e, ok := errors.AsType[*store.Error](err); !errors.Is(err, store.ErrFormat) || errors.Is(err, store.ErrCorrupt) || !ok || e.Pod != "b" {
					t.Errorf("%s: %v", method, err)
				}
			}
			if after := keys(t, direct, s.Prefix()).Kvs; !reflect.DeepEqual(before, after) {
				t.Error("a key was changed")
			}
			var found []error
			if n, err := s.Check(background, func(err error) { found = append(found, err) }); err != nil || n != 3 || len(found) != 1 || !errors.Is(found[0], store.ErrFormat) {
				t.Errorf("Check: %d, %v, %v", n, found, err)
			}
			mustRead(t, s, "a")
			if names, err := s.List(background); err != nil || len(names) != 3 {
				t.Errorf("List: %q, %v", names, err)
			}
		})
	}
}

// A snapshot ends when etcd is compacted past it; an iteration goes on.
func TestCompaction(t *testing.T) {
	_, s, _, direct := onWire(t, nil)
	var want []string
	for i := range 100 {
		want = append(want, fmt.Sprintf("pod-%03d", i))
		put(t, s, bulky(want[i]))
	}
	compact := func() {
		t.Helper()
		put(t, s, &store.Metadata{PodName: fmt.Sprint("zz-", time.Now().UnixNano())})
		resp, err := direct.Get(background, "x")
		if err == nil {
			_, err = direct.Compact(background, resp.Header.Revision)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	snap, closer, err := s.Snapshot(background)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := snap.Read(background, "pod-000"); err != nil {
		t.Errorf("Read of a snapshot: %v", err)
	}
	compact()
	if _, err := snap.Read(background, "pod-000"); !errors.Is(err, store.ErrUnusable) {
		t.Errorf("Read of a snapshot that was compacted: %v", err)
	}
	if _, err := snap.List(background); !errors.Is(err, store.ErrUnusable) {
		t.Errorf("List of a snapshot that was compacted: %v", err)
	}
	if err := closer.Close(); err != nil {
		t.Error(err)
	}
	var got []string
	for m, err := range s.All(background, store.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(m.PodName, "pod-") {
			got = append(got, m.PodName)
		}
		if len(got) == 10 {
			compact()
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("All gave %q", got)
	}
}

// A closed client is ErrClosed. What New cannot use is ErrInvalid.
func TestClosedClient(t *testing.T) {
	client := newClient(t, nil, sharedServer(t).endpoints...)
	s := newStore(t, client, nil)
	put(t, s, bulky("agent"))
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(background, "agent"); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Read: %v", err)
	}
	if err := store.Do(background, s, "agent", store.Delete{}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Delete: %v", err)
	}
	for _, prefix := range []string{"", "/", "//"} {
		if _, err := etcdstore.New(client, prefix, nil); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("New with prefix %q: %v", prefix, err)
		}
	}
	if _, err := etcdstore.New(nil, "/pods", nil); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("New without a client: %v", err)
	}
}

// A writer that is slower than others each time gives up. It has changed nothing.
func TestConflictIsBounded(t *testing.T) {
	w, s, beside, _ := onWire(t, &etcdstore.Options{RetryFor: 200 * time.Millisecond})
	w.set(func(int64) fate {
		return fate{before: func() {
			if _, err := beside.Update(background, "agent", increment); err != nil {
				t.Error(err)
			}
		}}
	})
	if err := store.Do(background, s, "agent", store.AddPeer{PodName: "slow"}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("%v after %d attempts", err, w.writes.Load())
	}
	if m := mustRead(t, beside, "agent"); m.HasPeer("slow") || count(m) != int(w.writes.Load()) {
		t.Errorf("%+v", m)
	}
}
