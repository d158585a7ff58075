package jsonlstore_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"podstore/store"
	"podstore/store/jsonlstore"
)

// A root that is no tree of sessions is refused, with what it is and what to do,
// rather than read as one without any. Nothing in it is changed.
func TestRefusesOtherLayouts(t *testing.T) {
	worker := filepath.Join("testdata", "aggregate", "01a02abf-b938-7998-ab81-6efe26c77a28")
	session := t.TempDir()
	lay(t, filepath.Join(session, segment1.String()+".jsonl"), "{}\n")
	traces := t.TempDir()
	lay(t, filepath.Join(traces, segment1.String()+".trace.jsonl"), "{}\n")
	pods := t.TempDir()
	lay(t, filepath.Join(pods, "coder", "metadata.json"), `{"pod_name":"coder"}`)
	uuidPods := t.TempDir()
	lay(t, filepath.Join(uuidPods, sessionA.String(), "metadata.json"), `{"pod_name":"x"}`)
	mixed := t.TempDir()
	noError(t, os.CopyFS(mixed, os.DirFS(filepath.Join("testdata", "aggregate"))))
	lay(t, filepath.Join(mixed, "coder", "metadata.json"), `{"pod_name":"coder"}`)
	worker2 := t.TempDir()
	lay(t, filepath.Join(worker2, "7", "worker.json"), "{}")
	for _, c := range []struct {
		name, root string
		kind       error
		says       string
	}{
		{"aggregate", filepath.Join("testdata", "aggregate"), store.ErrFormat, "aggregate layout"},
		{"a worker of it", worker, store.ErrFormat, "aggregate layout"},
		{"the session of a worker", filepath.Join(worker, "session"), store.ErrFormat, "aggregate layout"},
		{"the segments of a worker", filepath.Join(worker, "session", "segments"), store.ErrInvalid, "one session"},
		{"one session", session, store.ErrInvalid, "name the directory above"},
		{"one session with traces", traces, store.ErrInvalid, "name the directory above"},
		{"Pods", pods, store.ErrInvalid, "tree of Pods"},
		{"Pods named by UUIDs", uuidPods, store.ErrInvalid, "tree of Pods"},
		{"a worker without a session", worker2, store.ErrFormat, "aggregate layout"},
		{"aggregate beside Pods", mixed, store.ErrFormat, "aggregate layout"},
	} {
		for _, readOnly := range []bool{false, true} {
			s, err := jsonlstore.Open(c.root, &jsonlstore.Options{ReadOnly: readOnly})
			matches(t, err, c.kind)
			var e *store.Error
			if s != nil || !errors.As(err, &e) || e.Path != c.root || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
}

// One session is enough to tell the layout: beside it Pods and other directories
// are ignored. So is a root with nothing, or with empty sessions.
func TestTakesItsOwnLayout(t *testing.T) {
	root := t.TempDir()
	open(t, root, nil)
	noError(t, os.Mkdir(filepath.Join(root, sessionB.String()), 0o700))
	open(t, root, nil)
	lay(t, filepath.Join(root, "aaa", "notes.txt"), "")
	open(t, root, nil)
	lay(t, filepath.Join(root, "aaa", "metadata.json"), `{"pod_name":"aaa"}`)
	lay(t, filepath.Join(root, sessionA.String(), segment1.String()+".trace.jsonl"), "{}\n")
	open(t, root, nil)
}

// A worker of the aggregate layout among sessions is no session without segments:
// whatever would have to look into it says what it is.
func TestRefusesAWorkerAmongSessions(t *testing.T) {
	root := t.TempDir()
	s := open(t, root, nil)
	noError(t, os.CopyFS(root, os.DirFS(filepath.Join("testdata", "aggregate"))))
	lay(t, logPath(root, sessionA, segment1), "{}\n")
	ctx := t.Context()
	worker := mustSession("01a02abf-b938-7998-ab81-6efe26c77a28")
	holds(t, s, sessionA, segment1, `{}`)
	if id, err := s.SessionOf(ctx, segment1); err != nil || id != sessionA {
		t.Errorf("SessionOf is %v, %v", id, err)
	}
	_, err := s.ListSessions(ctx)
	refused := map[string]error{"ListSessions": err}
	_, refused["SessionOf"] = s.SessionOf(ctx, mustSegment("01a02a73-71e0-79e3-9e37-79b97f4a7c15"))
	_, refused["ListSegments"] = s.ListSegments(ctx, worker)
	_, refused["Exists"] = s.Exists(ctx, worker, segment1)
	_, refused["EntryCount"] = s.EntryCount(ctx, worker, segment1)
	_, refused["SessionModified"] = s.SessionModified(ctx, worker)
	refused["Append"] = s.Append(ctx, worker, segment1, raw(`{}`))
	refused["CreateSegment"] = s.CreateSegment(ctx, worker, segment1, nil)
	refused["DeleteSession"] = s.DeleteSession(ctx, worker)
	_, errs := readAll(s.Follow(ctx, worker, segment1, 0))
	refused["Follow"] = errors.Join(errs...)
	for op, err := range refused {
		if !errors.Is(err, store.ErrFormat) || !strings.Contains(err.Error(), worker.String()) {
			t.Errorf("%s: %v", op, err)
		}
	}
	want := filepath.Join("testdata", "aggregate", worker.String(), "session", "segments", "01a02a73-71e0-79e3-9e37-79b97f4a7c15.jsonl")
	content, err := os.ReadFile(want)
	noError(t, err)
	contentIs(t, filepath.Join(root, worker.String(), "session", "segments", filepath.Base(want)), string(content))
}
