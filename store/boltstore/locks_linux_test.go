package boltstore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/boltstore"
)

// openerEnv makes the test binary a program that opens the database it names. See
// TestOpener.
const openerEnv = "PODSTORE_TEST_OPENER"

// TestOpener is not a test: other processes of the tests below run it. The environment
// tells it the path, what to do, and as which user, one word each.
func TestOpener(t *testing.T) {
	job := strings.Fields(os.Getenv(openerEnv))
	if len(job) == 0 {
		t.Skip("run by other tests")
	}
	path, what := job[0], job[1]
	if len(job) > 2 {
		var uid int
		fmt.Sscan(job[2], &uid)
		if err := errors.Join(syscall.Setgid(uid), syscall.Setuid(uid)); err != nil {
			t.Fatal(err)
		}
	}
	o := &boltstore.Options{ReadOnly: what == "read", LockTimeout: 30 * time.Second}
	if what == "try" {
		o.LockTimeout = 1
	}
	s, err := boltstore.Open(path, o)
	if err != nil {
		fmt.Println("refused", err)
		return
	}
	fmt.Println("open")
	switch what {
	case "hold", "read":
		io.Copy(io.Discard, os.Stdin) // until the parent closes it
	case "add":
		if err := store.Do(context.Background(), s, "shared", store.AddPeer{PodName: fmt.Sprint("peer-", os.Getpid())}); err != nil {
			fmt.Println("failed", err)
		}
	}
	if err := s.Close(); err != nil {
		fmt.Println("failed", err)
	}
}

// opener is another process with the database.
type opener struct {
	cmd *exec.Cmd
	in  io.Closer
	out *bufio.Reader
}

func startOpener(t *testing.T, job ...any) *opener {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestOpener$", "-test.v=false")
	cmd.Env = append(os.Environ(), openerEnv+"="+strings.TrimSpace(fmt.Sprintln(job...)))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	o := &opener{cmd, in, bufio.NewReader(out)}
	t.Cleanup(o.stop)
	return o
}

// says is the first line that the process writes.
func (o *opener) says(t *testing.T) string {
	t.Helper()
	line, err := o.out.ReadString('\n')
	if err != nil {
		t.Fatalf("the other process: %q %v", line, err)
	}
	return strings.TrimSpace(line)
}

// stop ends the process and waits for it.
func (o *opener) stop() {
	o.in.Close()
	io.Copy(io.Discard, o.out)
	o.cmd.Wait()
}

func openAt(t *testing.T, path string, o *boltstore.Options) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// newFile is the path of a database with one Pod in it, closed.
func newFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pods.db")
	s := openAt(t, path, nil)
	if err := store.Do(context.Background(), s, "a", store.AddPeer{PodName: "b"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// soon are options that wait for a lock no longer than they must.
func soon(readOnly bool) *boltstore.Options {
	return &boltstore.Options{ReadOnly: readOnly, LockTimeout: 1}
}

func TestOpenTwiceInOneProcess(t *testing.T) {
	path := newFile(t)
	for _, c := range []struct {
		first, second bool // read-only
		locked        bool
	}{{false, false, true}, {false, true, true}, {true, false, true}, {true, true, false}} {
		first := openAt(t, path, &boltstore.Options{ReadOnly: c.first})
		second, err := boltstore.Open(path, soon(c.second))
		if errors.Is(err, store.ErrLocked) != c.locked || (err == nil) == c.locked {
			t.Errorf("read-only %v, then read-only %v: %v", c.first, c.second, err)
		}
		if c.locked && !strings.Contains(err.Error(), fmt.Sprint("this process (", os.Getpid())) {
			t.Errorf("the error does not say that it is this process: %v", err)
		}
		if err == nil {
			second.Close()
		}
		first.Close()
	}
}

func TestOpenInTwoProcesses(t *testing.T) {
	path := newFile(t)
	for _, c := range []struct {
		other  string
		mine   bool // read-only
		locked bool
	}{{"hold", false, true}, {"hold", true, true}, {"read", false, true}, {"read", true, false}} {
		other := startOpener(t, path, c.other)
		if said := other.says(t); said != "open" {
			t.Fatal(said)
		}
		s, err := boltstore.Open(path, soon(c.mine))
		if errors.Is(err, store.ErrLocked) != c.locked || (err == nil) == c.locked {
			t.Errorf("other: %s, read-only here %v: %v", c.other, c.mine, err)
		}
		if c.locked && !strings.Contains(err.Error(), fmt.Sprint(other.cmd.Process.Pid)) {
			t.Errorf("the error does not name process %d: %v", other.cmd.Process.Pid, err)
		}
		if err == nil {
			s.Close()
		}
		other.stop()
		// The process is gone, and with it the lock.
		openAt(t, path, soon(c.mine)).Close()
	}
}

func TestOpenWaitsForTheLock(t *testing.T) {
	path := newFile(t)
	first := openAt(t, path, nil)
	opened := make(chan error)
	go func() {
		s, err := boltstore.Open(path, &boltstore.Options{LockTimeout: time.Minute})
		if err == nil {
			err = s.Close()
		}
		opened <- err
	}()
	select {
	case err := <-opened:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	first.Close()
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

// Many processes open the same path at once, with neither file nor directory there. One
// of them creates it, and none loses what it wrote.
func TestRacingCreators(t *testing.T) {
	for range 3 {
		dir := filepath.Join(t.TempDir(), "made", "deep")
		path := filepath.Join(dir, "pods.db")
		var all []*opener
		for range 8 {
			all = append(all, startOpener(t, path, "add"))
		}
		var wg sync.WaitGroup
		for _, o := range all {
			wg.Go(func() {
				out, _ := io.ReadAll(o.out)
				if said, _, _ := strings.Cut(string(out), "\n"); said != "open" || strings.Contains(string(out), "failed") {
					t.Errorf("a creator: %s", out)
				}
				o.cmd.Wait()
			})
		}
		wg.Wait()
		s := openAt(t, path, &boltstore.Options{FullCheck: true})
		m, err := s.Read(context.Background(), "shared")
		if err != nil || len(m.Peers) != len(all) {
			t.Errorf("%+v %v, expected %d peers", m, err, len(all))
		}
		s.Close()
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 {
			t.Errorf("beside the database are %v (%v)", entries, err)
		}
	}
}

// A file that was moved, removed or replaced under its lock takes no more
// changes: they would be lost with the handle.
func TestFileTakenAway(t *testing.T) {
	ctx := context.Background()
	for what, take := range map[string]func(path string) error{
		"removed": os.Remove,
		"moved":   func(path string) error { return os.Rename(path, path+".old") },
		"replaced": func(path string) error {
			b, err := os.ReadFile(path)
			return errors.Join(err, os.WriteFile(path+".new", b, 0o600), os.Rename(path+".new", path))
		},
		"moved with its directory": func(path string) error {
			return os.Rename(filepath.Dir(path), filepath.Dir(path)+".old")
		},
		"replaced by a link to itself": func(path string) error {
			return errors.Join(os.Rename(path, path+".old"), os.Symlink(path+".old", path))
		},
	} {
		t.Run(what, func(t *testing.T) {
			path := newFile(t)
			s := openAt(t, path, nil)
			file, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			before, _ := io.ReadAll(file)
			if err := take(path); err != nil {
				t.Fatal(err)
			}
			now, _ := os.ReadFile(path)
			if err := store.Do(ctx, s, "a", store.AddPeer{PodName: "c"}); !errors.Is(err, store.ErrUnusable) {
				t.Errorf("a change afterwards: %v", err)
			}
			if _, err := s.Read(ctx, "a"); !errors.Is(err, store.ErrUnusable) {
				t.Errorf("reading after that: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			after := make([]byte, len(before)+1)
			if n, _ := file.ReadAt(after, 0); string(after[:n]) != string(before) {
				t.Error("the old file was changed")
			}
			if then, _ := os.ReadFile(path); string(then) != string(now) {
				t.Error("the new file was changed")
			}
		})
	}
}

// A handle is on a file, wherever the process goes.
func TestRelativePath(t *testing.T) {
	ctx := context.Background()
	t.Chdir(t.TempDir())
	s := openAt(t, "pods.db", nil)
	if s.Path() != "pods.db" {
		t.Errorf("Path is %q", s.Path())
	}
	t.Chdir(t.TempDir())
	if err := store.Do(ctx, s, "a", store.AddPeer{PodName: "b"}); err != nil {
		t.Error(err)
	}
	if _, c, err := s.Snapshot(ctx); err != nil {
		t.Error(err)
	} else if err := c.Close(); err != nil {
		t.Error(err)
	}
	if s.Stats().FileSize == 0 {
		t.Error("Stats gives no size")
	}
	if entries, err := os.ReadDir("."); err != nil || len(entries) > 0 {
		t.Errorf("left in the new directory: %v %v", entries, err)
	}
}
