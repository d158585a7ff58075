package jsonlstore_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"podstore/store"
	"podstore/store/jsonlstore"
)

// foreignLock is a lock on a file or directory such as another process holds:
// it belongs to the open file, not to the process.
func foreignLock(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	noError(t, err)
	t.Cleanup(func() { f.Close() })
	noError(t, unix.Flock(int(f.Fd()), unix.LOCK_EX))
	return f
}

// waitUntilOpen returns when this process has the file open n times.
func waitUntilOpen(t *testing.T, path string, n int) {
	t.Helper()
	want, err := os.Stat(path)
	noError(t, err)
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
		fds, err := os.ReadDir("/proc/self/fd")
		noError(t, err)
		open := 0
		for _, fd := range fds {
			if info, err := os.Stat("/proc/self/fd/" + fd.Name()); err == nil && os.SameFile(info, want) {
				open++
			}
		}
		if open >= n {
			return
		}
	}
	t.Fatalf("%s was not opened %d times", path, n)
}

// operations are all that wait for a segment's lock.
func operations(s *jsonlstore.Store, ctx context.Context) map[string]func() error {
	return map[string]func() error{
		"Append":        func() error { return s.Append(ctx, sessionA, segment1, raw(`{"n":2}`)) },
		"CreateSegment": func() error { return s.CreateSegment(ctx, sessionA, segment1, raws(`{"n":2}`)) },
		"Truncate":      func() error { return s.Truncate(ctx, sessionA, segment1, 0) },
		"EntryCount":    func() error { _, err := s.EntryCount(ctx, sessionA, segment1); return err },
		"ReadAll": func() error {
			for _, err := range s.ReadAll(ctx, sessionA, segment1) {
				return err
			}
			return nil
		},
	}
}

// The end of the context ends the wait, and nothing is changed.
func TestWaitForLockEndsWithContext(t *testing.T) {
	for name := range operations(nil, nil) {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			path := logPath(root, sessionA, segment1)
			lay(t, path, "{\"n\":1}\n{\"tail")
			s := open(t, root, nil)
			lock := foreignLock(t, path)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			result := make(chan error, 1)
			go func() { result <- operations(s, ctx)[name]() }()
			waitUntilOpen(t, path, 2)
			// A second one waits for the first, within the process.
			second := make(chan error, 1)
			go func() { second <- operations(s, ctx)["Append"]() }()
			cancel()
			matches(t, <-result, context.Canceled)
			matches(t, <-second, context.Canceled)
			contentIs(t, path, "{\"n\":1}\n{\"tail")
			noError(t, lock.Close())
			noError(t, operations(s, t.Context())[name]())
		})
	}
}

// What waited for a lock goes on when it is free.
func TestWaitForLock(t *testing.T) {
	for name := range operations(nil, nil) {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			path := logPath(root, sessionA, segment1)
			lay(t, path, "{\"n\":1}\n")
			s := open(t, root, nil)
			lock := foreignLock(t, path)
			result := make(chan error, 1)
			go func() { result <- operations(s, t.Context())[name]() }()
			waitUntilOpen(t, path, 2)
			noError(t, lock.Close())
			noError(t, <-result)
		})
	}
}

// An operation that waited for a file that was then replaced works on the file
// that took its place.
func TestFileReplacedWhileWaiting(t *testing.T) {
	root := t.TempDir()
	path := logPath(root, sessionA, segment1)
	lay(t, path, "{\"n\":1}\n")
	s := open(t, root, nil)
	lock := foreignLock(t, path)
	result := make(chan error, 1)
	go func() { result <- s.Append(t.Context(), sessionA, segment1, raw(`{"n":2}`)) }()
	waitUntilOpen(t, path, 2)
	lay(t, path+".new", "{\"new\":1}\n")
	noError(t, os.Rename(path+".new", path))
	noError(t, lock.Close())
	noError(t, <-result)
	holds(t, s, sessionA, segment1, `{"new":1}`, `{"n":2}`)
}

// An operation that waited for a file that was then removed makes a new one.
func TestFileRemovedWhileWaiting(t *testing.T) {
	root := t.TempDir()
	path := logPath(root, sessionA, segment1)
	lay(t, path, "{\"n\":1}\n")
	s := open(t, root, nil)
	lock := foreignLock(t, path)
	result := make(chan error, 1)
	go func() { result <- s.Append(t.Context(), sessionA, segment1, raw(`{"n":2}`)) }()
	waitUntilOpen(t, path, 2)
	noError(t, os.Remove(path))
	noError(t, lock.Close())
	noError(t, <-result)
	holds(t, s, sessionA, segment1, `{"n":2}`)
}

// Files are created and replaced, and sessions deleted, under the lock of the session's directory.
func TestCreationWaitsForDirectoryLock(t *testing.T) {
	for name, create := range map[string]func(*jsonlstore.Store, context.Context) error{
		"Append": func(s *jsonlstore.Store, ctx context.Context) error {
			return s.Append(ctx, sessionA, segment1, raw(`{"n":2}`))
		},
		"CreateSegment": func(s *jsonlstore.Store, ctx context.Context) error {
			return s.CreateSegment(ctx, sessionA, segment1, raws(`{"n":2}`))
		},
		"DeleteSession": func(s *jsonlstore.Store, ctx context.Context) error { return s.DeleteSession(ctx, sessionA) },
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			dir := filepath.Join(root, sessionA.String())
			noError(t, os.Mkdir(dir, 0o700))
			s := open(t, root, nil)
			lock := foreignLock(t, dir)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			result := make(chan error, 1)
			go func() { result <- create(s, ctx) }()
			waitUntilOpen(t, dir, 2)
			// Another segment's creator waits within the process.
			second := make(chan error, 1)
			go func() { second <- s.Append(ctx, sessionA, segment2, raw(`{}`)) }()
			cancel()
			matches(t, <-result, context.Canceled)
			matches(t, <-second, context.Canceled)
			if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
				t.Fatalf("there are files: %v, %v", files, err)
			}
			noError(t, lock.Close())
			noError(t, create(s, t.Context()))
			if name != "DeleteSession" {
				holds(t, s, sessionA, segment1, `{"n":2}`)
			} else if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the session is there: %v", err)
			}
		})
	}
}

// Who waited for a session that was then deleted makes it anew, in the directory
// that is there afterwards.
func TestSessionDeletedWhileWaiting(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, sessionA.String())
	lay(t, logPath(root, sessionA, segment2), "{}\n")
	s := open(t, root, nil)
	lock := foreignLock(t, dir)
	result := make(chan error, 1)
	go func() { result <- s.Append(t.Context(), sessionA, segment1, raw(`{"n":2}`)) }()
	waitUntilOpen(t, dir, 2)
	noError(t, os.Rename(dir, filepath.Join(root, "."+sessionA.String()+".deleted")))
	noError(t, lock.Close())
	noError(t, <-result)
	holds(t, s, sessionA, segment1, `{"n":2}`)
	if there, err := s.Exists(t.Context(), sessionA, segment2); err != nil || there {
		t.Errorf("the deleted segment exists: %v, %v", there, err)
	}
}

// An operation does not go on looking for a file in a session that was renamed,
// and not removed because the process was killed.
func TestSessionOnlyRenamedWhileWaiting(t *testing.T) {
	root := t.TempDir()
	path := logPath(root, sessionA, segment1)
	lay(t, path, "{\"n\":1}\n")
	s := open(t, root, nil)
	lock := foreignLock(t, path)
	append1, count := make(chan error, 1), make(chan error, 1)
	go func() { append1 <- s.Append(t.Context(), sessionA, segment1, raw(`{"n":2}`)) }()
	waitUntilOpen(t, path, 2)
	other := open(t, root, nil)
	go func() { _, err := other.EntryCount(t.Context(), sessionA, segment1); count <- err }()
	waitUntilOpen(t, path, 3)
	noError(t, os.Rename(filepath.Dir(path), filepath.Join(root, "."+sessionA.String()+".deleted")))
	noError(t, lock.Close())
	noError(t, <-append1)
	if err := <-count; err != nil {
		matches(t, err, store.ErrNotFound)
	}
	holds(t, s, sessionA, segment1, `{"n":2}`)
}

// Two Stores of one process are to each other as two processes are.
func TestTwoStoresOnOneRoot(t *testing.T) {
	root := t.TempDir()
	opts := &jsonlstore.Options{Sync: jsonlstore.SyncNever}
	stores := []*jsonlstore.Store{open(t, root, opts), open(t, root, opts)}
	const writers, each = 4, 100
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := stores[w%2].Append(t.Context(), sessionA, segment1, raw(fmt.Sprintf(`{"w":%d,"i":%d}`, w, i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, errs := readAll(stores[0].ReadAll(t.Context(), sessionA, segment1))
	if len(errs) > 0 || len(got) != writers*each {
		t.Fatalf("%d entries, %v", len(got), errs)
	}
	for w := range writers {
		i := 0
		for _, e := range got {
			if strings.HasPrefix(e, fmt.Sprintf(`{"w":%d,`, w)) {
				if want := fmt.Sprintf(`{"w":%d,"i":%d}`, w, i); e != want {
					t.Fatalf("got %s, want %s", e, want)
				}
				i++
			}
		}
	}
}

// openFiles lists the files below root that this process has open.
func openFiles(t *testing.T, root string) (paths []string) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	noError(t, err)
	for _, fd := range fds {
		if path, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(path, root) {
			paths = append(paths, path)
		}
	}
	return paths
}

// The files appended to last stay open, nothing else does, and Close closes
// them; the Store can be used afterwards.
func TestFilesThatStayOpen(t *testing.T) {
	root := t.TempDir()
	s := open(t, root, &jsonlstore.Options{Sync: jsonlstore.SyncNever})
	ctx := t.Context()
	for range 3 {
		for range 20 {
			noError(t, s.CreateSegment(ctx, sessionA, segment1, raws(`{"n":1}`, `{"n":2}`)))
			noError(t, s.Append(ctx, sessionA, segment1, raw(`{"n":3}`)))
			noError(t, s.Append(ctx, sessionA, segment2, raw(`{}`)))
			noError(t, s.AppendTrace(ctx, sessionA, segment2, raw(`{}`)))
			noError(t, s.Truncate(ctx, sessionA, segment1, 1))
			holds(t, s, sessionA, segment1, `{"n":1}`)
			for range s.ReadAll(ctx, sessionA, segment1) {
				break
			}
			matches(t, s.Truncate(ctx, sessionA, segment3, 1), store.ErrNotFound)
			_, err := s.EntryCount(ctx, sessionB, segment3)
			matches(t, err, store.ErrNotFound)
			_, err = s.ListSessions(ctx)
			noError(t, err)
			_, err = s.ListSegments(ctx, sessionA)
			noError(t, err)
			_, err = s.SessionOf(ctx, segment1)
			noError(t, err)
			_, err = s.Exists(ctx, sessionA, segment1)
			noError(t, err)
			for range s.Follow(ctx, sessionA, segment1, 0) {
				break
			}
			_, err = s.SessionModified(ctx, sessionA)
			noError(t, err)
			noError(t, s.Append(ctx, sessionB, segment3, raw(`{}`)))
			noError(t, s.Append(ctx, sessionB, segment3, raw(`{}`)))
			noError(t, s.DeleteSession(ctx, sessionB))
			noError(t, s.DeleteSession(ctx, sessionB))
		}
		if got := openFiles(t, root); len(got) != 2 {
			t.Errorf("open are %q, want the log and the traces of %s", got, segment2)
		}
		noError(t, s.Close())
		if got := openFiles(t, root); len(got) != 0 {
			t.Errorf("after Close open are %q", got)
		}
	}

	// However many segments there are, a bounded number stays open, and an append
	// finds its file again.
	for round := range 3 {
		for i := range 100 {
			noError(t, s.Append(ctx, sessionB, store.SegmentID{byte(i)}, raw(fmt.Sprintf(`{"n":%d}`, round))))
		}
	}
	if got := openFiles(t, root); len(got) != 64 {
		t.Errorf("%d files are open", len(got))
	}
	for i := range 100 {
		holds(t, s, sessionB, store.SegmentID{byte(i)}, `{"n":0}`, `{"n":1}`, `{"n":2}`)
	}
	noError(t, s.Close())
}

// A file that was kept open and has been replaced or removed meanwhile is not
// written to.
func TestKeptFileReplaced(t *testing.T) {
	root := t.TempDir()
	s := open(t, root, nil)
	path := logPath(root, sessionA, segment1)
	for range 2 { // the first append makes the file, the second opens it
		noError(t, s.Append(t.Context(), sessionA, segment1, raw(`{"n":1}`)))
	}
	lay(t, path+".new", "{\"new\":1}\n")
	noError(t, os.Rename(path+".new", path))
	noError(t, s.Append(t.Context(), sessionA, segment1, raw(`{"n":2}`)))
	holds(t, s, sessionA, segment1, `{"new":1}`, `{"n":2}`)
	noError(t, os.RemoveAll(root))
	noError(t, s.Append(t.Context(), sessionA, segment1, raw(`{"n":3}`)))
	holds(t, s, sessionA, segment1, `{"n":3}`)
	if got := openFiles(t, root); len(got) != 0 {
		t.Errorf("open are %q", got)
	}
}
