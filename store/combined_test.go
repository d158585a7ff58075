package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"podstore/store"
	"podstore/store/jsonlstore"
	"podstore/store/memstore"
	"podstore/store/storetest"
)

func openLogs(t testing.TB) *jsonlstore.Store {
	t.Helper()
	s, err := jsonlstore.Open(filepath.Join(t.TempDir(), "sessions"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The session half keeps its promises through the handle. The tests of the
// metadata backends show the same of the other half.
func TestCombinedConformance(t *testing.T) {
	t.Parallel()
	storetest.Sessions(t, func(t *testing.T) store.SessionLog { return store.NewCombined(openLogs(t), memstore.New()) })
}

// Each half is where it was told to be, and a Pod's pointer leads from one to
// the other.
func TestCombinedDelegates(t *testing.T) {
	ctx := t.Context()
	logs, pods := openLogs(t), memstore.New()
	c := store.NewCombined(logs, pods)
	session, segment := store.NewSessionID(), store.NewSegmentID()
	if err := c.Append(ctx, session, segment, json.RawMessage(`{"n":1}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Update(ctx, "agent", func(m *store.Metadata) error {
		m.Active = store.ActiveIn(session, segment)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	m, err := pods.Read(ctx, "agent")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := logs.EntryCount(ctx, m.Active.SessionID, *m.Active.SegmentID); err != nil || n != 1 {
		t.Errorf("%d entries, %v", n, err)
	}
	if names, err := c.List(ctx); err != nil || len(names) != 1 {
		t.Errorf("Pods are %q, %v", names, err)
	}
}

func puts(pods ...*store.Metadata) (puts []store.Put) {
	for _, m := range pods {
		puts = append(puts, store.Put{Metadata: m})
	}
	return puts
}

func TestCombinedForwardsAbilities(t *testing.T) {
	ctx := t.Context()
	bare := store.NewCombined(openLogs(t), rooted{batched{onePod{memstore.New()}}})
	if got := store.RootDir(bare); got != "/srv/pods" {
		t.Errorf("RootDir is %q", got)
	}
	if errs := bare.WriteBatch(ctx, puts(&store.Metadata{PodName: "a"}, &store.Metadata{}, &store.Metadata{PodName: "b"})); len(errs) != 3 ||
		errs[0] != nil || !errors.Is(errs[1], store.ErrInvalidName) || errs[2] != nil {
		t.Errorf("WriteBatch gave %v", errs)
	}

	able := store.NewCombined(openLogs(t), memstore.New())
	for _, name := range []string{"a", "b"} {
		if err := store.Write(ctx, able, &store.Metadata{PodName: name, Manifest: json.RawMessage(`{}`)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.LinkPeers(ctx, able, "a", "b"); err != nil {
		t.Error(err)
	}
	if m, err := store.ReadPart(ctx, able, "a", store.ReadOptions{OmitManifest: true}); err != nil || m.Manifest != nil || !m.HasPeer("b") {
		t.Errorf("ReadPart gave %+v, %v", m, err)
	}
	for batch, err := range store.Watch(ctx, able, store.WatchOptions{Pods: []string{"a"}}) {
		if err != nil || !batch.Synced || len(batch.Events) != 1 || batch.Events[0].Pod != "a" {
			t.Errorf("Watch yields %+v, %v", batch, err)
		}
		break
	}
	frozen, closer, err := able.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	if err := store.Do(ctx, able, "a", store.Delete{}); err != nil {
		t.Fatal(err)
	}
	if m, err := frozen.Read(ctx, "a"); err != nil || !m.HasPeer("b") {
		t.Errorf("the snapshot has %+v, %v", m, err)
	}
	if err := store.Do(ctx, frozen, "b", store.Delete{}); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("the snapshot was changed: %v", err)
	}
	for m, err := range store.All(ctx, able, store.ReadOptions{OmitManifest: true}) {
		if err != nil || m.PodName != "b" || m.Manifest != nil {
			t.Errorf("All yields %+v, %v", m, err)
		}
	}
}

func TestCombinedWithoutAbilities(t *testing.T) {
	ctx := t.Context()
	c := store.NewCombined(openLogs(t), onePod{memstore.New()})
	if got := store.RootDir(c); got != "" {
		t.Errorf("RootDir is %q", got)
	}
	if errs := c.WriteBatch(ctx, puts(&store.Metadata{PodName: "a", Manifest: json.RawMessage(`1`)}, &store.Metadata{PodName: "/"})); len(errs) != 2 ||
		errs[0] != nil || !errors.Is(errs[1], store.ErrInvalidName) {
		t.Errorf("WriteBatch gave %v", errs)
	}
	n := 0
	for m, err := range c.All(ctx, store.ReadOptions{OmitManifest: true}) {
		if n++; err != nil || m.PodName != "a" || m.Manifest != nil {
			t.Errorf("All yields %+v, %v", m, err)
		}
	}
	if n != 1 {
		t.Errorf("All yields %d Pods", n)
	}
	if _, err := c.UpdatePods(ctx, []string{"a"}, func([]*store.Metadata) error { t.Error("edit was called"); return nil }); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("UpdatePods gave %v", err)
	}
	if err := store.LinkPeers(ctx, c, "a", "b"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("LinkPeers gave %v", err)
	}
	for batch, err := range store.Watch(ctx, c, store.WatchOptions{}) {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Watch yields %+v, %v", batch, err)
		}
	}
	s, closer, err := c.Snapshot(ctx)
	if !errors.Is(err, errors.ErrUnsupported) || s != nil || closer != nil {
		t.Errorf("Snapshot gave %v, %v, %v", s, closer, err)
	}
}

// closingLogs and closingPods are halves that can be closed.
type closingLogs struct {
	store.SessionLog
	closed int
	err    error
}

func (c *closingLogs) Close() error { c.closed++; return c.err }

type closingPods struct {
	store.MetadataStore
	closed int
	err    error
}

func (c *closingPods) Close() error { c.closed++; return c.err }

func TestCombinedCloses(t *testing.T) {
	logsErr, podsErr := errors.New("logs"), errors.New("pods")
	for _, errs := range [][2]error{{nil, nil}, {logsErr, nil}, {nil, podsErr}, {logsErr, podsErr}} {
		logs, pods := &closingLogs{err: errs[0]}, &closingPods{err: errs[1]}
		err := store.NewCombined(logs, pods).Close()
		if logs.closed != 1 || pods.closed != 1 {
			t.Errorf("%v: the halves were closed %d and %d times", errs, logs.closed, pods.closed)
		}
		for _, want := range errs {
			if want != nil && !errors.Is(err, want) {
				t.Errorf("%v: Close gave %v", errs, err)
			}
		}
		if (err == nil) != (errs == [2]error{}) {
			t.Errorf("%v: Close gave %v", errs, err)
		}
	}
	if err := store.NewCombined(openLogs(t), memstore.New()).Close(); err != nil {
		t.Errorf("halves that need no closing: %v", err)
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func ExampleCombined() {
	ctx := context.Background()
	root, err := os.MkdirTemp("", "podstore")
	check(err)
	defer os.RemoveAll(root)
	logs, err := jsonlstore.Open(filepath.Join(root, "sessions"), nil)
	check(err)
	// A supervisor opens a boltstore, which outlives it.
	state := store.NewCombined(logs, memstore.New())
	defer state.Close()

	// A Pod begins a session: the log first, then the pointer to it.
	session, segment := store.NewSessionID(), store.NewSegmentID()
	check(state.CreateSegment(ctx, session, segment, []json.RawMessage{json.RawMessage(`{"kind": "start"}`)}))
	err = store.Do(ctx, state, "agent", store.SetActive{Active: store.ActiveIn(session, segment), Manifest: json.RawMessage(`{"model": "small"}`)})
	check(err)

	// Later it is restored by name.
	m, err := state.Read(ctx, "agent")
	check(err)
	for entry, err := range state.ReadAll(ctx, m.Active.SessionID, *m.Active.SegmentID) {
		check(err)
		fmt.Printf("%s from %s\n", entry, m.Manifest)
	}
	// Output: {"kind":"start"} from {"model":"small"}
}
