package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"podstore/store"
)

// serve serves a store on a socket until the test ends.
func serve(t *testing.T, s *Store) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ps") // short: a socket's path is limited
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket = filepath.Join(dir, "s")
	l, err := ListenUnix(socket)
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(s.Handler())
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket was left behind: %v", err)
		}
	})
	return socket
}

// Snapshots of a store that links and unlinks two Pods without pause never show
// one side alone.
func TestSnapshotsAreOneMoment(t *testing.T) {
	ctx := context.Background()
	s := openNew(t)
	for _, name := range []string{"a", "b"} {
		m := sample()
		m.PodName, m.Peers = name, nil
		m.Manifest = []byte(`"` + strings.Repeat("x", 10000) + `"`)
		if err := s.Write(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	socket := serve(t, s)
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				f := store.LinkPeers
				if i%2 == 1 {
					f = store.UnlinkPeers
				}
				if err := f(ctx, s, "a", "b"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	look := func(how string, m store.MetadataStore) {
		a, errA := m.Read(ctx, "a")
		b, errB := m.Read(ctx, "b")
		if errA != nil || errB != nil || a.HasPeer("b") != b.HasPeer("a") {
			t.Errorf("%s: a link has one side (%v, %v)", how, errA, errB)
		}
		if err := m.Delete(ctx, "a"); !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("%s: delete: %v", how, err)
		}
	}
	for range 25 {
		snap, c, err := s.Snapshot(ctx)
		if err != nil {
			t.Fatal(err)
		}
		look("Snapshot", snap)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		live, c, err := OpenLive(ctx, socket, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		look("OpenLive", live)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	stop.Store(true)
	wg.Wait()
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(s.path), ".*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A client that takes nothing holds no transaction: writers go on, and the file
// does not grow with what they replace.
func TestStuckClientHoldsNothing(t *testing.T) {
	ctx := context.Background()
	s := openNew(t)
	big := &store.Metadata{PodName: "big", Manifest: []byte(`"` + strings.Repeat("x", 4<<20) + `"`)}
	if err := s.Write(ctx, big); err != nil {
		t.Fatal(err)
	}
	socket := serve(t, s)
	var last net.Conn
	for range maxSnapshots {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		last = conn
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", SnapshotPath)
		one := make([]byte, 1)
		if _, err := io.ReadFull(conn, one); err != nil { // it is being sent
			t.Fatal(err)
		}
	}
	if n := s.db.Stats().OpenTxN; n != 0 {
		t.Errorf("%d transactions are open", n)
	}
	if _, err := store.AddPeer(ctx, s, "a", "b"); err != nil {
		t.Error(err)
	}
	short, cancel := context.WithTimeout(ctx, busyPause/2)
	defer cancel()
	if _, _, err := OpenLive(short, socket, t.TempDir()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one client too many: %v, expected to wait until the context ends", err)
	}
	// It gets its turn when another one goes.
	last.Close()
	live, c, err := OpenLive(ctx, socket, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := live.Read(ctx, "big"); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestLiveErrors(t *testing.T) {
	ctx := context.Background()
	tmp := t.TempDir()
	if _, _, err := OpenLive(ctx, filepath.Join(tmp, "none"), tmp); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("no socket: %v", err)
	}
	s := openNew(t)
	socket := serve(t, s)
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if _, err := ListenUnix(socket); !errors.Is(err, store.ErrLocked) {
		t.Errorf("a socket in use: %v", err)
	}
	file := filepath.Join(tmp, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenUnix(file); !errors.Is(err, store.ErrExists) {
		t.Errorf("a file in its place: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenLive(ctx, socket, tmp); err == nil || !strings.Contains(err.Error(), "store is closed") {
		t.Errorf("a store that is closed: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(tmp, "podstore-*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A socket that a killed process left behind does not keep its successor from
// serving.
func TestStaleSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "ps")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	again, err := ListenUnix(socket)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	again.Close()
}

func TestSnapshotOfReadOnlyIsItself(t *testing.T) {
	s := openNew(t)
	path := s.path
	s.Close()
	r := open(t, path, &Options{ReadOnly: true})
	snap, c, err := r.Snapshot(context.Background())
	if err != nil || snap != store.MetadataStore(r) {
		t.Errorf("%v %v", snap, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := r.List(context.Background()); err != nil {
		t.Errorf("closing the snapshot closed the store: %v", err)
	}
}

func TestCompact(t *testing.T) {
	ctx := context.Background()
	s := openNew(t)
	for i := range 300 {
		m := sample()
		m.PodName = fmt.Sprint("pod-", i)
		m.Manifest = []byte(`"` + strings.Repeat("x", 5000) + `"`)
		if err := s.Write(ctx, m); err != nil {
			t.Fatal(err)
		}
		if i%10 != 0 {
			if err := s.Delete(ctx, m.PodName); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.Close()
	dst := s.path + ".compact"
	if err := Compact(ctx, s.path, dst, nil); err != nil {
		t.Fatal(err)
	}
	was, err := Check(ctx, s.path, nil, func(f Finding) { t.Error(f) })
	if err != nil {
		t.Fatal(err)
	}
	is, err := Check(ctx, dst, nil, func(f Finding) { t.Error(f) })
	if err != nil {
		t.Fatal(err)
	}
	if is.Pods != 30 || is.Pods != was.Pods || is.Space.FileSize > was.Space.FileSize {
		t.Errorf("before %+v, after %+v", was, is)
	}
	if err := Compact(ctx, s.path, dst, nil); !errors.Is(err, store.ErrExists) {
		t.Errorf("onto a file that exists: %v", err)
	}
}

func TestBackup(t *testing.T) {
	ctx := context.Background()
	s := openNew(t)
	if err := s.Write(ctx, sample()); err != nil {
		t.Fatal(err)
	}
	dst := s.path + ".backup"
	sum, err := s.Backup(ctx, dst)
	if err != nil || sum.Pods != 1 {
		t.Fatalf("%+v %v", sum, err)
	}
	if _, err := s.Backup(ctx, dst); !errors.Is(err, store.ErrExists) {
		t.Errorf("onto a file that exists: %v", err)
	}
	if info, err := os.Stat(dst); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	b := open(t, dst, &Options{FullCheck: true}) // a backup can be written like any other
	if m, err := store.AddPeer(ctx, b, "agent", "new"); err != nil || !m.HasPeer("new") {
		t.Errorf("%v %v", m, err)
	}
	path := spoiled(t, flip("b", "peers"))
	d := open(t, path, nil)
	if _, err := d.Backup(ctx, path+".backup"); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), `"b"`) {
		t.Errorf("of a damaged store: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*backup*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A socket that does not take the trial connection is somebody's all the same.
func TestListenUnixKeepsBusySockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	for { // until its backlog is full
		conn, err := net.DialTimeout("unix", path, time.Second/10)
		if err != nil {
			break
		}
		defer conn.Close()
	}
	before, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := ListenUnix(path); err == nil || !errors.Is(err, store.ErrLocked) {
		t.Errorf("%v, %v", l, err)
	}
	if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("the socket is gone: %v", err)
	}
}
