//go:build unix

package jsonlstore_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"podstore/store"
	"podstore/store/jsonlstore"
)

// Lists hold what can be opened by its ID, and nothing else.
func TestIgnoresForeignFiles(t *testing.T) {
	root := t.TempDir()
	s := open(t, root, nil)
	ctx := t.Context()
	session := filepath.Join(root, sessionA.String())
	lay(t, logPath(root, sessionA, segment1), "{}\n")
	lay(t, filepath.Join(root, sessionB.String()), "a file, not a session")
	for _, name := range []string{
		"notes.txt", "0193d2a0.jsonl", strings.ToUpper(segment2.String()) + ".jsonl", "{" + segment2.String() + "}.jsonl",
		segment2.String(), segment2.String() + ".json", segment2.String() + ".jsonl.bak", segment2.String() + ".trace.jsonl",
		"." + segment2.String() + ".jsonl.tmp", strings.ReplaceAll(segment2.String(), "-", "") + ".jsonl", segment2.String() + ".trace.trace.jsonl",
	} {
		lay(t, filepath.Join(session, name), "{}\n")
	}
	for _, name := range []string{"pods", strings.ToUpper(sessionB.String()), "urn:uuid:" + sessionB.String(), ".git", segment2.String() + ".jsonl"} {
		noError(t, os.Mkdir(filepath.Join(root, name), 0o755))
	}
	noError(t, os.Mkdir(filepath.Join(session, segment3.String()+".jsonl"), 0o755))

	if got, err := s.ListSessions(ctx); err != nil || !slices.Equal(got, []store.SessionID{sessionA}) {
		t.Fatalf("sessions are %v, %v", got, err)
	}
	if got, err := s.ListSegments(ctx, sessionA); err != nil || !slices.Equal(got, []store.SegmentID{segment1}) {
		t.Fatalf("segments are %v, %v", got, err)
	}
	for _, segment := range []store.SegmentID{segment2, segment3} {
		_, err := s.SessionOf(ctx, segment)
		matches(t, err, store.ErrNotFound)
		if there, err := s.Exists(ctx, sessionA, segment); err != nil || there {
			t.Fatalf("Exists is %v, %v", there, err)
		}
	}
	if got, err := s.SessionOf(ctx, segment1); err != nil || got != sessionA {
		t.Fatalf("SessionOf is %v, %v", got, err)
	}
	// A stale temporary file is in nobody's way.
	noError(t, s.CreateSegment(ctx, sessionA, segment2, raws(`{"n":1}`)))
	holds(t, s, sessionA, segment2, `{"n":1}`)
	if _, err := os.Lstat(filepath.Join(session, "."+segment2.String()+".jsonl.tmp")); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the temporary file: %v", err)
	}
}

// Nothing below the root is followed or waited for: every operation on a link,
// a FIFO or a directory says so and changes nothing.
func TestRefusesLinksAndSpecialFiles(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside.jsonl")
	lay(t, outside, "{\"secret\":1}\n")
	for name, place := range map[string]func(path string) error{
		"link":          func(path string) error { return os.Symlink(outside, path) },
		"dangling link": func(path string) error { return os.Symlink(outside+".new", path) },
		"fifo":          func(path string) error { return unix.Mkfifo(path, 0o600) },
		"directory":     func(path string) error { return os.Mkdir(path, 0o700) },
		"socket":        func(path string) error { return unix.Mknod(path, unix.S_IFSOCK|0o600, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			s := open(t, root, nil)
			ctx := t.Context()
			noError(t, os.Mkdir(filepath.Join(root, sessionA.String()), 0o700))
			noError(t, place(logPath(root, sessionA, segment1)))
			noError(t, place(filepath.Join(root, sessionA.String(), segment1.String()+".trace.jsonl")))
			_, errs := readAll(s.ReadAll(ctx, sessionA, segment1))
			matches(t, errors.Join(errs...), store.ErrInvalid)
			_, err := s.EntryCount(ctx, sessionA, segment1)
			matches(t, err, store.ErrInvalid)
			matches(t, s.Append(ctx, sessionA, segment1, raw(`{}`)), store.ErrInvalid)
			matches(t, s.AppendTrace(ctx, sessionA, segment1, raw(`{}`)), store.ErrInvalid)
			matches(t, s.CreateSegment(ctx, sessionA, segment1, nil), store.ErrInvalid)
			matches(t, s.Truncate(ctx, sessionA, segment1, 0), store.ErrInvalid)
			if there, err := s.Exists(ctx, sessionA, segment1); err != nil || there {
				t.Fatalf("Exists is %v, %v", there, err)
			}
			contentIs(t, outside, "{\"secret\":1}\n")
			if _, err := os.Lstat(outside + ".new"); !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("a file was made through the link: %v", err)
			}
		})
	}
}

func TestRefusesSessionsThatAreLinks(t *testing.T) {
	elsewhere := t.TempDir()
	lay(t, filepath.Join(elsewhere, segment1.String()+".jsonl"), "{\"secret\":1}\n")
	for name, target := range map[string]string{"link": elsewhere, "dangling link": elsewhere + "/new"} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			s := open(t, root, nil)
			ctx := t.Context()
			noError(t, os.Symlink(target, filepath.Join(root, sessionA.String())))
			_, errs := readAll(s.ReadAll(ctx, sessionA, segment1))
			matches(t, errors.Join(errs...), store.ErrInvalid)
			matches(t, s.Append(ctx, sessionA, segment1, raw(`{}`)), store.ErrInvalid)
			matches(t, s.CreateSegment(ctx, sessionA, segment1, nil), store.ErrInvalid)
			matches(t, s.Truncate(ctx, sessionA, segment1, 0), store.ErrInvalid)
			_, err := s.ListSegments(ctx, sessionA)
			matches(t, err, store.ErrInvalid)
			_, err = s.Exists(ctx, sessionA, segment1)
			matches(t, err, store.ErrInvalid)
			_, err = s.SessionOf(ctx, segment1)
			matches(t, err, store.ErrNotFound)
			if got, err := s.ListSessions(ctx); err != nil || len(got) != 0 {
				t.Fatalf("sessions are %v, %v", got, err)
			}
			contentIs(t, filepath.Join(elsewhere, segment1.String()+".jsonl"), "{\"secret\":1}\n")
		})
	}
}

// Modes are the same whatever the umask, and what root makes belongs to whom the
// directory belongs to.
func TestModes(t *testing.T) {
	for _, umask := range []int{0, 0o377} {
		modes(t, umask)
	}
}

func modes(t *testing.T, umask int) {
	above := t.TempDir()
	owner := os.Getuid()
	if owner == 0 {
		owner = 4711
		noError(t, os.Chown(above, owner, owner))
	}
	root := filepath.Join(above, "a", "b")
	defer unix.Umask(unix.Umask(umask))
	s := open(t, root, nil)
	noError(t, s.Append(t.Context(), sessionA, segment1, raw(`{}`)))
	noError(t, s.AppendTrace(t.Context(), sessionA, segment1, raw(`{}`)))
	noError(t, s.CreateSegment(t.Context(), sessionB, segment2, raws(`{}`, `{}`)))
	noError(t, s.Truncate(t.Context(), sessionB, segment2, 1))
	n := 0
	noError(t, filepath.WalkDir(filepath.Dir(root), func(path string, d fs.DirEntry, err error) error {
		noError(t, err)
		info, err := d.Info()
		noError(t, err)
		if want := map[bool]fs.FileMode{true: fs.ModeDir | 0o700, false: 0o600}[d.IsDir()]; info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
		if st := info.Sys().(*syscall.Stat_t); int(st.Uid) != owner {
			t.Errorf("%s belongs to %d, want %d", path, st.Uid, owner)
		}
		n++
		return nil
	}))
	if n != 7 {
		t.Fatalf("%d files and directories, want 7", n)
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	lay(t, file, "")
	link := filepath.Join(dir, "link")
	noError(t, os.Symlink(filepath.Join(dir, "real"), link))
	noError(t, os.Mkdir(filepath.Join(dir, "real"), 0o700))
	for _, c := range []struct {
		root string
		opts *jsonlstore.Options
		want error
	}{
		{"", nil, store.ErrInvalid},
		{file, nil, store.ErrInvalid},
		{filepath.Join(file, "below"), nil, unix.ENOTDIR},
		{dir, &jsonlstore.Options{MaxEntrySize: -1}, store.ErrInvalid},
		{dir, &jsonlstore.Options{Sync: 7}, store.ErrInvalid},
		{filepath.Join(dir, "none"), &jsonlstore.Options{ReadOnly: true}, store.ErrNotFound},
	} {
		_, err := jsonlstore.Open(c.root, c.opts)
		matches(t, err, c.want)
		var e *store.Error
		if !errors.As(err, &e) || e.Path != c.root {
			t.Errorf("%v does not name %q", err, c.root)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("opening for reading made the root: %v", err)
	}
	s := open(t, link, nil) // the root itself may be a link
	noError(t, s.Append(t.Context(), sessionA, segment1, raw(`{}`)))
	holds(t, open(t, filepath.Join(dir, "real"), nil), sessionA, segment1, `{}`)

	// A relative root stays where it was.
	t.Chdir(dir)
	s = open(t, "real", nil)
	t.Chdir("/")
	holds(t, s, sessionA, segment1, `{}`)
}

func TestReadOnly(t *testing.T) {
	root := t.TempDir()
	lay(t, logPath(root, sessionA, segment1), "{\"n\":1}\n{\"n\":2}\n{\"tail")
	s := open(t, root, &jsonlstore.Options{ReadOnly: true})
	ctx := t.Context()
	matches(t, s.Append(ctx, sessionA, segment1, raw(`{}`)), store.ErrReadOnly)
	matches(t, s.AppendTrace(ctx, sessionA, segment1, raw(`{}`)), store.ErrReadOnly)
	matches(t, s.CreateSegment(ctx, sessionB, segment2, nil), store.ErrReadOnly)
	matches(t, s.Truncate(ctx, sessionA, segment1, 0), store.ErrReadOnly)
	holds(t, s, sessionA, segment1, `{"n":1}`, `{"n":2}`)
	contentIs(t, logPath(root, sessionA, segment1), "{\"n\":1}\n{\"n\":2}\n{\"tail")
	if got, err := s.ListSessions(ctx); err != nil || !slices.Equal(got, []store.SessionID{sessionA}) {
		t.Fatalf("sessions are %v, %v", got, err)
	}
}

// A root that disappears is made again by the next change; reading says that
// nothing is there.
func TestRootThatDisappears(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	s := open(t, root, nil)
	noError(t, os.Remove(root))
	ctx := t.Context()
	_, err := s.ListSessions(ctx)
	matches(t, err, store.ErrNotFound)
	_, err = s.SessionOf(ctx, segment1)
	matches(t, err, store.ErrNotFound)
	_, err = s.EntryCount(ctx, sessionA, segment1)
	matches(t, err, store.ErrNotFound)
	noError(t, s.Append(ctx, sessionA, segment1, raw(`{"n":1}`)))
	holds(t, s, sessionA, segment1, `{"n":1}`)
}
