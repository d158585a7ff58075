package jsonlstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/jsonlstore"
)

type item struct {
	entry json.RawMessage
	err   error
}

// follow runs a loop in a goroutine of its own.
func follow(t *testing.T, s *jsonlstore.Store, n int) (next func() item, cancel func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	items := make(chan item)
	go func() {
		defer close(items)
		for entry, err := range s.Follow(ctx, sessionA, segment1, n) {
			items <- item{entry, err}
		}
	}()
	t.Cleanup(func() {
		cancel()
		for range items {
		}
	})
	return func() item {
		t.Helper()
		select {
		case got, more := <-items:
			if !more {
				t.Fatal("the loop has ended")
			}
			return got
		case <-time.After(30 * time.Second):
			t.Fatal("nothing came for 30 s")
			panic("unreachable")
		}
	}, cancel
}

// appendRaw writes to a file as another program does.
func appendRaw(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	noError(t, err)
	_, err = f.WriteString(text)
	noError(t, errors.Join(err, f.Close()))
}

// A line comes when its newline is there, and damage is named by its line also
// where the reading began in the middle.
func TestFollowsLines(t *testing.T) {
	root := t.TempDir()
	path := logPath(root, sessionA, segment1)
	lay(t, path, "{\"n\":1}\n\nbad\n{\"n\":2")
	s := open(t, root, nil)
	next, _ := follow(t, s, 1)
	expect := func(want string, line int) {
		t.Helper()
		got := next()
		if line == 0 {
			if got.err != nil || string(got.entry) != want {
				t.Fatalf("got %q, %v, want %q", got.entry, got.err, want)
			}
			return
		}
		matches(t, got.err, store.ErrCorrupt)
		if where := fmt.Sprintf("%s:%d:1: ", path, line); !strings.Contains(got.err.Error(), where) {
			t.Fatalf("%v does not say %q", got.err, where)
		}
	}
	expect("", 3)
	appendRaw(t, path, "}")
	appendRaw(t, path, "\n{\"n\":3}\n")
	expect(`{"n":2}`, 0)
	expect(`{"n":3}`, 0)
	appendRaw(t, path, "  \n\nworse\n")
	expect("", 8)
	// What does not count is removed by the next append, and was never shown.
	appendRaw(t, path, `{"torn":`+strings.Repeat("1", 1<<17))
	noError(t, s.Append(t.Context(), sessionA, segment1, raw(`{"n":4}`)))
	expect(`{"n":4}`, 0)
	appendRaw(t, path, "{\"pad\":\""+strings.Repeat("x", 1<<17)+"\"}\n{\"n\":5}\n")
	if got := next(); len(got.entry) != 1<<17+10 {
		t.Fatalf("the long entry has %d bytes, %v", len(got.entry), got.err)
	}
	expect(`{"n":5}`, 0)
}

// Another process's entries come as one's own do.
func TestFollowsAnotherProcess(t *testing.T) {
	root := t.TempDir()
	s := open(t, root, nil)
	noError(t, s.CreateSegment(t.Context(), sessionA, segment1, nil))
	next, _ := follow(t, s, 0)
	cmd := worker(t, root, "many", "7")
	noError(t, cmd.Start())
	for n := range manyEntries {
		got := next()
		var e struct{ Writer, I int }
		noError(t, got.err)
		noError(t, json.Unmarshal(got.entry, &e))
		if e.Writer != 7 || e.I != n {
			t.Fatalf("entry %d is %+v", n, e)
		}
	}
	noError(t, cmd.Wait())
}

// What becomes of the file is noticed, whoever does it.
func TestFollowEnds(t *testing.T) {
	for name, c := range map[string]struct {
		change func(root string) error
		want   error
	}{
		"cut in place": {func(root string) error { return os.Truncate(logPath(root, sessionA, segment1), 8) }, store.ErrConflict},
		"another in its place": {func(root string) error {
			path := logPath(root, sessionA, segment1)
			if err := os.WriteFile(path+".new", []byte("{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n"), 0o600); err != nil {
				return err
			}
			return os.Rename(path+".new", path)
		}, store.ErrConflict},
		"file removed": {func(root string) error { return os.Remove(logPath(root, sessionA, segment1)) }, store.ErrNotFound},
		"file renamed": {func(root string) error { p := logPath(root, sessionA, segment1); return os.Rename(p, p+".bak") }, store.ErrNotFound},
		"session renamed": {func(root string) error {
			return os.Rename(filepath.Join(root, sessionA.String()), filepath.Join(root, "x"))
		}, store.ErrNotFound},
		"another Store deletes": {func(root string) error {
			s, err := jsonlstore.Open(root, nil)
			return errors.Join(err, s.DeleteSession(context.Background(), sessionA))
		}, store.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			lay(t, logPath(root, sessionA, segment1), "{\"n\":1}\n{\"n\":2}\n")
			next, _ := follow(t, open(t, root, nil), 1)
			if got := next(); string(got.entry) != `{"n":2}` {
				t.Fatalf("got %q, %v", got.entry, got.err)
			}
			noError(t, c.change(root))
			got := next()
			matches(t, got.err, c.want)
			if !strings.Contains(got.err.Error(), logPath(root, sessionA, segment1)) {
				t.Errorf("%v does not name the file", got.err)
			}
		})
	}
}

// The end of the context ends a follower that waits for a lock that another
// process holds, and what cannot be waited for costs nobody else anything.
func TestFollowEndsWhileItWaitsForALock(t *testing.T) {
	root := t.TempDir()
	path := logPath(root, sessionA, segment1)
	lay(t, path, "{\"n\":1}\n")
	s := open(t, root, nil)
	next, cancel := follow(t, s, 0)
	if got := next(); got.err != nil {
		t.Fatal(got.err)
	}
	lock := foreignLock(t, path)
	appendRaw(t, path, "{\"n\":2}\n")
	runtime.Gosched()
	cancel()
	matches(t, next().err, context.Canceled)
	noError(t, lock.Close())
}

// descriptors counts what this process has open.
func descriptors(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	noError(t, err)
	return len(fds)
}

// settled waits until there are no more goroutines and descriptors than before.
func settled(t *testing.T, goroutines, fds int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; runtime.Gosched() {
		g, d := runtime.NumGoroutine(), descriptors(t)
		if g <= goroutines && d <= fds {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines and %d descriptors, before it were %d and %d", g, d, goroutines, fds)
		}
	}
}

// Loops that end leave nothing, whichever way they end. While some go on they
// share one inotify instance, of which the system allows few.
func TestFollowLeavesNothing(t *testing.T) {
	root := t.TempDir()
	s := open(t, root, &jsonlstore.Options{Sync: jsonlstore.SyncNever})
	noError(t, s.CreateSegment(t.Context(), sessionA, segment1, raws(`{"n":1}`)))
	for range s.Follow(t.Context(), sessionA, segment1, 0) { // the runtime keeps descriptors of its own from then on
		break
	}
	goroutines, fds := runtime.NumGoroutine(), descriptors(t)
	for i := range 1000 {
		ctx, cancel := context.WithCancel(t.Context())
		if i%3 > 0 { // it waits, or is about to begin
			go cancel()
		}
		for range s.Follow(ctx, sessionA, segment1, i%3) {
			break
		}
		cancel()
		for range s.Follow(ctx, sessionA, segment1, 0) { // ended before it begins
		}
	}
	settled(t, goroutines, fds)

	t.Run("many", func(t *testing.T) {
		const loops = 200 // more than a user may have instances
		var nexts []func() item
		for range loops {
			next, _ := follow(t, s, 0)
			nexts = append(nexts, next)
		}
		for _, next := range nexts {
			if got := next(); got.err != nil {
				t.Fatal(got.err)
			}
		}
		instances := 0
		entries, err := os.ReadDir("/proc/self/fd")
		noError(t, err)
		for _, e := range entries {
			if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.Contains(to, "inotify") {
				instances++
			}
		}
		if instances != 1 {
			t.Errorf("there are %d inotify instances", instances)
		}
		noError(t, s.Append(t.Context(), sessionA, segment1, raw(`{"n":2}`)))
		for _, next := range nexts {
			if got := next(); string(got.entry) != `{"n":2}` {
				t.Fatalf("got %q, %v", got.entry, got.err)
			}
		}
	})
	noError(t, s.Close())
	settled(t, goroutines, fds)
}

// A follower that waits makes no system call.
func TestFollowSleeps(t *testing.T) {
	t.Parallel() // it waits
	root := t.TempDir()
	lay(t, logPath(root, sessionA, segment1), "{}\n")
	log := t.TempDir() + "/strace"
	cmd := worker(t, root, "follow", "", "-o", log, "-e", "trace=read,pread64,fstat,newfstatat,flock,openat")
	stdin, err := cmd.StdinPipe()
	noError(t, err)
	stdout, err := cmd.StdoutPipe()
	noError(t, err)
	noError(t, cmd.Start())
	buf := make([]byte, 3)
	_, err = io.ReadFull(stdout, buf) // it has yielded what is there
	noError(t, err)
	size := func() int64 {
		info, err := os.Stat(log)
		noError(t, err)
		return info.Size()
	}
	// Whatever it does after it has yielded is done within a second; then nothing.
	time.Sleep(time.Second)
	before := size()
	time.Sleep(2 * time.Second)
	if after := size(); after != before {
		trace, err := os.ReadFile(log)
		noError(t, err)
		t.Errorf("it made calls while it waited:\n%s", trace[before:])
	}
	noError(t, stdin.Close())
	noError(t, cmd.Wait())
}
