package etcdstore_test

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"regexp"
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
// change of the format. What differs each time, the writer, is left out, and with
// it the checksum that covers it.
func TestFormatIsAsDrawn(t *testing.T) {
	_, s, _, direct := onWire(t, nil)
	m := bulky("agent")
	m.Active = store.ActiveIn(store.SessionID(uuid.MustParse("0197f1d2-5a3b-7c4d-8e6f-0123456789ab")), store.SegmentID(uuid.MustParse("0197f1d2-5a3b-7c4d-8e6f-0123456789ac")))
	put(t, s, m, &store.Metadata{PodName: "empty"}, &store.Metadata{PodName: "日 本\n"}, &store.Metadata{PodName: "gone"})
	if err := store.Do(background, s, "gone", store.Delete{}); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	writer := regexp.MustCompile(`^(deleted|pods/.*)$`)
	for _, kv := range keys(t, direct, s.Prefix()).Kvs {
		key, value := strings.TrimPrefix(string(kv.Key), s.Prefix()), kv.Value
		if writer.MatchString(strings.ReplaceAll(key, "\n", "")) {
			// CRC, array of 1 or 7, uint64 in the shortest form.
			head := 6
			switch value[5] {
			case 0xcf:
				head += 8
			case 0xce:
				head += 4
			}
			fmt.Fprintf(&b, "%q = (sum) %x (writer) %q\n", key, value[4], value[head:])
			continue
		}
		fmt.Fprintf(&b, "%q = %x %q\n", key, value[:4], value[4:])
	}
	golden := filepath.Join("testdata", "format-1.dump")
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
		"newer":   {sealedFormat("\x02"), store.ErrFormat},
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
			_, edit := store.Do(background, s, "agent", store.AddPeer{PodName: "new"})
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

// What a foreign hand did below the prefix is noticed, in this Pod alone; Write
// heals it and Delete removes it.
func TestDamage(t *testing.T) {
	swap := func(kv clientv3.KV, from, to string) error {
		resp, err := kv.Get(background, from)
		if err == nil {
			_, err = kv.Put(background, to, string(resp.Kvs[0].Value))
		}
		return err
	}
	del := func(kv clientv3.KV, key string) error {
		err := store.Do(background, kv, key, store.Delete{})
		return err
	}
	for name, c := range map[string]struct {
		spoil  func(kv clientv3.KV, prefix string) error
		listed bool
	}{
		"a value is lost":          {func(kv clientv3.KV, p string) error { return del(kv, p+"values/b/children") }, true},
		"a value is another Pod's": {func(kv clientv3.KV, p string) error { return swap(kv, p+"values/a/peers", p+"values/b/peers") }, true},
		"a value is another's":     {func(kv clientv3.KV, p string) error { return swap(kv, p+"values/b/extra", p+"values/b/peers") }, true},
		"a value is empty":         {func(kv clientv3.KV, p string) error { _, err := kv.Put(background, p+"values/b/peers", ""); return err }, true},
		"a strange key":            {func(kv clientv3.KV, p string) error { _, err := kv.Put(background, p+"values/b/x/y", "z"); return err }, true},
		"the record is lost":       {func(kv clientv3.KV, p string) error { return del(kv, p+"pods/b") }, false},
		"the record is empty":      {func(kv clientv3.KV, p string) error { _, err := kv.Put(background, p+"pods/b", ""); return err }, true},
		"the record is another's":  {func(kv clientv3.KV, p string) error { return swap(kv, p+"pods/a", p+"pods/b") }, true},
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
		}, true},
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
			if err := store.Do(background, s, "b", store.AddPeer{PodName: "new"}); !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("Update: %v", err)
			}
			if err := store.LinkPeers(background, s, "a", "b"); !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("LinkPeers: %v", err)
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

// Keys below the prefix that belong to nothing are named.
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

// A change by a foreign hand between reading and writing is a conflict too:
// nothing is written over it, and the Pod is read again.
func TestForeignChangeIsAConflict(t *testing.T) {
	_, s, _, direct := onWire(t, nil)
	put(t, s, bulky("agent"))
	calls := 0
	_, err := s.Update(background, "agent", func(m *store.Metadata) error {
		if calls++; calls == 1 {
			if _, err := direct.Put(background, s.Prefix()+"values/agent/zzz", "v"); err != nil {
				t.Error(err)
			}
		}
		return m.AddPeer("new")
	})
	if !errors.Is(err, store.ErrCorrupt) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
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

// A client that was closed is ErrClosed, and what New cannot use is ErrInvalid.
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

// A writer that is slower than others each time gives up, and has changed nothing.
func TestConflictIsBounded(t *testing.T) {
	server := sharedServer(t)
	s := newStore(t, newClient(t, nil, server.endpoints...), &etcdstore.Options{RetryFor: 200 * time.Millisecond})
	faster, err := etcdstore.New(newClient(t, nil, server.endpoints...), s.Prefix(), nil)
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	_, err = s.Update(background, "agent", func(m *store.Metadata) error {
		calls++
		if _, err := faster.Update(background, "agent", increment); err != nil {
			t.Error(err)
		}
		return m.AddPeer("slow")
	})
	if !errors.Is(err, store.ErrConflict) {
		t.Errorf("%v after %d calls", err, calls)
	}
	m := mustRead(t, s, "agent")
	if m.HasPeer("slow") || count(m) != calls {
		t.Errorf("%+v", m)
	}
}
