package boltstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
	"podstore/store/internal/codec"
)

// putRaw puts a value under a sub-key of a Pod and corrects the digest, as the version
// that wrote the value would have.
func putRaw(tx *bolt.Tx, pod, key string, payload []byte) error {
	b := tx.Bucket([]byte(pod))
	sum := codec.NameSum([]byte(pod))
	if err := b.Put([]byte(key), codec.SealKey(sum, append([]byte(key), 0), payload)); err != nil {
		return err
	}
	var values [codec.NumSubKeys][]byte
	for i, k := range codec.SubKeys {
		values[i] = b.Get([]byte(k))
	}
	return b.SetSequence(digest(sum, &values))
}

// olderExtra stores unknown fields as an older version did, which did not know some of
// ours.
func olderExtra(pod, object string) func(tx *bolt.Tx) error {
	return func(tx *bolt.Tx) error {
		head := []byte{0xc5, byte(len(object) >> 8), byte(len(object))}
		return putRaw(tx, pod, "extra", append(head, object...))
	}
}

// storedExtra is the JSON of a Pod's unknown fields in the file.
func storedExtra(t *testing.T, path, pod string) (object string) {
	t.Helper()
	db, err := bolt.Open(path, 0, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(func(tx *bolt.Tx) error {
		if v := tx.Bucket([]byte(pod)).Get([]byte("extra")); v != nil {
			object = string(v[codec.SumSize:])
			object = object[strings.Index(object, "{"):]
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return object
}

const (
	copyOfPeers     = `"peers":[{"pod_name":"from extra"}]`
	copyOfActive    = `"active":{"session_id":"0197f1d2-5a3b-7c4d-8e6f-0123456789ab"}`
	copyOfChildren  = `"spawned_children":[{"pod_name":"kid","socket_path":"s","scope_delegated":[],"callback_address":"c"}]`
	copyOfReclaimed = `"reclaimed_children":[{"pod_name":"old","scope_delegated":[{"target":"/t","permission":"read","recursive":false}]}]`
	copyOfManifest  = `"resolved_manifest_snapshot":{"a":1}`
)

// A field that an older version kept among the unknown ones is read as itself. The
// first change of the Pod, whatever it is, stores it as itself.
func TestFieldIsPromoted(t *testing.T) {
	ctx := context.Background()
	object := `{` + strings.Join([]string{copyOfActive, copyOfPeers, copyOfReclaimed, copyOfManifest, copyOfChildren, `"later":1`}, ",") + `}`
	want := &store.Metadata{
		PodName:   "b",
		Active:    store.PendingSegment(sample().Active.SessionID),
		Children:  []store.SpawnedChild{{PodName: "kid", SocketPath: "s", CallbackAddress: "c"}},
		Reclaimed: []store.ReclaimedChild{{PodName: "old", ScopeDelegated: []store.ScopeRule{{Target: "/t", Permission: "read"}}}},
		Peers:     []store.Peer{{PodName: "from extra"}},
		Manifest:  json.RawMessage(`{"a":1}`),
		Extra:     map[string]json.RawMessage{"later": json.RawMessage("1")},
	}
	older := func(t *testing.T) string {
		path := filepath.Join(t.TempDir(), "pods.db")
		s := open(t, path, nil)
		for _, pod := range []string{"a", "b"} {
			do(t, s, pod, store.AddPeer{PodName: "x"}, store.SetPeers{})
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		tamper(t, path, olderExtra("b", object))
		return path
	}

	path := older(t)
	before, _ := os.ReadFile(path)
	if sum, all := findings(t, path); sum.Findings > 0 {
		t.Errorf("check: %+v", all)
	}
	s := open(t, path, nil)
	if m, err := s.Read(ctx, "b"); err != nil || m.Diff(want) != "" {
		t.Errorf("read: %+v %v", m, err)
	}
	for m, err := range s.All(ctx, store.ReadOptions{}) {
		if err != nil || m.PodName == "b" && m.Diff(want) != "" {
			t.Errorf("all: %+v %v", m, err)
		}
	}
	if m, err := s.ReadPart(ctx, "b", store.ReadOptions{OmitManifest: true, OmitReclaimed: true}); err != nil || m.Manifest != nil || m.Reclaimed != nil || len(m.Peers) != 1 {
		t.Errorf("a part: %+v %v", m, err)
	}
	// A condition or a partial read changes nothing.
	for what, changes := range map[string][]store.Change{
		"a condition":      {{Pod: "b", If: store.Exists}},
		"a change skipped": {{Pod: "none", Op: store.AddPeer{PodName: "c"}, If: store.SkipMissing}, {Pod: "b", If: store.Exists}},
	} {
		if _, err := s.Apply(ctx, changes, nil); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	s.Close()
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("it was written without a change")
	}

	for what, c := range map[string]struct {
		op   store.Op
		edit func(m *store.Metadata)
	}{
		"add peer":      {store.AddPeer{PodName: "c"}, func(m *store.Metadata) { _ = m.AddPeer("c") }},
		"set peers":     {store.SetPeers{Peers: []store.Peer{{PodName: "c"}}}, func(m *store.Metadata) { m.Peers = []store.Peer{{PodName: "c"}} }},
		"remove peer":   {store.RemovePeer{PodName: "from extra"}, func(m *store.Metadata) { m.Peers = nil }},
		"set segment":   {store.SetSegment{}, func(m *store.Metadata) { m.Active = nil }},
		"set active":    {store.SetActive{}, func(m *store.Metadata) { m.Active, m.Manifest = nil, nil }},
		"add child":     {store.AddChild{Child: store.SpawnedChild{PodName: "two"}}, func(m *store.Metadata) { _ = m.AddChild(store.SpawnedChild{PodName: "two"}) }},
		"remove child":  {store.RemoveChild{PodName: "kid"}, func(m *store.Metadata) { m.Children = nil }},
		"reclaim":       {store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: "kid"}}}, func(m *store.Metadata) { _ = m.Reclaim([]store.ReclaimedChild{{PodName: "kid"}}) }},
		"reclaim many":  {store.Reclaim{Reclaimed: past(0, 40)}, func(m *store.Metadata) { _ = m.Reclaim(past(0, 40)) }},
		"trim":          {store.TrimReclaimed{}, func(m *store.Metadata) { m.Reclaimed = nil }},
		"set a field":   {store.SetField{Field: "more", Value: json.RawMessage("2")}, func(m *store.Metadata) { m.Extra["more"] = json.RawMessage("2") }},
		"clear a field": {store.ClearField{Field: "later"}, func(m *store.Metadata) { m.Extra = nil }},
		"put":           {store.Put{Metadata: &store.Metadata{PodName: "b"}}, func(m *store.Metadata) { *m = store.Metadata{PodName: "b"} }},
		"update":        {nil, func(m *store.Metadata) { m.Peers = nil }},
	} {
		t.Run(what, func(t *testing.T) {
			path := older(t)
			s := open(t, path, nil)
			want := want.Clone()
			c.edit(want)
			if err := want.Normalize(); err != nil {
				t.Fatal(err)
			}
			var got *store.Metadata
			var err error
			if c.op == nil {
				got, err = s.Update(ctx, "b", func(m *store.Metadata) error { c.edit(m); return nil })
			} else {
				got, err = store.DoAndRead(ctx, s, "b", c.op)
			}
			if err != nil || got.Diff(want) != "" {
				t.Errorf("it gives %+v %v", got, err)
			}
			if m, err := s.Read(ctx, "b"); err != nil || m.Diff(want) != "" {
				t.Errorf("read: %+v %v", m, err)
			}
			sound(t, s)
			stored := storedExtra(t, path, "b")
			for _, name := range store.FieldNames() {
				if strings.Contains(stored, `"`+name+`"`) {
					t.Errorf("%s is still among the unknown fields: %s", name, stored)
				}
			}
		})
	}
	t.Run("a peer in it removed", func(t *testing.T) {
		s := open(t, older(t), nil)
		do(t, s, "from extra", store.Remove{})
		want := want.Clone()
		want.Peers = nil
		if m, err := s.Read(ctx, "b"); err != nil || m.Diff(want) != "" {
			t.Errorf("read: %+v %v", m, err)
		}
		sound(t, s)
	})
	t.Run("copied", func(t *testing.T) {
		path := older(t)
		if err := Compact(ctx, path, path+".compact", nil); err != nil {
			t.Fatal(err)
		}
		if _, err := Salvage(ctx, path, path+".salvaged", nil, func(Salvaged) {}); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{path + ".compact", path + ".salvaged"} {
			if m, err := open(t, path, nil).Read(ctx, "b"); err != nil || m.Diff(want) != "" {
				t.Errorf("%s: %+v %v", path, m, err)
			}
		}
		// A copy to another store has the field as itself.
		s, to := open(t, path, nil), openNew(t)
		if _, err := store.Copy(ctx, to, store.All(ctx, s, store.ReadOptions{}), store.CopyOptions{}); err != nil {
			t.Fatal(err)
		}
		if m, err := to.Read(ctx, "b"); err != nil || m.Diff(want) != "" {
			t.Errorf("read: %+v %v", m, err)
		}
		to.Close()
		if stored := storedExtra(t, to.path, "b"); stored != `{"later":1}` {
			t.Errorf("the copy has %s", stored)
		}
	})
}

// If a field is stored as itself, that value counts, whatever an older version has put
// among the unknown ones since. The first change drops the other value.
func TestStoredFieldWinsOverTheCopy(t *testing.T) {
	ctx := context.Background()
	for _, length := range []int{2, 50} { // a history that is a value, and one in chunks
		want := sample()
		want.PodName, want.Extra, want.Reclaimed = "b", nil, past(0, length)
		path := filepath.Join(t.TempDir(), "pods.db")
		s := open(t, path, nil)
		do(t, s, "b", store.Put{Metadata: want})
		s.Close()
		object := `{` + strings.Join([]string{copyOfActive, copyOfPeers, copyOfReclaimed, copyOfManifest, copyOfChildren}, ",") + `}`
		tamper(t, path, olderExtra("b", object))
		if sum, all := findings(t, path); sum.Findings > 0 {
			t.Errorf("check: %+v", all)
		}
		s = open(t, path, nil)
		if m, err := s.Read(ctx, "b"); err != nil || m.Diff(want) != "" {
			t.Fatalf("read differs in %s, %v", m.Diff(want), err)
		}
		for _, o := range []store.ReadOptions{{OmitManifest: true}, {OmitReclaimed: true}} {
			if m, err := s.ReadPart(ctx, "b", o); err != nil || m.Diff(o.Part(want)) != "" {
				t.Errorf("a part: %+v %v", m, err)
			}
		}
		got, err := store.DoAndRead(ctx, s, "b", store.AddPeer{PodName: "new"})
		_ = want.AddPeer("new")
		if err != nil || got.Diff(want) != "" {
			t.Errorf("a change: %v", err)
		}
		if m, err := s.Read(ctx, "b"); err != nil || m.Diff(want) != "" {
			t.Errorf("read: %v", err)
		}
		sound(t, s)
		if stored := storedExtra(t, path, "b"); stored != "" {
			t.Errorf("unknown fields: %s", stored)
		}
	}
}

// A value among the unknown fields that the field cannot have is an error that names
// it. It stays until the Pod is replaced.
func TestCopyOfTheWrongShape(t *testing.T) {
	ctx := context.Background()
	for name, object := range map[string]string{
		"peers":                      `{"peers":["a"]}`,
		"active":                     `{"active":{"session_id":"x"}}`,
		"spawned_children":           `{"spawned_children":[{}]}`,
		"reclaimed_children":         `{"later":1,"reclaimed_children":7}`,
		"resolved_manifest_snapshot": `{"resolved_manifest_snapshot":` + strings.Repeat("[", 127) + strings.Repeat("]", 127) + `}`,
	} {
		path := filepath.Join(t.TempDir(), "pods.db")
		s := open(t, path, nil)
		do(t, s, "a", store.AddPeer{PodName: "b"})
		do(t, s, "b", store.AddPeer{PodName: "a"}, store.SetPeers{})
		s.Close()
		tamper(t, path, olderExtra("b", object))
		if sum, all := findings(t, path); sum.Damaged != 1 || all[0].Pod != "b" {
			t.Errorf("%s: check: %+v", name, all)
		}
		s = open(t, path, nil)
		before := s.txid(t)
		for what, err := range map[string]error{
			"read":   second(s.Read(ctx, "b")),
			"change": store.Do(ctx, s, "b", store.AddPeer{PodName: "x"}),
			"field":  store.Do(ctx, s, "b", store.SetField{Field: "x", Value: json.RawMessage("1")}),
			"update": second(s.Update(ctx, "b", func(*store.Metadata) error { return nil })),
		} {
			if !isCorrupt(err, "b") || !strings.Contains(err.Error(), `"`+name+`"`) {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
		if now := s.txid(t); now != before {
			t.Errorf("%s: something was written", name)
		}
		do(t, s, "a", store.AddPeer{PodName: "c"})
		do(t, s, "a", store.Remove{})
		s.Close()
		if stored := storedExtra(t, path, "b"); stored != object {
			t.Errorf("%s: the unknown fields are %s", name, stored)
		}
		s = open(t, path, nil)
		do(t, s, "b", store.Put{Metadata: &store.Metadata{PodName: "b"}})
		checks(t, s)
	}
}

// What a newer version wrote is never called damage, and nothing replaces it.
func TestSubKeyOfANewerVersion(t *testing.T) {
	ctx := context.Background()
	path := spoiled(t, func(tx *bolt.Tx) error { return putRaw(tx, "b", "leases", []byte{0x01}) })
	var all []Finding
	_, checkErr := Check(ctx, path, nil, func(f Finding) { all = append(all, f) })
	if len(all) > 0 {
		t.Errorf("check finds %+v", all)
	}
	dst := filepath.Join(t.TempDir(), "new.db")
	_, salvageErr := Salvage(ctx, path, dst, nil, func(Salvaged) {})
	compactErr := Compact(ctx, path, dst, nil)
	s := open(t, path, nil)
	_, backupErr := s.Backup(ctx, dst)
	before := s.txid(t)
	m := sample()
	m.PodName = "b"
	for what, err := range map[string]error{
		"check":             checkErr,
		"salvage":           salvageErr,
		"compact":           compactErr,
		"backup":            backupErr,
		"read":              second(s.Read(ctx, "b")),
		"read a part":       second(s.ReadPart(ctx, "b", store.ReadOptions{OmitManifest: true})),
		"write":             store.Write(ctx, s, m),
		"delete":            store.Do(ctx, s, "b", store.Delete{}),
		"remove":            store.Do(ctx, s, "b", store.Remove{}),
		"delete, put":       store.Do(ctx, s, "b", store.Delete{}, store.Put{Metadata: m}),
		"add peer":          store.Do(ctx, s, "b", store.AddPeer{PodName: "x"}),
		"condition":         second(s.Apply(ctx, []store.Change{{Pod: "b", If: store.Exists}}, nil)),
		"link":              store.LinkPeers(ctx, s, "a", "b"),
		"update":            second(s.Update(ctx, "b", func(*store.Metadata) error { return nil })),
		"update and others": second(s.UpdatePods(ctx, []string{"a", "b"}, func(p []*store.Metadata) error { p[1] = nil; return nil })),
	} {
		if !errors.Is(err, store.ErrFormat) || errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), `"b"`) || !strings.Contains(err.Error(), "written by a newer version") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if now := s.txid(t); now != before {
		t.Errorf("%d transactions", now-before)
	}
	if _, err := os.Lstat(dst); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file was made: %v", err)
	}
	var others []string
	for m, err := range s.All(ctx, store.ReadOptions{}) {
		var e *store.Error
		switch {
		case err == nil:
			others = append(others, m.PodName)
		case !errors.Is(err, store.ErrFormat) || !errors.As(err, &e) || e.Pod != "b":
			t.Errorf("all: %v", err)
		}
	}
	if names, err := s.List(ctx); err != nil || fmt.Sprint(names, others) != "[a b c] [a c]" {
		t.Errorf("list %q, all %q, %v", names, others, err)
	}
	do(t, s, "a", store.AddPeer{PodName: "x"})
	s.Close()
	tamper(t, path, func(tx *bolt.Tx) error {
		if v := tx.Bucket([]byte("b")).Get([]byte("leases")); len(v) != codec.SumSize+1 {
			t.Errorf("the sub-key is %x", v)
		}
		return nil
	})

	// One whose checksum is wrong is damage.
	path = spoiled(t, func(tx *bolt.Tx) error { return tx.Bucket([]byte("b")).Put([]byte("leases"), []byte("none of ours")) })
	if sum, all := findings(t, path); sum.Damaged != 1 || all[0].Pod != "b" {
		t.Errorf("check: %+v", all)
	}
	checkSalvage(t, path, []string{"a", "c"})
	s = open(t, path, nil)
	if _, err := s.Read(ctx, "b"); !isCorrupt(err, "b") {
		t.Errorf("read: %v", err)
	}
	do(t, s, "b", store.Put{Metadata: m})
	checks(t, s)
}

// A record of the bookkeeping that this version does not know makes it refuse the file:
// a newer version wrote it, or it is a damaged one of ours.
func TestRecordsOfTheBookkeeping(t *testing.T) {
	ctx := context.Background()
	record := func(key string, value []byte) func(tx *bolt.Tx) error {
		return func(tx *bolt.Tx) error { return tx.Bucket([]byte(bookkeeping)).Put([]byte(key), value) }
	}
	bad := []byte("\x00\x00\x00\x00\x01")
	for what, c := range map[string]struct {
		spoil func(tx *bolt.Tx) error
		opens error // nil: it is opened
		whole error // of check and salvage; nil: check has a finding, and salvage works
		says  string
	}{
		"a newer version's":          {record("leases", sealBook("leases", []byte{1})), store.ErrFormat, store.ErrFormat, "newer version"},
		"a strange one":              {record("leases", bad), store.ErrCorrupt, nil, `"leases"`},
		"a damaged base":             {record(keyBase, bad), store.ErrCorrupt, nil, "base"},
		"deletions damaged":          {record(keyDeletions, bad), nil, nil, "deletions"},
		"deletions of another shape": {record(keyDeletions, sealBook(keyDeletions, []byte{0x90})), nil, nil, "deletions"},
	} {
		t.Run(what, func(t *testing.T) {
			path := spoiled(t, c.spoil)
			var all []Finding
			_, err := Check(ctx, path, nil, func(f Finding) { all = append(all, f) })
			if c.whole != nil {
				if !errors.Is(err, c.whole) {
					t.Errorf("check: %v", err)
				}
				if _, err := Salvage(ctx, path, path+".new", nil, func(Salvaged) {}); !errors.Is(err, c.whole) {
					t.Errorf("salvage: %v", err)
				}
			} else {
				if err != nil || len(all) != 1 || all[0].Pod != "" || !strings.Contains(all[0].Reason, c.says) {
					t.Errorf("check: %v %+v", err, all)
				}
				checkSalvage(t, path, []string{"a", "b", "c"})
			}
			s, err := Open(path, nil)
			if c.opens != nil {
				if !errors.Is(err, c.opens) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("open: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := store.Do(ctx, s, "a", store.AddPeer{PodName: "x"}); err != nil {
				t.Errorf("a change: %v", err)
			}
			for what, err := range map[string]error{
				"delete":  store.Do(ctx, s, "a", store.Delete{}),
				"create":  store.Do(ctx, s, "new", store.AddPeer{PodName: "x"}),
				"with ID": second(s.Apply(ctx, []store.Change{{Pod: "a", Op: store.AddPeer{PodName: "y"}}}, &store.ApplyOptions{ID: store.NewRequestID()})),
			} {
				if !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%s: %v", what, err)
				}
			}
			s.Close()
			if err := Compact(ctx, path, path+".new", nil); !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("compact: %v", err)
			}
		})
	}
}
