package jsonlstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"podstore/store"
	"podstore/store/jsonlstore"
)

// IDs as the incumbent makes them, oldest first.
var (
	sessionA = mustSession("0193d2a0-0000-7000-8000-00000000000a")
	sessionB = mustSession("0193d2a0-0001-7000-8000-00000000000b")
	segment1 = mustSegment("0193d2a1-0000-7000-8000-000000000001")
	segment2 = mustSegment("0193d2a1-0001-7000-8000-000000000002")
	segment3 = mustSegment("0193d2a1-0002-7000-8000-000000000003")
)

func mustSession(s string) store.SessionID {
	id, err := store.ParseSessionID(s)
	if err != nil {
		panic(err)
	}
	return id
}

func mustSegment(s string) store.SegmentID { return store.SegmentID(mustSession(s)) }

func raw(s string) json.RawMessage { return json.RawMessage(s) }

func raws(entries ...string) (out []json.RawMessage) {
	for _, e := range entries {
		out = append(out, raw(e))
	}
	return out
}

// logPath is where the layout puts a segment.
func logPath(root string, session store.SessionID, segment store.SegmentID) string {
	return filepath.Join(root, session.String(), segment.String()+".jsonl")
}

// lay writes a file by hand, as another program would.
func lay(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func contentIs(t testing.TB, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Fatalf("%s holds %.300q\nwant %.300q", filepath.Base(path), got, want)
	}
}

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func matches(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("the error is %v, want one that matches %q", err, want)
	}
}

// readAll gives entries and errors in the order in which they were yielded.
func readAll(entries iter.Seq2[json.RawMessage, error]) (good []string, errs []error) {
	for e, err := range entries {
		if err != nil {
			errs = append(errs, err)
		} else {
			good = append(good, string(e))
		}
	}
	return good, errs
}

func holds(t testing.TB, s *jsonlstore.Store, session store.SessionID, segment store.SegmentID, want ...string) {
	t.Helper()
	got, errs := readAll(s.ReadAll(context.Background(), session, segment))
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("entries are %.300q\nwant %.300q", got, want)
	}
	if n, err := s.EntryCount(context.Background(), session, segment); err != nil || n != len(want) {
		t.Fatalf("EntryCount is %d, %v for %d entries", n, err, len(want))
	}
}

// What is written is one compact object and a newline each, to the byte what
// serde_json's to_string and a "\n" are.
func TestWritesTheIncumbentsBytes(t *testing.T) {
	root := t.TempDir()
	s := open(t, root, nil)
	ctx := t.Context()
	start := `{"kind":"segment_start","ts":1733740000000,"session_id":"0193d2a0-0000-7000-8000-00000000000a","history":[],"forked_from":null}`
	user := `{"kind":"user_input","ts":1733740000123,"segments":[{"type":"text","text":"naïve <b>&\u0000 \"q\" \\ 😀"}]}`
	noError(t, s.CreateSegment(ctx, sessionA, segment1, raws(start)))
	noError(t, s.Append(ctx, sessionA, segment1, raw(user)))
	noError(t, s.Append(ctx, sessionA, segment1, raw("{ \"kind\": \"usage\",\n\t\"cost\": 1.0e-3 }")))
	noError(t, s.AppendTrace(ctx, sessionA, segment1, raw(`{"event":"turn_start"}`)))
	contentIs(t, logPath(root, sessionA, segment1), start+"\n"+user+"\n"+`{"kind":"usage","cost":1.0e-3}`+"\n")
	contentIs(t, filepath.Join(root, sessionA.String(), segment1.String()+".trace.jsonl"), `{"event":"turn_start"}`+"\n")
	noError(t, s.Truncate(ctx, sessionA, segment1, 2))
	contentIs(t, logPath(root, sessionA, segment1), start+"\n"+user+"\n")
	var files []string
	noError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if !d.IsDir() {
			files = append(files, d.Name())
		}
		return err
	}))
	if want := []string{segment1.String() + ".jsonl", segment1.String() + ".trace.jsonl"}; !slices.Equal(files, want) {
		t.Fatalf("files are %q, want %q", files, want)
	}
}

// A tree as the incumbent leaves it after a crash in the middle of a line.
func TestReadsTheIncumbentsTree(t *testing.T) {
	root := t.TempDir()
	whole := "{\"n\":1}\n{\"text\":\"é\"}\n"
	torn := `{"text":"caf` + "\xc3" // the first half of an é
	lay(t, logPath(root, sessionA, segment1), whole+torn)
	lay(t, logPath(root, sessionA, segment2), torn)
	lay(t, logPath(root, sessionB, segment3), "")
	lay(t, filepath.Join(root, sessionA.String(), segment1.String()+".trace.jsonl"), "{\"t\":1}\n{\"t\"")
	s := open(t, root, nil)
	ctx := t.Context()

	holds(t, s, sessionA, segment1, `{"n":1}`, `{"text":"é"}`)
	holds(t, s, sessionA, segment2)
	holds(t, s, sessionB, segment3)
	contentIs(t, logPath(root, sessionA, segment1), whole+torn) // reading repairs nothing
	if traces, errs := readAll(s.ReadTraces(ctx, sessionA, segment1)); len(errs) > 0 || !slices.Equal(traces, []string{`{"t":1}`}) {
		t.Fatalf("traces are %q, %v", traces, errs)
	}

	noError(t, s.Append(ctx, sessionA, segment1, raw(`{"n":3}`)))
	contentIs(t, logPath(root, sessionA, segment1), whole+"{\"n\":3}\n")
	noError(t, s.Append(ctx, sessionA, segment2, raw(`{"n":1}`)))
	contentIs(t, logPath(root, sessionA, segment2), "{\"n\":1}\n")
	noError(t, s.AppendTrace(ctx, sessionA, segment1, raw(`{"t":2}`)))
	contentIs(t, filepath.Join(root, sessionA.String(), segment1.String()+".trace.jsonl"), "{\"t\":1}\n{\"t\":2}\n")
}

// A tail longer than one buffer, with its newline at every place around the
// buffer's borders.
func TestRemovesLongTails(t *testing.T) {
	root := t.TempDir()
	s := open(t, root, &jsonlstore.Options{Sync: jsonlstore.SyncNever})
	path := logPath(root, sessionA, segment1)
	for _, tail := range []int{1, 2, 1<<16 - 2, 1<<16 - 1, 1 << 16, 1<<16 + 1, 1 << 17, 1<<17 + 3} {
		for _, before := range []string{"", "{\"n\":1}\n"} {
			lay(t, path, before+strings.Repeat("x", tail))
			want := []string{`{"n":1}`}[:strings.Count(before, "\n")]
			holds(t, s, sessionA, segment1, want...)
			noError(t, s.Append(t.Context(), sessionA, segment1, raw(`{"n":2}`)))
			contentIs(t, path, before+"{\"n\":2}\n")
		}
	}
}

// A loop does not see what takes the place of a tail while it runs, not even in
// part.
func TestTailReplacedInTheLoop(t *testing.T) {
	root := t.TempDir()
	s := open(t, root, nil)
	const lines = 300
	line := `{"pad":"` + strings.Repeat("x", 500) + `"}`
	lay(t, logPath(root, sessionA, segment1), strings.Repeat(line+"\n", lines)+`{"torn":"`+strings.Repeat("y", 100))
	n := 0
	for entry, err := range s.ReadAll(t.Context(), sessionA, segment1) {
		if err != nil || string(entry) != line {
			t.Fatalf("entry %d is %.40q, %v", n, entry, err)
		}
		if n++; n == 1 {
			for range 5 {
				noError(t, s.Append(t.Context(), sessionA, segment1, raw(`{"late":1}`)))
			}
		}
	}
	if n != lines {
		t.Fatalf("the loop saw %d entries, want %d", n, lines)
	}
}

// The incumbent skips blank lines and ends a line with \n or \r\n.
func TestBlankLinesAreNoEntries(t *testing.T) {
	root := t.TempDir()
	s := open(t, root, nil)
	path := logPath(root, sessionA, segment1)
	pad := strings.Repeat(" ", 1<<16)
	lay(t, path, "\n{\"n\":1}\r\n \t\r\n"+pad+"\n{ \"n\" : 2 }\n\n"+pad+"{\"n\":3}\n\n\n")
	holds(t, s, sessionA, segment1, `{"n":1}`, `{"n":2}`, `{"n":3}`)
	noError(t, s.Truncate(t.Context(), sessionA, segment1, 3))
	holds(t, s, sessionA, segment1, `{"n":1}`, `{"n":2}`, `{"n":3}`)
	noError(t, s.Truncate(t.Context(), sessionA, segment1, 1))
	contentIs(t, path, "\n{\"n\":1}\r\n")
	noError(t, s.Append(t.Context(), sessionA, segment1, raw(`{"n":4}`)))
	holds(t, s, sessionA, segment1, `{"n":1}`, `{"n":4}`)
}

// Each damaged line is named by file, line and byte, and hides nothing.
func TestNamesDamagedLines(t *testing.T) {
	root := t.TempDir()
	s := open(t, root, nil)
	path := logPath(root, sessionA, segment1)
	long := strings.Repeat("x", 1<<16)
	lines := []struct {
		text   string
		column int // 0: the line is good
	}{
		{`{"n":1}`, 0},
		{`{"n":1`, 7},
		{``, 0},
		{`{"n":1}{"n":2}`, 8}, // two lines spliced
		{`{"n":"` + "\xff" + `"}`, 6},
		{`{"n":2}`, 0},
		{`[1]`, 1},
		{`  null`, 3},
		{"\x00\x00\x00\x00", 1}, // as some file systems leave after a crash
		{`{"s":"` + long + `"}`, 0},
		{`{"s":"` + long + `",}`, 6 + len(long) + 3},
		{`{"n":3}`, 0},
	}
	var content string
	for _, l := range lines {
		content += l.text + "\n"
	}
	lay(t, path, content)
	at, entries := 0, 0
	for entry, err := range s.ReadAll(t.Context(), sessionA, segment1) {
		for lines[at].text == "" {
			at++
		}
		if lines[at].column == 0 {
			if err != nil || string(entry) != lines[at].text {
				t.Fatalf("line %d: got %.100q, %v", at+1, entry, err)
			}
		} else {
			matches(t, err, store.ErrCorrupt)
			var e *store.Error
			if !errors.As(err, &e) || e.Path != path || e.Line != at+1 || e.Column != lines[at].column || entry != nil {
				t.Fatalf("line %d column %d: got %.100q, %v", at+1, lines[at].column, entry, err)
			}
			if where := fmt.Sprintf("%s:%d:%d: ", path, at+1, lines[at].column); !strings.Contains(err.Error(), where) {
				t.Fatalf("%q does not say %q", err, where)
			}
		}
		at++
		entries++
	}
	if at != len(lines) {
		t.Fatalf("%d lines of %d", at, len(lines))
	}
	if n, err := s.EntryCount(t.Context(), sessionA, segment1); err != nil || n != entries {
		t.Fatalf("EntryCount is %d, %v, but ReadAll yields %d", n, err, entries)
	}
	// An append goes behind the damage and repairs nothing.
	noError(t, s.Append(t.Context(), sessionA, segment1, raw(`{"n":4}`)))
	contentIs(t, path, content+"{\"n\":4}\n")
	// Truncate cuts the damage away, counting as ReadAll does.
	noError(t, s.Truncate(t.Context(), sessionA, segment1, 2))
	contentIs(t, path, "{\"n\":1}\n{\"n\":1\n")
}

func TestEntrySizeLimit(t *testing.T) {
	root := t.TempDir()
	const limit = 1000
	s := open(t, root, &jsonlstore.Options{MaxEntrySize: limit})
	ofSize := func(n int) string { return `{"s":"` + strings.Repeat("x", n-8) + `"}` }
	ctx := t.Context()
	noError(t, s.Append(ctx, sessionA, segment1, raw("  "+ofSize(limit)+"  ")))
	matches(t, s.Append(ctx, sessionA, segment1, raw(ofSize(limit+1))), store.ErrInvalid)
	matches(t, s.CreateSegment(ctx, sessionA, segment1, raws(ofSize(limit+1))), store.ErrInvalid)
	holds(t, s, sessionA, segment1, ofSize(limit))

	path := logPath(root, sessionA, segment1)
	for _, size := range []int{limit + 1, 1<<16 - 1, 1 << 16, 1<<16 + 1, 1 << 18} {
		blank := strings.Repeat(" ", size)
		lay(t, path, ofSize(limit)+"\n"+ofSize(size)+"\n"+blank+"\n{\"n\":1}\n")
		good, errs := readAll(s.ReadAll(ctx, sessionA, segment1))
		if !slices.Equal(good, []string{ofSize(limit), `{"n":1}`}) || len(errs) != 1 {
			t.Fatalf("read %.100q, %v", good, errs)
		}
		matches(t, errs[0], store.ErrInvalid)
		if !strings.Contains(errs[0].Error(), path+":2: ") || !strings.Contains(errs[0].Error(), "MaxEntrySize") {
			t.Fatalf("%q does not say where and what to do", errs[0])
		}
		if n, err := s.EntryCount(ctx, sessionA, segment1); err != nil || n != 3 {
			t.Fatalf("EntryCount is %d, %v", n, err)
		}
	}
	wider := open(t, root, nil)
	if good, errs := readAll(wider.ReadAll(ctx, sessionA, segment1)); len(good) != 3 || len(errs) != 0 {
		t.Fatalf("a wider store read %d entries, %v", len(good), errs)
	}
}
