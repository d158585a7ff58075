package socketstore_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"podstore/store"
	"podstore/store/socketstore"
)

// stale leaves a socket behind like a process that dies.
func stale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func connects(path string) bool {
	c, err := net.Dial("unix", path)
	if err == nil {
		c.Close()
	}
	return err == nil
}

// Several callers find a stale socket. One succeeds, and its socket works.
func TestListenOnce(t *testing.T) {
	rounds := 100
	if long() {
		rounds = 5000
	}
	path := filepath.Join(shortDir(t), "s")
	for i := range rounds {
		if i%2 == 0 {
			stale(t, path)
		}
		const callers = 4
		var won atomic.Int64
		var running sync.WaitGroup
		listeners := make([]net.Listener, callers)
		begin := make(chan struct{})
		for n := range callers {
			running.Go(func() {
				<-begin
				l, err := socketstore.Listen(path)
				switch {
				case err == nil:
					won.Add(1)
					listeners[n] = l
				case !errors.Is(err, store.ErrLocked):
					t.Errorf("round %d: %v", i, err)
				}
			})
		}
		close(begin)
		running.Wait()
		if won.Load() != 1 || !connects(path) {
			t.Fatalf("round %d: %d of %d listen, and it connects: %v", i, won.Load(), callers, connects(path))
		}
		for _, l := range listeners {
			if l != nil {
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			}
		}
		if left, _ := os.ReadDir(filepath.Dir(path)); len(left) > 0 {
			t.Fatalf("left behind: %v", left)
		}
	}
}

// Only a refused connection means that a socket's process has died.
func TestListenLeavesLiveSocketsAlone(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	// Its backlog is full.
	for connects(path) {
		if c, err := net.Dial("unix", path); err == nil {
			defer c.Close()
		}
	}
	_, err = socketstore.Listen(path)
	if !errors.Is(err, store.ErrLocked) {
		t.Errorf("a server that is overrun: %v", err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != os.ModeSocket {
		t.Errorf("its socket: %v, %v", info, err)
	}
}

// Closing a listener leaves a successor's socket alone.
func TestCloseRemovesItsOwn(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	first, err := socketstore.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := os.Remove(path); err != nil { // somebody tidies up
		t.Fatal(err)
	}
	second, err := socketstore.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(first.Close(), first.Close()); err != nil {
		t.Error(err)
	}
	if !connects(path) {
		t.Error("the successor's socket is gone")
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its own is not: %v", err)
	}
}

// A path that cannot be a socket's is an error, and nothing is created.
func TestListenRefuses(t *testing.T) {
	tmp := shortDir(t)
	file := filepath.Join(tmp, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	longest := len(unix.RawSockaddrUnix{}.Path) - 1
	fits := filepath.Join(tmp, strings.Repeat("s", longest-len(tmp)-1))
	for path, want := range map[string]struct {
		kind error
		says string
	}{
		filepath.Join(tmp, "none", "s"): {store.ErrNotFound, "does not exist"},
		filepath.Join(file, "s"):        {nil, "not a directory"},
		filepath.Join(tmp, "s\x00"):     {nil, "invalid argument"},
		file:                            {store.ErrExists, "other than a socket"},
		fits + "s":                      {store.ErrInvalid, fmt.Sprintf("at most %d bytes and this one %d", longest, longest+1)},
		"":                              {store.ErrInvalid, "empty"},
		"@abstract":                     {store.ErrInvalid, "./@"},
	} {
		l, err := socketstore.Listen(path)
		if err == nil {
			l.Close()
		}
		e, ok := errors.AsType[*store.Error](err)
		if !ok || e.Op != "listen" || e.Path != path || e.Kind != want.kind || !strings.Contains(err.Error(), want.says) {
			t.Errorf("%q: %v", path, err)
		}
		_, err = socketstore.Dial(t.Context(), path, &socketstore.Options{Patience: 1})
		if e, ok := errors.AsType[*store.Error](err); !ok || e.Op != "open" || want.kind == store.ErrInvalid && !errors.Is(err, store.ErrInvalid) {
			t.Errorf("Dial of %q: %v", path, err)
		}
	}
	if _, err := socketstore.Dial(t.Context(), file, nil); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("Dial of a file: %v", err)
	}
	l, err := socketstore.Listen(fits)
	if err != nil || !connects(fits) {
		t.Fatalf("a path of %d bytes: %v", len(fits), err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(tmp); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}
