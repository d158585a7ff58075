package jsonlstore_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/jsonlstore"
)

// below lists the names in a directory.
func below(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	noError(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// A session whose directory holds anything that is no log keeps all it has, and
// the error names that thing.
func TestDeletesLogsOnly(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside.jsonl")
	lay(t, outside, "{\"n\":1}\n")
	for name, place := range map[string]func(dir string) error{
		"notes.txt":                        func(dir string) error { return os.WriteFile(dir+"/notes.txt", []byte("mine"), 0o600) },
		"attachments":                      func(dir string) error { return os.Mkdir(dir+"/attachments", 0o700) },
		segment2.String() + ".jsonl":       func(dir string) error { return os.Symlink(outside, dir+"/"+segment2.String()+".jsonl") },
		segment2.String() + ".jsonl.bak":   func(dir string) error { return os.WriteFile(dir+"/"+segment2.String()+".jsonl.bak", nil, 0o600) },
		"." + segment2.String() + ".x.tmp": func(dir string) error { return os.WriteFile(dir+"/."+segment2.String()+".x.tmp", nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			dir := filepath.Join(root, sessionA.String())
			lay(t, logPath(root, sessionA, segment1), "{\"n\":1}\n")
			noError(t, place(dir))
			s := open(t, root, nil)
			err := s.DeleteSession(t.Context(), sessionA)
			matches(t, err, store.ErrInvalid)
			if !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), dir) {
				t.Errorf("%v does not name %q in %s", err, name, dir)
			}
			holds(t, s, sessionA, segment1, `{"n":1}`)
			noError(t, os.Remove(filepath.Join(dir, name)))
			noError(t, s.DeleteSession(t.Context(), sessionA))
			if left := below(t, root); len(left) > 0 {
				t.Errorf("left are %q", left)
			}
			contentIs(t, outside, "{\"n\":1}\n")
		})
	}
}

// The remains of a replacement that was interrupted go with the session; damage
// keeps nothing from being deleted.
func TestDeletesWhatCrashesLeave(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, sessionA.String())
	lay(t, logPath(root, sessionA, segment1), "no JSON\n{\"torn")
	lay(t, filepath.Join(dir, segment1.String()+".trace.jsonl"), "\x00\x00")
	lay(t, filepath.Join(dir, "."+segment1.String()+".jsonl.tmp"), "{}\n")
	lay(t, filepath.Join(dir, "."+segment1.String()+".trace.jsonl.tmp"), "{}\n")
	noError(t, os.Mkdir(filepath.Join(root, sessionB.String()), 0o700)) // a session that is empty
	s := open(t, root, nil)
	for _, id := range []store.SessionID{sessionA, sessionB} {
		noError(t, s.DeleteSession(t.Context(), id))
	}
	if left := below(t, root); len(left) > 0 {
		t.Errorf("left are %q", left)
	}
}

// What an interrupted deletion left is no session, is in nobody's way, and goes
// with the next one.
func TestDeletionThatWasInterrupted(t *testing.T) {
	root := t.TempDir()
	left := func(id store.SessionID) string { return filepath.Join(root, "."+id.String()+".deleted") }
	remains := func() {
		lay(t, filepath.Join(left(sessionA), segment1.String()+".jsonl"), "{\"old\":1}\n")
		lay(t, filepath.Join(left(sessionB), segment2.String()+".jsonl"), "{\"old\":1}\n")
	}
	remains()
	s := open(t, root, nil)
	ctx := t.Context()
	if got, err := s.ListSessions(ctx); err != nil || len(got) > 0 {
		t.Fatalf("sessions are %v, %v", got, err)
	}
	_, err := s.SessionOf(ctx, segment1)
	matches(t, err, store.ErrNotFound)
	noError(t, s.Append(ctx, sessionA, segment1, raw(`{"n":1}`)))
	holds(t, s, sessionA, segment1, `{"n":1}`)
	noError(t, s.DeleteSession(ctx, sessionA))
	if names := below(t, root); len(names) > 0 {
		t.Fatalf("left are %q", names)
	}
	// A Store that has looked for such remains still gets them out of its own way.
	remains()
	noError(t, s.Append(ctx, sessionA, segment1, raw(`{"n":1}`)))
	noError(t, s.DeleteSession(ctx, sessionA))
	if names := below(t, root); !slices.Equal(names, []string{filepath.Base(left(sessionB))}) {
		t.Fatalf("left are %q", names)
	}
	// One that was deleted already is looked for too.
	noError(t, open(t, root, nil).DeleteSession(ctx, sessionA))
	if names := below(t, root); len(names) > 0 {
		t.Fatalf("left are %q", names)
	}
}

// Remains that somebody has put something into are named, and kept.
func TestDeletionThatCannotFinish(t *testing.T) {
	root := t.TempDir()
	left := filepath.Join(root, "."+sessionB.String()+".deleted")
	lay(t, filepath.Join(left, "mine.txt"), "mine")
	lay(t, filepath.Join(left, segment1.String()+".jsonl"), "{}\n")
	s := open(t, root, nil)
	noError(t, s.Append(t.Context(), sessionA, segment1, raw(`{}`)))
	for range 2 {
		err := s.DeleteSession(t.Context(), sessionA)
		if err == nil || !strings.Contains(err.Error(), filepath.Base(left)) {
			t.Errorf("the error is %v", err)
		}
	}
	if names := below(t, root); !slices.Equal(names, []string{filepath.Base(left)}) {
		t.Errorf("left are %q", names)
	}
	contentIs(t, filepath.Join(left, "mine.txt"), "mine")
}

func TestDeleteRefusesLinksAndReadOnly(t *testing.T) {
	elsewhere := t.TempDir()
	lay(t, filepath.Join(elsewhere, segment1.String()+".jsonl"), "{}\n")
	root := t.TempDir()
	lay(t, logPath(root, sessionB, segment2), "{}\n")
	noError(t, os.Symlink(elsewhere, filepath.Join(root, sessionA.String())))
	s := open(t, root, nil)
	matches(t, s.DeleteSession(t.Context(), sessionA), store.ErrInvalid)
	_, err := s.SessionModified(t.Context(), sessionA)
	matches(t, err, store.ErrInvalid)
	contentIs(t, filepath.Join(elsewhere, segment1.String()+".jsonl"), "{}\n")
	readOnly := open(t, root, &jsonlstore.Options{ReadOnly: true})
	matches(t, readOnly.DeleteSession(t.Context(), sessionB), store.ErrReadOnly)
	holds(t, readOnly, sessionB, segment2, `{}`)

	noError(t, os.RemoveAll(root))
	noError(t, s.DeleteSession(t.Context(), sessionB))
	if _, err := os.Stat(root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a deletion made the root: %v", err)
	}
	_, err = s.SessionModified(context.Background(), sessionB)
	matches(t, err, store.ErrNotFound)
}

// The time of a session is that of its files: what is beside them does not count.
// Only where there are none it is the directory's.
func TestSessionModifiedByItsFiles(t *testing.T) {
	root := t.TempDir()
	s := open(t, root, nil)
	dir := filepath.Join(root, sessionA.String())
	trace := filepath.Join(dir, segment1.String()+".trace.jsonl")
	at := func(year int) time.Time { return time.Date(year, 1, 2, 3, 4, 5, 6000, time.UTC) }
	is := func(year int) {
		t.Helper()
		if got, err := s.SessionModified(t.Context(), sessionA); err != nil || !got.Equal(at(year)) {
			t.Errorf("it was changed at %v, %v, want %v", got, err, at(year))
		}
	}
	set := func(path string, year int) {
		t.Helper()
		noError(t, os.Chtimes(path, at(year), at(year)))
	}
	noError(t, os.Mkdir(dir, 0o700))
	lay(t, dir+"/notes.txt", "")
	set(dir+"/notes.txt", 2030)
	set(dir, 2020)
	is(2020)
	lay(t, logPath(root, sessionA, segment1), "{}\n")
	lay(t, trace, "{}\n")
	set(trace, 2001)
	set(logPath(root, sessionA, segment1), 2002)
	is(2002)
	set(trace, 2003)
	is(2003)
}
