package cli

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/memstore"
)

// heard is output that grows while it is looked at.
type heard struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(p)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}

// waitFor waits until a text is there.
func (h *heard) waitFor(t *testing.T, text string) {
	t.Helper()
	for range 2000 {
		if strings.Contains(h.String(), text) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%q did not come:\n%s", text, h)
}

// watches runs watch on a store until the function that it returns is called.
func watches(t *testing.T, s store.MetadataStore, terminal bool, args ...string) (out, errs *heard, end func()) {
	t.Helper()
	out, errs = new(heard), new(heard)
	c := newConsole(out, errs)
	c.terminal = terminal
	c.schemes = []Scheme{{Name: "mem", Open: func(context.Context, string, bool) (store.MetadataStore, io.Closer, error) {
		return s, io.NopCloser(nil), nil
	}}}
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int)
	go func() { code <- c.execute(ctx, append([]string{"watch", "mem://"}, args...)) }()
	return out, errs, func() {
		t.Helper()
		cancel()
		if got := <-code; got != exitInterrupted {
			t.Errorf("exit code %d\n%s%s", got, out, errs)
		}
	}
}

func change(t *testing.T, s store.MetadataStore, pod string, ops ...store.Op) {
	t.Helper()
	if err := store.Do(t.Context(), s, pod, ops...); err != nil {
		t.Fatal(err)
	}
}

// TestWatch prints what changes, and what is new of it.
func TestWatch(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	session := store.NewSessionID()
	change(t, s, "alpha", store.SetActive{Active: store.PendingSegment(session), Manifest: []byte(`{"a":1}`)})
	change(t, s, "beta", store.AddPeer{PodName: "alpha"})
	out, errs, end := watches(t, s, false)
	errs.waitFor(t, "watching mem://, 2 Pods\n")
	segment := store.NewSegmentID()
	for _, step := range []struct {
		pod  string
		op   store.Op
		line string
	}{
		{"alpha", store.SetSegment{Active: store.ActiveIn(session, segment)}, "changed\talpha\tsegment " + segment.String()},
		{"alpha", store.AddChild{Child: store.SpawnedChild{PodName: "odd $(x)"}}, "changed\talpha\tchildren +\"odd $(x)\""},
		{"alpha", store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: "odd $(x)"}}}, "changed\talpha\tchildren -\"odd $(x)\""},
		{"alpha", store.SetActive{Manifest: []byte(`{"a":22}`)}, "changed\talpha\tnot active; manifest of 8 bytes"},
		{"alpha", store.SetField{Field: "note\x1b", Value: []byte(`1`)}, "changed\talpha\t\"note\\x1b\""},
		{"alpha", store.TrimReclaimed{}, "changed\talpha\thistory"},
		{"new", store.AddPeer{PodName: "beta"}, "created\tnew\t1 peer"},
		{"new", store.SetPeers{Peers: []store.Peer{{PodName: "alpha"}}}, "changed\tnew\tpeers +alpha -beta"},
		{"new", store.Delete{}, "gone\tnew\t-"},
	} {
		change(t, s, step.pod, step.op)
		out.waitFor(t, step.line+"\n")
	}
	end()
	for line := range strings.Lines(out.String()) {
		if !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\t(created|changed|gone)\t[^\t]+\t[^\t]*\n$`).MatchString(line) {
			t.Errorf("the line %q", line)
		}
	}
	if n := strings.Count(out.String(), "\n"); n != 9 {
		t.Errorf("%d lines:\n%s", n, out)
	}
}

// TestWatchJSON has the documented shapes, the first list included, and only the Pods
// that were named.
func TestWatchJSON(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	change(t, s, "alpha", store.AddPeer{PodName: "x"})
	change(t, s, "other", store.AddPeer{PodName: "x"})
	out, errs, end := watches(t, s, false, "--json", "--list", "alpha", "late")
	out.waitFor(t, `"type":"synced"`)
	change(t, s, "other", store.RemovePeer{PodName: "x"})
	change(t, s, "late", store.AddPeer{PodName: "x"})
	out.waitFor(t, `"type":"created"`)
	change(t, s, "late", store.AddPeer{PodName: "y"})
	out.waitFor(t, `"type":"changed"`)
	change(t, s, "late", store.Delete{})
	out.waitFor(t, `"type":"gone"`)
	end()
	checkShapes(t, "watch", out.String())
	if strings.Contains(out.String(), "other") || !strings.Contains(out.String(), `"type":"pod"`) || errs.String() != "" {
		t.Errorf("it prints\n%s%s", out, errs)
	}
}

// TestWatchKnowsWhatIsGone: after the list was begun anew, what it does not name is gone.
func TestWatchKnowsWhatIsGone(t *testing.T) {
	t.Parallel()
	pod := func(name string, number uint64) store.Event {
		return store.Event{Pod: name, Metadata: &store.Metadata{PodName: name, Version: store.Version{Revision: store.Revision{Number: number}}}}
	}
	var out bytes.Buffer
	c := newConsole(&out, io.Discard)
	c.command = "watch"
	w := &watching{console: c, first: true, known: map[string]*store.Metadata{}, broken: map[string]bool{}, seen: map[string]bool{}}
	w.batch(store.Batch{Events: []store.Event{pod("a", 1)}})
	w.batch(store.Batch{Events: []store.Event{pod("b", 2)}, Synced: true})
	w.batch(store.Batch{Resync: true, Events: []store.Event{pod("b", 2)}})
	w.batch(store.Batch{Events: []store.Event{pod("c", 3)}, Synced: true})
	c.flush()
	if got := regexp.MustCompile(`(?m)^[^\t]*\t`).ReplaceAllString(out.String(), ""); got != "created\tc\t-\ngone\ta\t-\n" {
		t.Errorf("it prints %q", got)
	}
}

// TestWatchNeedsALivePlace says what to watch instead of a file or a directory.
func TestWatchNeedsALivePlace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := filepath.Join(dir, "p.db")
	oddDatabase(t, db, nil)
	if _, text := migrate(t, exitUsage, "watch", db); !strings.Contains(text, "and watch unix:SOCKET") {
		t.Error(text)
	}
	if _, text := migrate(t, exitUsage, "watch", "dir:"+dir); !strings.Contains(text, "a directory cannot be watched") {
		t.Error(text)
	}
	migrate(t, exitMissing, "watch", filepath.Join(dir, "none.db"))
	migrate(t, exitMissing, "watch", "unix:"+filepath.Join(dir, "none"))
	s, err := boltstore.Open(db, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, text := migrate(t, exitLocked, "watch", db); !strings.Contains(text, "give unix:SOCKET in place of ") {
		t.Error(text)
	}
}
