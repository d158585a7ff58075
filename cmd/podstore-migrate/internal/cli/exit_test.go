package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"podstore/store"
	"podstore/store/boltstore"
)

// chain makes a database in which each Pod is the only child of the one before.
func chain(t *testing.T, n int) string {
	t.Helper()
	db := filepath.Join(t.TempDir(), "pods.db")
	s, err := boltstore.Open(db, nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("pod-%03d", i))
	}
	_, err = s.UpdatePods(context.Background(), names, func(pods []*store.Metadata) error {
		for i := range pods {
			pods[i] = new(store.Metadata)
			if i+1 < n {
				pods[i].Children = []store.SpawnedChild{{PodName: names[i+1]}}
			}
		}
		return nil
	})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	return db
}

// TestInterrupted runs every command with a context that is over: each ends with
// 130, says how to go on, and leaves nothing behind.
func TestInterrupted(t *testing.T) {
	db, dir := chain(t, 3), t.TempDir()
	tree := filepath.Join(t.TempDir(), "tree")
	migrate(t, exitDone, "export", db, tree)
	before, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, args := range [][]string{
		{"import", db, tree}, {"import", "--dry-run", db, tree}, {"copy", db, filepath.Join(dir, "other.db")}, {"copy", "dir:" + tree, "dir:" + filepath.Join(dir, "other")},
		{"list", "dir:" + tree}, {"show", "dir:" + tree, "pod-000"}, {"export", "dir:" + tree, filepath.Join(dir, "other")}, {"export", db, tree}, {"verify", db, tree},
		{"list", db}, {"show", db, "pod-000"}, {"tree", db}, {"stats", db}, {"check", db},
		{"salvage", db, filepath.Join(dir, "new.db")}, {"snapshot", db, filepath.Join(dir, "copy.db")}, {"compact", db, filepath.Join(dir, "small.db")},
	} {
		var out, errs bytes.Buffer
		if code := newConsole(&out, &errs).execute(ctx, args); code != exitInterrupted {
			t.Errorf("%v: exit code %d\n%s", args, code, &errs)
		}
		if !strings.Contains(errs.String(), "podstore-migrate: interrupted\nhint: ") {
			t.Errorf("%v: it says\n%s", args, &errs)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if after, err := os.ReadFile(db); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the database was changed (%v)", err)
	}
}

// TestInterruptedWhileLocked: an interrupt also ends the wait for a lock.
func TestInterruptedWhileLocked(t *testing.T) {
	db := chain(t, 1)
	s, err := boltstore.Open(db, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if code := newConsole(new(bytes.Buffer), new(bytes.Buffer)).execute(ctx, []string{"list", db}); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
}

// TestDeepTree: nothing of a deep tree is lost, and lines stay short.
func TestDeepTree(t *testing.T) {
	text, _ := migrate(t, exitDone, "tree", chain(t, 400))
	for i := range 400 {
		if name := fmt.Sprintf("pod-%03d", i); !strings.Contains(text, name) {
			t.Errorf("%s is not drawn", name)
		}
	}
	for line := range strings.Lines(text) {
		if len([]rune(line)) > 4*maxDrawnDepth+40 {
			t.Errorf("too long: %q", line)
		}
	}
}

func TestWhichExitCode(t *testing.T) {
	var (
		corrupt = &store.Error{Op: "list", Kind: store.ErrCorrupt}
		missing = &store.Error{Op: "open", Kind: store.ErrNotFound}
		locked  = &store.Error{Op: "open", Kind: store.ErrLocked}
		format  = &store.Error{Op: "open", Kind: store.ErrFormat}
		other   = errors.New("a disk error")
	)
	for _, test := range []struct {
		noted int
		err   error
		want  int
	}{
		{exitDone, nil, 0}, {exitPartial, nil, 3}, {exitDifferent, corrupt, 5}, {exitDone, missing, 10}, {exitDone, locked, 11},
		{exitDone, format, 12}, {exitDamage, format, 5}, {exitDamage, other, 1}, {exitPartial, errors.Join(corrupt, other), 1},
		{exitDone, errors.Join(other, corrupt), 1}, {exitDone, errors.Join(other, fmt.Errorf("stopped: %w", context.Canceled)), 130},
		{exitDone, fmt.Errorf("%w after %w", other, corrupt), 5},
		{exitDone, &usageError{"x", other}, 2}, {exitDone, &store.Error{Kind: store.ErrUnusable, Err: corrupt}, 1},
	} {
		var errs bytes.Buffer
		c := newConsole(new(bytes.Buffer), &errs)
		c.note(test.noted)
		c.finish(test.err)
		if lines := strings.Count(errs.String(), "podstore-migrate: "); test.err != nil && lines != len(flatten(test.err)) {
			t.Errorf("%v: told as\n%s", test.err, &errs)
		}
		if c.code != test.want {
			t.Errorf("%d and %v: exit code %d, want %d", test.noted, test.err, c.code, test.want)
		}
	}
}

// TestNamesAreReversible: a printed name is the name itself or, where it begins
// with a quote, a Go string.
func TestNamesAreReversible(t *testing.T) {
	for _, name := range []string{"a", "a b", `"`, `"a"`, `back\slash`, "it's", "日本語", "\t", "\u202e", "\ufffd", "\xff", "`", "a\u00a0b", ""} {
		text := quoteName(name)
		back := text
		if strings.HasPrefix(text, `"`) {
			if _, err := fmt.Sscanf(text, "%q", &back); err != nil {
				t.Errorf("%q is printed as %s: %v", name, text, err)
			}
		}
		if back != name || strings.ContainsAny(text, "\n\t\r\x1b\u202e") {
			t.Errorf("%q is printed as %s", name, text)
		}
	}
}
