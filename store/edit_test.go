package store_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"podstore/store"
	"podstore/store/memstore"
)

// recording remembers what was applied. before, if set, is called before each Apply.
type recording struct {
	store.MetadataStore
	applied [][]store.Change
	before  func()
}

func (r *recording) Apply(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
	prepared, err := store.Prepare(changes)
	if err != nil {
		return nil, err
	}
	r.applied = append(r.applied, prepared)
	if r.before != nil {
		r.before()
	}
	return r.MetadataStore.Apply(ctx, changes, opts)
}

// A remote backend sends what an edit changed, not the Pod.
func TestEditByRevisionSendsWhatChanged(t *testing.T) {
	ctx := t.Context()
	for what, c := range map[string]struct {
		edit func(pods []*store.Metadata) error
		want []store.Op
	}{
		"nothing":     {func([]*store.Metadata) error { return nil }, nil},
		"the same":    {func(pods []*store.Metadata) error { pods[0] = whole(); return nil }, nil},
		"other names": {func(pods []*store.Metadata) error { pods[0].PodName = "other"; return nil }, nil},
		"a version":   {func(pods []*store.Metadata) error { pods[0].Version.Revision.Number = 99; return nil }, nil},
		"empty and nil": {func(pods []*store.Metadata) error {
			pods[0].Children[1].ScopeDelegated = []store.ScopeRule{}
			return nil
		}, nil},
		"a peer": {func(pods []*store.Metadata) error { return pods[0].AddPeer("c") }, []store.Op{store.SetPeers{Peers: withPeers("", "a", "b", "c").Peers}}},
		"the segment": {func(pods []*store.Metadata) error {
			pods[0].Active = store.PendingSegment(store.SessionID{9})
			return nil
		},
			[]store.Op{store.SetSegment{Active: store.PendingSegment(store.SessionID{9})}}},
		"the manifest": {func(pods []*store.Metadata) error { pods[0].Manifest = []byte(` { "a": 2 } `); return nil },
			[]store.Op{store.SetActive{Active: whole().Active, Manifest: []byte(`{"a":2}`)}}},
		"children and fields": {func(pods []*store.Metadata) error {
			pods[0].RemoveChild("worker")
			delete(pods[0].Extra, "future")
			pods[0].Extra["z"], pods[0].Extra["y"] = []byte("1"), []byte("[ ]")
			return nil
		}, []store.Op{store.SetChildren{Children: whole().Children[1:]}, store.ClearField{Field: "future"},
			store.SetField{Field: "y", Value: []byte("[]")}, store.SetField{Field: "z", Value: []byte("1")}}},
		"the history": {func(pods []*store.Metadata) error { pods[0].Reclaimed = nil; return pods[0].AddPeer("c") },
			[]store.Op{store.Put{Metadata: func() *store.Metadata {
				m := whole()
				m.Reclaimed, m.Peers = nil, withPeers("", "a", "b", "c").Peers
				return m
			}()}}},
		"a name that no operation sets": {func(pods []*store.Metadata) error { pods[0].Peers = withPeers("", "a/b").Peers; return nil },
			[]store.Op{store.Put{Metadata: func() *store.Metadata {
				m := whole()
				m.Peers = withPeers("", "a/b").Peers
				return m
			}()}}},
		"its existence": {func(pods []*store.Metadata) error { pods[0] = nil; return nil }, []store.Op{store.Delete{}}},
	} {
		s := &recording{MetadataStore: memstore.New()}
		if err := store.Write(ctx, s.MetadataStore, whole()); err != nil {
			t.Fatal(err)
		}
		before, err := s.Read(ctx, "agent")
		if err != nil {
			t.Fatal(err)
		}
		got, err := store.EditByRevision(ctx, s, []string{"agent"}, c.edit)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		var want [][]store.Change
		for i, op := range c.want {
			change := store.Change{Pod: "agent", Op: op}
			if i == 0 {
				change.If = store.AtRevision(before.Version.Revision)
				want = append(want, nil)
			}
			want[0] = append(want[0], change)
		}
		if !reflect.DeepEqual(s.applied, want) {
			t.Errorf("%s: applied %+v, want %+v", what, s.applied, want)
		}
		after, err := s.Read(ctx, "agent")
		if errors.Is(err, store.ErrNotFound) {
			after = nil
		} else if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got[0], after) {
			t.Errorf("%s: returned %+v, stored %+v", what, got[0], after)
		}
	}
}

// Pods in which an edit changed nothing, or that are missing, are still conditions:
// what the edit saw must hold when its changes are made.
func TestEditByRevisionHoldsWhatItSaw(t *testing.T) {
	ctx := t.Context()
	s := &recording{MetadataStore: memstore.New()}
	for _, name := range []string{"a", "b"} {
		if err := store.Write(ctx, s.MetadataStore, withPeers(name)); err != nil {
			t.Fatal(err)
		}
	}
	names := []string{"a", "missing", "b", "new"}
	for _, intruder := range []string{"a", "missing", "b", "new"} {
		if err := store.Do(ctx, s.MetadataStore, "missing", store.Delete{}); err != nil {
			t.Fatal(err)
		}
		if err := store.Do(ctx, s.MetadataStore, "new", store.Delete{}); err != nil {
			t.Fatal(err)
		}
		calls := 0
		got, err := store.EditByRevision(ctx, s, names, func(pods []*store.Metadata) error {
			if calls++; calls == 1 {
				if err := store.Do(ctx, s.MetadataStore, intruder, store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: "x"}}}); err != nil {
					t.Error(err)
				}
			}
			pods[3] = withPeers("", "x")
			return pods[0].AddPeer(fmt.Sprint(intruder, calls))
		})
		if err != nil || calls != 2 {
			t.Errorf("a change of %q came between: %d calls, %v", intruder, calls, err)
			continue
		}
		for i, name := range names {
			stored, err := s.Read(ctx, name)
			if errors.Is(err, store.ErrNotFound) {
				stored = nil
			}
			if !reflect.DeepEqual(got[i], stored) {
				t.Errorf("a change of %q came between: %q returned as %+v, stored %+v", intruder, name, got[i], stored)
			}
		}
		if got[0].HasPeer(intruder + "1") {
			t.Errorf("what an edit did that was called again is still there: %+v", got[0])
		}
	}
}

func TestEditByRevisionGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		s := &recording{MetadataStore: memstore.New()}
		n := 0
		s.before = func() {
			n++
			if err := store.Do(ctx, s.MetadataStore, "agent", store.AddPeer{PodName: fmt.Sprint("other-", n)}); err != nil {
				t.Error(err)
			}
		}
		edit := func(pods []*store.Metadata) error {
			pods[0] = withPeers("agent", "mine")
			return nil
		}
		start := time.Now()
		_, err := store.EditByRevision(ctx, s, []string{"agent"}, edit)
		var e *store.Error
		if !errors.Is(err, store.ErrConflict) || !errors.As(err, &e) || e.Pod != "agent" {
			t.Errorf("got error %v", err)
		}
		if took := time.Since(start); took < 30*time.Second || took > 31*time.Second || n < 100 || n > 1000 {
			t.Errorf("it was tried %d times in %v", n, took)
		}

		ended, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		start = time.Now()
		_, err = store.EditByRevision(ended, s, []string{"agent"}, edit)
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != time.Second {
			t.Errorf("got error %v after %v", err, took)
		}
		if m, err := s.Read(ctx, "agent"); err != nil || m.HasPeer("mine") {
			t.Errorf("stored is %+v, %v", m, err)
		}
	})
}

func TestEditByRevisionErrors(t *testing.T) {
	ctx := t.Context()
	s := &recording{MetadataStore: memstore.New()}
	own := errors.New("own")
	untouched := func([]*store.Metadata) error {
		t.Error("edit was called")
		return nil
	}
	for _, c := range []struct {
		names []string
		edit  func([]*store.Metadata) error
		want  error
	}{
		{nil, untouched, store.ErrInvalid},
		{[]string{"a", "b", "a"}, untouched, store.ErrInvalid},
		{[]string{"a", "b/c"}, untouched, store.ErrInvalidName},
		{[]string{"a"}, func([]*store.Metadata) error { return own }, own},
		{[]string{"a"}, func(pods []*store.Metadata) error { pods[0] = &store.Metadata{Manifest: []byte("{")}; return nil }, store.ErrInvalid},
		{[]string{"a"}, func(pods []*store.Metadata) error {
			pods[0] = &store.Metadata{Omitted: store.ReadOptions{OmitReclaimed: true}}
			return nil
		}, store.ErrInvalid},
	} {
		if pods, err := store.EditByRevision(ctx, s, c.names, c.edit); !errors.Is(err, c.want) || pods != nil {
			t.Errorf("%q: got %v, %v, want %v", c.names, pods, err, c.want)
		}
	}
	down := failing{s, &store.Error{Kind: store.ErrUnavailable}}
	if _, err := store.EditByRevision(ctx, down, []string{"a"}, untouched); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a store that cannot be read: %v", err)
	}
	if len(s.applied) > 0 {
		t.Errorf("applied %+v", s.applied)
	}
}
