package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"podstore/store"
	"podstore/store/jsonlstore"
	"podstore/store/memstore"
)

// danglingPods gathers what DanglingActive yields, in its order.
func danglingPods(t *testing.T, pods store.MetadataStore, logs store.SessionLog) (found []store.Dangling, errs []error) {
	t.Helper()
	for d, err := range store.DanglingActive(t.Context(), pods, logs) {
		if err != nil {
			errs = append(errs, err)
		} else {
			found = append(found, d)
		}
	}
	return found, errs
}

func TestDanglingActive(t *testing.T) {
	ctx := t.Context()
	root := filepath.Join(t.TempDir(), "sessions")
	logs, err := jsonlstore.Open(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	pods := memstore.New()
	session, segment := store.NewSessionID(), store.NewSegmentID()
	if err := logs.CreateSegment(ctx, session, segment, nil); err != nil {
		t.Fatal(err)
	}
	traced := store.NewSegmentID()
	if err := logs.AppendTrace(ctx, session, traced, json.RawMessage(`{}`)); err != nil {
		t.Fatal(err)
	}
	noSession, noSegment := store.NewSessionID(), store.NewSegmentID()
	active := map[string]*store.ActiveSegment{
		"a none":                    nil,
		"b good":                    store.ActiveIn(session, segment),
		"c pending":                 store.PendingSegment(session),
		"d no segment":              store.ActiveIn(session, noSegment),
		"e segment of another":      store.ActiveIn(noSession, segment),
		"f neither":                 store.ActiveIn(noSession, noSegment),
		"g pending in no session":   store.PendingSegment(noSession),
		"h traces make no segments": store.ActiveIn(session, traced),
	}
	for name, a := range active {
		if err := store.Write(ctx, pods, &store.Metadata{PodName: name, Active: a}); err != nil {
			t.Fatal(err)
		}
	}
	want := []store.Dangling{
		{Pod: "d no segment", Active: *active["d no segment"]},
		{Pod: "e segment of another", Active: *active["e segment of another"], NoSession: true},
		{Pod: "f neither", Active: *active["f neither"], NoSession: true},
		{Pod: "g pending in no session", Active: *active["g pending in no session"], NoSession: true},
		{Pod: "h traces make no segments", Active: *active["h traces make no segments"]},
	}
	check := func(what string, got []store.Dangling) {
		t.Helper()
		if !slices.EqualFunc(got, want, func(a, b store.Dangling) bool {
			return a.Pod == b.Pod && a.NoSession == b.NoSession && a.Active.SessionID == b.Active.SessionID &&
				(a.Active.SegmentID == nil) == (b.Active.SegmentID == nil) && (a.Active.SegmentID == nil || *a.Active.SegmentID == *b.Active.SegmentID)
		}) {
			t.Errorf("%s: got %+v, want %+v", what, got, want)
		}
	}
	got, errs := danglingPods(t, pods, logs)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	check("all readable", got)

	// A Pod that cannot be read is named and hides nothing, as is one whose
	// session cannot be looked into.
	pods.Damage("b good")
	odd := store.NewSessionID()
	if err := store.Write(ctx, pods, &store.Metadata{PodName: "z odd", Active: store.ActiveIn(odd, segment)}); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/", filepath.Join(root, odd.String())); err != nil {
		t.Fatal(err)
	}
	got, errs = danglingPods(t, pods, logs)
	check("beside damage", got)
	for i, want := range []struct {
		pod  string
		kind error
	}{{"b good", store.ErrCorrupt}, {"z odd", store.ErrInvalid}} {
		var e *store.Error
		if i >= len(errs) || !errors.As(errs[i], &e) || e.Pod != want.pod || !errors.Is(errs[i], want.kind) {
			t.Errorf("errors are %v, want one of %q that matches %q", errs, want.pod, want.kind)
		}
	}

	// The loop may end early, and a store that fails is an error.
	for range store.DanglingActive(ctx, pods, logs) {
		break
	}
	n := 0
	for d, err := range store.DanglingActive(ctx, pods, logs) {
		if n++; err == nil && d.Pod != "" {
			break
		}
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	n = 0
	for _, err := range store.DanglingActive(canceled, pods, logs) {
		if n++; !errors.Is(err, context.Canceled) {
			t.Errorf("with a canceled context: %v", err)
		}
	}
	if n == 0 {
		t.Error("with a canceled context: no error")
	}
	if err := os.RemoveAll(root); err != nil {
		t.Fatal(err)
	}
	got, errs = danglingPods(t, pods, logs)
	if len(got) != 0 || len(errs) == 0 || !errors.Is(errs[len(errs)-1], store.ErrNotFound) {
		t.Errorf("without a root: %v, %v", got, errs)
	}
}

// racing creates what is missing when it is first asked for it, as a supervisor
// does that runs meanwhile.
type racing struct {
	store.SessionLog
	asked bool
}

func (r *racing) Exists(ctx context.Context, session store.SessionID, segment store.SegmentID) (bool, error) {
	if !r.asked {
		r.asked = true
		return false, r.CreateSegment(ctx, session, segment, nil)
	}
	return r.SessionLog.Exists(ctx, session, segment)
}

func TestDanglingActiveBesideASupervisor(t *testing.T) {
	pods := memstore.New()
	if err := store.Write(t.Context(), pods, &store.Metadata{PodName: "a", Active: store.ActiveIn(store.NewSessionID(), store.NewSegmentID())}); err != nil {
		t.Fatal(err)
	}
	if got, errs := danglingPods(t, pods, &racing{SessionLog: openLogs(t)}); len(got) != 0 || len(errs) != 0 {
		t.Errorf("got %+v, %v", got, errs)
	}
}
