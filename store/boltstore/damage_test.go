package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
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

// spoiled creates a database of three Pods, damages it with f while it is closed, and
// returns its path.
func spoiled(t *testing.T, f func(tx *bolt.Tx) error) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pods.db")
	s := open(t, path, nil)
	for _, name := range []string{"a", "b", "c"} {
		m := sample()
		m.PodName = name
		if err := store.Write(context.Background(), s, m); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	tamper(t, path, f)
	return path
}

func nothing(*bolt.Tx) error { return nil }

// flip changes one bit of a value's payload.
func flip(pod, key string) func(tx *bolt.Tx) error {
	return func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(pod))
		v := bytes.Clone(b.Get([]byte(key)))
		v[len(v)-1] ^= 1
		return b.Put([]byte(key), v)
	}
}

func TestDamagedPod(t *testing.T) {
	ctx := context.Background()
	for name, damage := range map[string]func(tx *bolt.Tx) error{
		"a bit of a list":     flip("b", "peers"),
		"a bit of a manifest": flip("b", "manifest"),
		"a sub-key vanished": func(tx *bolt.Tx) error {
			return tx.Bucket([]byte("b")).Delete([]byte("peers"))
		},
		"an unknown sub-key": func(tx *bolt.Tx) error {
			return tx.Bucket([]byte("b")).Put([]byte("zzz"), []byte("x"))
		},
		"a sub-key of another Pod": func(tx *bolt.Tx) error {
			return tx.Bucket([]byte("b")).Put([]byte("peers"), tx.Bucket([]byte("a")).Get([]byte("peers")))
		},
		"an old value": func(tx *bolt.Tx) error {
			return tx.Bucket([]byte("b")).Put([]byte("peers"), codec.Seal(codec.NameSum([]byte("b")), codec.Peers, []byte{0x91, 0xa1, 'x'}))
		},
		"all sub-keys vanished": func(tx *bolt.Tx) error {
			if err := tx.DeleteBucket([]byte("b")); err != nil {
				return err
			}
			_, err := tx.CreateBucket([]byte("b"))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := spoiled(t, damage)
			damagedPods := func(s *Store) (bad []string) {
				for m, err := range s.All(ctx, store.ReadOptions{}) {
					var e *store.Error
					if err == nil {
						if m.PodName == "b" {
							t.Error("the damaged Pod was listed as sound")
						}
					} else if errors.As(err, &e) && errors.Is(err, store.ErrCorrupt) {
						bad = append(bad, e.Pod)
					} else {
						t.Error(err)
					}
				}
				return bad
			}
			var findings []Finding
			sum, err := Check(ctx, path, nil, func(f Finding) { findings = append(findings, f) })
			if err != nil || len(findings) != 1 || findings[0].Pod != "b" || sum.Damaged != 1 || sum.Pods != 3 {
				t.Errorf("check: %+v %v %v", sum, findings, err)
			}
			checkSalvage(t, path, []string{"a", "c"})

			s := open(t, path, nil)
			if _, err := s.Read(ctx, "b"); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), `"b"`) {
				t.Errorf("read: %v", err)
			}
			if bad := damagedPods(s); len(bad) != 1 || bad[0] != "b" {
				t.Errorf("listing names %q", bad)
			}
			// A change does not read what it does not name, so it may not notice.
			if _, err := store.DoAndRead(ctx, s, "b", store.AddPeer{PodName: "x"}); !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("update: %v", err)
			}
			if err := store.LinkPeers(ctx, s, "a", "b"); !errors.Is(err, store.ErrCorrupt) && name != "a bit of a manifest" {
				t.Errorf("link: %v", err)
			}
			if _, err := s.Read(ctx, "b"); !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("read after a change: %v", err)
			}
			if m, err := store.DoAndRead(ctx, s, "a", store.AddPeer{PodName: "x"}); err != nil || !m.HasPeer("x") {
				t.Errorf("a healthy Pod cannot be written: %v", err)
			}
			m := sample()
			m.PodName = "b"
			if err := store.Write(ctx, s, m); err != nil {
				t.Errorf("overwriting: %v", err)
			}
			if got, err := s.Read(ctx, "b"); err != nil || got.Diff(m) != "" {
				t.Errorf("overwriting does not heal: %v", err)
			}
			if bad := damagedPods2(s); len(bad) > 0 {
				t.Errorf("after overwriting: %q", bad)
			}
			checks(t, s)
		})
		t.Run(name+", deleted", func(t *testing.T) {
			path := spoiled(t, damage)
			s := open(t, path, nil)
			if err := store.Do(ctx, s, "b", store.Delete{}); err != nil {
				t.Fatal(err)
			}
			if names, err := s.List(ctx); err != nil || strings.Join(names, "") != "ac" {
				t.Errorf("%q %v", names, err)
			}
			checks(t, s)
		})
	}
}

// A value with a right checksum that no version wrote: only the decoding after the commit
// notices it. ErrCorrupt would say that nothing was changed.
func TestUndecodableResult(t *testing.T) {
	path := spoiled(t, func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("b"))
		sum := codec.NameSum([]byte("b"))
		if err := b.Put([]byte("peers"), codec.Seal(sum, codec.Peers, []byte{0xc1})); err != nil {
			return err
		}
		var values [codec.NumSubKeys][]byte
		for i := range values {
			values[i] = bytes.Clone(b.Get(codec.SubKeyBytes(i)))
		}
		return b.SetSequence(digest(sum, &values))
	})
	s := open(t, path, nil)
	commits := s.Stats().Commits
	_, err := store.DoAndRead(t.Context(), s, "b", store.SetSegment{})
	if err == nil || errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), `apply pod "b": the changes were made`) {
		t.Error(err)
	}
	if now := s.Stats().Commits; now != commits+1 {
		t.Errorf("%d commits", now-commits)
	}
}

func damagedPods2(s *Store) (errs []error) {
	for _, err := range s.All(context.Background(), store.ReadOptions{}) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// checks closes a store and makes sure that its file is sound.
func checks(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	sum, err := Check(context.Background(), s.path, nil, func(f Finding) { t.Errorf("finding: %+v", f) })
	if err != nil || sum.Findings > 0 {
		t.Errorf("check: %+v %v", sum, err)
	}
}

// checkSalvage salvages path. It must save the whole Pods as they are, and the damaged
// Pod, if at all, as it was.
func checkSalvage(t *testing.T, path string, whole []string) SalvageSummary {
	t.Helper()
	ctx := context.Background()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dst := filepath.Join(t.TempDir(), "salvaged.db")
	fresh := make(map[string]bool)
	sum, err := Salvage(ctx, path, dst, nil, func(r Salvaged) { fresh[r.Pod] = r.Err == nil && !r.Older })
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range whole {
		if !fresh[name] {
			t.Errorf("salvage did not save %q as it is: %+v", name, sum)
		}
	}
	s := open(t, dst, nil)
	saved := 0
	for m, err := range s.All(ctx, store.ReadOptions{}) {
		if err != nil {
			t.Errorf("salvaged: %v", err)
			continue
		}
		saved++
		want := sample()
		want.PodName = m.PodName
		m.RemovePeer("new")
		m.Manifest = want.Manifest
		if field := m.Diff(want); field != "" {
			t.Errorf("salvaged %q differs in %s", m.PodName, field)
		}
	}
	if saved != sum.Saved+sum.Older {
		t.Errorf("%d Pods in the new file: %+v", saved, sum)
	}
	checks(t, s)
	if _, err := Salvage(ctx, path, dst, nil, func(Salvaged) {}); !errors.Is(err, store.ErrExists) {
		t.Errorf("salvage onto a file that exists: %v", err)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("salvage changed its source (%v)", err)
	}
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(dst), ".*"))
	if len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	return sum
}

// Everything that looks at all Pods notices a Pod that vanished from the tree. A Pod
// that is not found does not count as new.
func TestVanishedPod(t *testing.T) {
	ctx := context.Background()
	path := spoiled(t, func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte("b")) })
	findings := 0
	if _, err := Check(ctx, path, nil, func(f Finding) {
		findings++
		if f.Pod != "" || !strings.Contains(f.Reason, "2 Pods and 3") {
			t.Errorf("%+v", f)
		}
	}); err != nil || findings != 1 {
		t.Errorf("%d findings, %v", findings, err)
	}
	if sum := checkSalvage(t, path, []string{"a", "c"}); sum.Missing != 1 {
		t.Errorf("salvage: %+v", sum)
	}
	s := open(t, path, nil)
	if names, err := s.List(ctx); !errors.Is(err, store.ErrCorrupt) || len(names) != 2 {
		t.Errorf("list: %q %v", names, err)
	}
	if errs := damagedPods2(s); len(errs) != 1 || !errors.Is(errs[0], store.ErrCorrupt) {
		t.Errorf("all: %v", errs)
	}
	if _, err := s.Read(ctx, "b"); !errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrNotFound) {
		t.Errorf("read: %v", err)
	}
	if err := store.Do(ctx, s, "b", store.AddPeer{PodName: "x"}); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("an update makes an empty Pod of one that was lost: %v", err)
	}
	if err := store.Do(ctx, s, "a", store.AddPeer{PodName: "x"}); err != nil {
		t.Errorf("the others cannot be written: %v", err)
	}
	if err := Compact(ctx, path, path+".compact", &Options{LockTimeout: 1}); !errors.Is(err, store.ErrLocked) {
		t.Error("compacting while it is open was not refused")
	}
	s.Close()
	if err := Compact(ctx, path, path+".compact", nil); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("compacting a file that lost a Pod: %v", err)
	}
}

// podstore never creates a bucket inside a Pod's bucket. bbolt would free whatever
// pages it claims, so the Pod can neither be written nor deleted.
func TestBucketInPod(t *testing.T) {
	ctx := context.Background()
	path := spoiled(t, func(tx *bolt.Tx) error {
		_, err := tx.Bucket([]byte("b")).CreateBucket([]byte("zzz"))
		return err
	})
	findings := 0
	if _, err := Check(ctx, path, nil, func(f Finding) { findings++ }); err != nil || findings != 1 {
		t.Errorf("%d findings, %v", findings, err)
	}
	checkSalvage(t, path, []string{"a", "b", "c"})
	s := open(t, path, nil)
	m := sample()
	m.PodName = "b"
	for name, err := range map[string]error{
		"read": second(s.Read(ctx, "b")), "write": store.Write(ctx, s, m), "delete": store.Do(ctx, s, "b", store.Delete{}),
	} {
		if !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := store.Do(ctx, s, "a", store.AddPeer{PodName: "x"}); err != nil {
		t.Errorf("the others cannot be written: %v", err)
	}
}

// Without its bookkeeping a file is damaged if there are Pods in it, and not a
// podstore database if there are none.
func TestBookkeepingLost(t *testing.T) {
	ctx := context.Background()
	drop := func(tx *bolt.Tx) error { return tx.DeleteBucket([]byte(bookkeeping)) }
	path := spoiled(t, drop)
	findings := 0
	if sum, err := Check(ctx, path, nil, func(Finding) { findings++ }); err != nil || findings != 1 || sum.Damaged != 0 {
		t.Errorf("%d findings, %+v, %v", findings, sum, err)
	}
	if sum := checkSalvage(t, path, []string{"a", "b", "c"}); sum.Missing != -1 {
		t.Errorf("salvage: %+v", sum)
	}
	tamper(t, path, func(tx *bolt.Tx) error {
		return errors.Join(tx.DeleteBucket([]byte("a")), tx.DeleteBucket([]byte("b")), tx.DeleteBucket([]byte("c")))
	})
	if _, err := Check(ctx, path, nil, func(f Finding) { t.Error(f) }); !errors.Is(err, store.ErrFormat) {
		t.Errorf("a bbolt file without Pods: %v", err)
	}
}

// poke overwrites parts of a file that is closed.
func poke(t *testing.T, path string, off int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(b, off)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// rootPage is the page of a Pod's bucket.
func rootPage(t *testing.T, path, pod string) (page, size int64) {
	t.Helper()
	db, err := bolt.Open(path, 0, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.View(func(tx *bolt.Tx) error {
		page, size = int64(tx.Bucket([]byte(pod)).Root()), int64(db.Info().PageSize)
		return nil
	})
	return page, size
}

// bigPods makes a database whose Pods have pages of their own; "b" has a branch.
func bigPods(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pods.db")
	s := open(t, path, nil)
	for _, name := range []string{"a", "b", "c"} {
		m := sample()
		m.PodName = name
		m.Manifest = []byte(`"` + strings.Repeat("m", 5000) + `"`)
		if name == "b" {
			m.Manifest = []byte(`"` + strings.Repeat("m", 3*pageSize) + `"`)
		}
		if err := store.Write(context.Background(), s, m); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// Numbers as a page has them.
func u64(n int64) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(n)) }
func u16(n int) []byte   { return binary.LittleEndian.AppendUint16(nil, uint16(n)) }
func u32(n int) []byte   { return binary.LittleEndian.AppendUint32(nil, uint32(n)) }

// Damage of a Pod's own pages: bbolt alone panics, loops for ever, or frees pages
// of others.
func TestDamagedPages(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		pod string
		off int64
		put func(page int64) []byte
	}{
		"branch points to itself": {"b", 16 + 8, u64},
		"branch out of bounds":    {"b", 16 + 8, func(int64) []byte { return u64(1 << 40) }},
		"branch to a meta page":   {"b", 16 + 8, func(int64) []byte { return u64(1) }},
		"branch without elements": {"b", 10, func(int64) []byte { return u16(0) }},
		"branch of too many":      {"b", 10, func(int64) []byte { return u16(60000) }},
		"leaf with wrong number":  {"a", 0, func(int64) []byte { return u64(7777) }},
		"leaf that is a freelist": {"a", 8, func(int64) []byte { return u16(16) }},
		"leaf that is a branch":   {"a", 8, func(int64) []byte { return u16(1) }},
		"leaf with overflow":      {"a", 12, func(int64) []byte { return u32(3) }},
		"leaf with huge overflow": {"a", 12, func(int64) []byte { return u32(1 << 31) }},
		"leaf count raised":       {"a", 10, func(int64) []byte { return u16(9) }},
		"leaf count lowered":      {"a", 10, func(int64) []byte { return u16(2) }},
		"leaf empty":              {"a", 10, func(int64) []byte { return u16(0) }},
		"key far away":            {"a", 16 + 4, func(int64) []byte { return u32(1 << 31) }},
		"key of 4 GiB":            {"a", 16 + 8, func(int64) []byte { return u32(1<<32 - 1) }},
		"value of 4 GiB":          {"a", 16 + 12, func(int64) []byte { return u32(1<<32 - 1) }},
		"zeroed":                  {"a", 0, func(int64) []byte { return make([]byte, 64) }},
	} {
		t.Run(name, func(t *testing.T) {
			path := bigPods(t)
			page, size := rootPage(t, path, c.pod)
			poke(t, path, page*size+c.off, c.put(page))
			if _, err := Open(path, &Options{FullCheck: true}); !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("the full check: %v", err)
			}
			s := open(t, path, nil)
			advice := ""
			for _, pod := range []string{"a", "b", "c"} {
				_, err := s.Read(ctx, pod)
				upErr := store.Do(ctx, s, pod, store.AddPeer{PodName: "new"})
				if pod == c.pod {
					if !errors.Is(err, store.ErrCorrupt) || !errors.Is(upErr, store.ErrCorrupt) {
						t.Errorf("damaged Pod: read %v, update %v", err, upErr)
					}
					advice = fmt.Sprint(err)
				} else if err != nil || upErr != nil {
					t.Errorf("healthy Pod %s: read %v, update %v", pod, err, upErr)
				}
			}
			if errs := damagedPods2(s); len(errs) != 1 {
				t.Errorf("all: %v", errs)
			}
			// Neither deleting nor overwriting may free pages of another Pod.
			delErr := store.Do(ctx, s, c.pod, store.Delete{})
			m := sample()
			m.PodName = c.pod
			writeErr := store.Write(ctx, s, m)
			t.Logf("delete: %v; write: %v", delErr, writeErr)
			if delErr == nil && writeErr != nil || strings.Contains(advice, "delete it") != (delErr == nil) {
				t.Errorf("the advice %q does not help: delete: %v, write: %v", advice, delErr, writeErr)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, path, nil)
			for _, pod := range []string{"a", "b", "c"} {
				if m, err := s.Read(ctx, pod); pod != c.pod && (err != nil || !m.HasPeer("new")) {
					t.Errorf("healthy Pod %s afterwards: %v", pod, err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if delErr != nil {
				checkSalvage(t, path, remove([]string{"a", "b", "c"}, c.pod))
			}
		})
	}
}

func remove(names []string, name string) (out []string) {
	for _, n := range names {
		if n != name {
			out = append(out, n)
		}
	}
	return out
}

// isCorrupt reports whether an error names a damaged Pod.
func isCorrupt(err error, pod string) bool {
	var e *store.Error
	return errors.Is(err, store.ErrCorrupt) && errors.As(err, &e) && e.Pod == pod
}
