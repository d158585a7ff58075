package store_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"podstore/store"
	"podstore/store/memstore"
)

// put makes a Pod with these peers and children.
func put(t *testing.T, pods store.MetadataStore, name string, peers, children []string) {
	t.Helper()
	_, err := pods.Update(t.Context(), name, func(m *store.Metadata) error {
		for _, p := range peers {
			m.Peers = append(m.Peers, store.Peer{PodName: p})
		}
		for _, c := range children {
			m.Children = append(m.Children, store.SpawnedChild{PodName: c})
		}
		m.Reclaimed = []store.ReclaimedChild{{PodName: "long gone"}}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestBrokenReferences(t *testing.T) {
	ctx := t.Context()
	pods := memstore.New()
	put(t, pods, "a", []string{"b", "c", "gone"}, []string{"b", "lost", "lost"})
	put(t, pods, "b", []string{"a", "b"}, nil)
	put(t, pods, "c", nil, []string{"a", "not/a name"})
	put(t, pods, "d", []string{"c"}, nil)
	find := func() (found []store.Reference, errs []error) {
		for r, err := range store.BrokenReferences(ctx, pods) {
			if err != nil {
				if errs = append(errs, err); r != (store.Reference{}) || len(found) > 0 {
					t.Errorf("%+v came with or before %v", r, err)
				}
			} else {
				found = append(found, r)
			}
		}
		return found, errs
	}
	got, errs := find()
	want := []store.Reference{
		{Pod: "a", To: "c"},
		{Pod: "a", To: "gone", Missing: true},
		{Pod: "a", To: "lost", Child: true, Missing: true},
		{Pod: "c", To: "not/a name", Child: true, Missing: true},
		{Pod: "d", To: "c"},
	}
	if len(errs) > 0 || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, errs, want)
	}

	// A Pod that cannot be read exists, and may well list those that list it.
	pods.Damage("c")
	got, errs = find()
	var e *store.Error
	if want := want[1:3]; len(errs) != 1 || !errors.As(errs[0], &e) || e.Pod != "c" || !slices.Equal(got, want) {
		t.Errorf("beside a damaged Pod: got %+v, %v\nwant %+v", got, errs, want)
	}

	// Where not all Pods were seen, none is called missing.
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	n := 0
	for _, err := range store.BrokenReferences(canceled, pods) {
		if n++; !errors.Is(err, context.Canceled) {
			t.Errorf("with a canceled context: %v", err)
		}
	}
	if n == 0 {
		t.Error("with a canceled context there is no error")
	}
	for range store.BrokenReferences(ctx, pods) {
		break
	}
}

func TestUnreferencedSessions(t *testing.T) {
	ctx := t.Context()
	pods, logs := memstore.New(), openLogs(t)
	var sessions []store.SessionID
	for range 5 {
		session, segment := store.NewSessionID(), store.NewSegmentID()
		if err := logs.CreateSegment(ctx, session, segment, nil); err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, session)
	}
	for name, active := range map[string]*store.ActiveSegment{
		"active":  store.ActiveIn(sessions[1], store.NewSegmentID()), // whatever the segment
		"pending": store.PendingSegment(sessions[3]),
		"none":    nil,
		"nowhere": store.ActiveIn(store.NewSessionID(), store.NewSegmentID()),
	} {
		if _, err := pods.Update(ctx, name, func(m *store.Metadata) error { m.Active = active; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	find := func(logs store.SessionLog) (found []store.SessionID, errs []error) {
		for u, err := range store.UnreferencedSessions(ctx, pods, logs) {
			if err != nil {
				errs = append(errs, err)
				continue
			}
			found = append(found, u.Session)
			if modified, err := logs.SessionModified(ctx, u.Session); err != nil || !modified.Equal(u.Modified) {
				t.Errorf("%v was changed at %v, not %v; %v", u.Session, modified, u.Modified, err)
			}
		}
		return found, errs
	}
	want := []store.SessionID{sessions[4], sessions[2], sessions[0]} // newest first
	if got, errs := find(logs); len(errs) > 0 || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, errs, want)
	}
	// What goes while it looks is not yielded.
	got, errs := find(&deleting{SessionLog: logs, id: sessions[2]})
	if len(errs) > 0 || !slices.Equal(got, []store.SessionID{sessions[4], sessions[0]}) {
		t.Errorf("beside a deletion: got %v, %v", got, errs)
	}
	// A Pod that cannot be read may point at any session.
	pods.Damage("none")
	got, errs = find(logs)
	var e *store.Error
	if len(got) > 0 || len(errs) != 1 || !errors.As(errs[0], &e) || e.Pod != "none" {
		t.Errorf("beside a damaged Pod: got %v, %v", got, errs)
	}
}

// deleting deletes a session as soon as it was listed, as another process may.
type deleting struct {
	store.SessionLog
	id store.SessionID
}

func (d *deleting) ListSessions(ctx context.Context) ([]store.SessionID, error) {
	ids, err := d.SessionLog.ListSessions(ctx)
	return ids, errors.Join(err, d.DeleteSession(ctx, d.id))
}

// A session that comes while the Pods are read, and is pointed at, is not called
// unreferenced.
func TestUnreferencedSessionsBesideASupervisor(t *testing.T) {
	ctx := t.Context()
	pods, logs := memstore.New(), openLogs(t)
	c := store.NewCombined(&starting{SessionLog: logs, pods: pods}, pods)
	for u, err := range store.UnreferencedSessions(ctx, c, c) {
		t.Errorf("got %v, %v", u, err)
	}
	if n, err := logs.ListSessions(ctx); err != nil || len(n) != 1 {
		t.Errorf("sessions are %v, %v", n, err)
	}
}

// starting starts a Pod's session as soon as the sessions were listed.
type starting struct {
	store.SessionLog
	pods store.MetadataStore
}

func (s *starting) ListSessions(ctx context.Context) ([]store.SessionID, error) {
	ids, err := s.SessionLog.ListSessions(ctx)
	session, segment := store.NewSessionID(), store.NewSegmentID()
	if err == nil {
		err = s.CreateSegment(ctx, session, segment, nil)
	}
	if err == nil {
		_, err = s.pods.Update(ctx, "late", func(m *store.Metadata) error { m.Active = store.ActiveIn(session, segment); return nil })
	}
	return ids, err
}

// A log that cannot follow says so, through the combined store too.
func TestFollowUnsupported(t *testing.T) {
	logs := struct{ store.SessionLog }{openLogs(t)}
	for _, log := range []store.SessionLog{logs, store.NewCombined(logs, memstore.New())} {
		n := 0
		for entry, err := range store.Follow(t.Context(), log, store.NewSessionID(), store.NewSegmentID(), 0) {
			if n++; entry != nil || !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("it yields %q, %v", entry, err)
			}
		}
		if n != 1 {
			t.Errorf("it yields %d times", n)
		}
	}
}
