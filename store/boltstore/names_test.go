package boltstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"podstore/store"
)

// An error names the path that the caller gave: the socket, the database, the
// destination; never a temporary file that is gone by then.
func TestErrorsNameWhatWasGiven(t *testing.T) {
	ctx := context.Background()
	tmp := t.TempDir()
	damaged := open(t, spoiled(t, flip("b", "peers")), nil)
	socket := serve(t, damaged)
	dst := filepath.Join(tmp, "backup.db")
	live, c, err := OpenLive(ctx, socket, tmp)
	if err != nil {
		t.Fatal(err)
	}
	_, err = live.Backup(ctx, dst)
	named(t, err, store.ErrCorrupt, socket)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = live.List(ctx)
	named(t, err, store.ErrClosed, socket)

	frozen, c, err := damaged.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_, err = frozen.(*Store).Backup(ctx, dst)
	named(t, err, store.ErrCorrupt, damaged.path)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = frozen.Read(ctx, "a")
	named(t, err, store.ErrClosed, damaged.path)

	missing := filepath.Join(tmp, "none", "backup.db")
	_, err = damaged.Backup(ctx, missing)
	named(t, err, store.ErrNotFound, missing)
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = damaged.Backup(canceled, dst)
	named(t, err, context.Canceled, dst)

	whole := openNew(t)
	if _, err := store.AddPeer(ctx, whole, "a", "b"); err != nil {
		t.Fatal(err)
	}
	live, c, err = OpenLive(ctx, serve(t, whole), tmp)
	if err != nil {
		t.Fatal(err)
	}
	_, err = live.Backup(ctx, missing)
	named(t, err, store.ErrNotFound, missing)
	if sum, err := Check(ctx, live.Path(), nil, func(Finding) {}); err != nil || sum.Pods != 1 {
		t.Errorf("Path is %s, expected the copy: %+v, %v", live.Path(), sum, err)
	}
	// A process that is killed leaves nothing behind: where the system can open a file
	// without a name, the copy has none.
	if left, _ := os.ReadDir(tmp); runtime.GOOS == "linux" && len(left) > 0 {
		t.Errorf("there are %v", left)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := whole.Close(); err != nil {
		t.Fatal(err)
	}
	under := filepath.Join(whole.path, "new.db") // a file is no directory
	named(t, Compact(ctx, whole.path, under, nil), nil, under)
	_, err = Salvage(ctx, whole.path, under, nil, func(Salvaged) {})
	named(t, err, nil, under)
	if left, _ := filepath.Glob(filepath.Join(tmp, "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// named checks an error's kind, where one is given, and that it names path and nothing temporary.
func named(t *testing.T, err, kind error, path string) {
	t.Helper()
	if err == nil || kind != nil && !errors.Is(err, kind) {
		t.Errorf("%v, expected %v", err, kind)
		return
	}
	e, ok := errors.AsType[*store.Error](err)
	if !ok || e.Path != path {
		t.Errorf("%v does not name %s", err, path)
	}
	for _, temporary := range []string{".new-", ".snapshot-", "podstore-live-", ".sock-"} {
		if strings.Contains(err.Error(), temporary) {
			t.Errorf("%v names a temporary file", err)
		}
	}
}

// Whatever answers at a socket, or does not, is an error that names the socket, and
// nothing stays behind.
func TestOpenLiveOfOtherServers(t *testing.T) {
	ctx := context.Background()
	tmp := t.TempDir()
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	file, err := os.ReadFile(spoiled(t, nothing))
	if err != nil {
		t.Fatal(err)
	}
	send := func(announced int, body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			if announced >= 0 {
				w.Header().Set("Content-Length", strconv.Itoa(announced))
			}
			w.Write(body)
			if announced < 0 {
				w.(http.Flusher).Flush()
			}
		}
	}
	for what, c := range map[string]struct {
		ctx     context.Context
		handler http.Handler
		want    error
		says    string
	}{
		"a copy":                    {ctx, send(len(file), file), nil, ""},
		"a copy that breaks off":    {ctx, send(len(file), file[:len(file)/2]), io.ErrUnexpectedEOF, "unexpected EOF"},
		"half a file":               {ctx, send(len(file)/2, file[:len(file)/2]), store.ErrCorrupt, ""},
		"a page of text":            {ctx, send(9, []byte("It works!")), store.ErrFormat, ""},
		"an answer without length":  {ctx, send(-1, []byte("It works!")), nil, "not a store's socket"},
		"a server without the path": {ctx, http.NotFoundHandler(), nil, "404"},
		"a client that gave up":     {canceled, send(len(file), file), context.Canceled, ""},
	} {
		t.Run(what, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "ps")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			socket := filepath.Join(dir, "s")
			l, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			server := &http.Server{Handler: c.handler}
			go server.Serve(l)
			defer server.Close()
			s, closer, err := OpenLive(c.ctx, socket, tmp)
			if c.want == nil && c.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				if names, err := s.List(ctx); err != nil || len(names) != 3 {
					t.Errorf("%q %v", names, err)
				}
				if err := closer.Close(); err != nil {
					t.Error(err)
				}
			} else {
				named(t, err, c.want, socket)
				if err != nil && !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v does not say %q", err, c.says)
				}
			}
			if left, _ := filepath.Glob(filepath.Join(tmp, "*")); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
	_, _, err = OpenLive(ctx, filepath.Join(tmp, "s"), filepath.Join(tmp, "none"))
	if err == nil || errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), "none") {
		t.Errorf("without a place for the copy: %v", err)
	}
}

// A socket needs a directory, a short path and nobody in its place.
func TestListenUnixRefuses(t *testing.T) {
	tmp := t.TempDir()
	file := filepath.Join(tmp, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	long := filepath.Join(tmp, strings.Repeat("d", 120))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, says := range map[string]string{
		filepath.Join(tmp, "none", "s"): "no such file",
		filepath.Join(file, "s"):        "not a directory",
		filepath.Join(long, "s"):        "a socket's path may have",
	} {
		l, err := ListenUnix(path)
		if err == nil {
			l.Close()
		}
		named(t, err, nil, path)
		if err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(tmp, "*", "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A rename for which the name is taken leaves both files as they are, with the
// system's own call and with the two that other systems need.
func TestRenameDoesNotReplace(t *testing.T) {
	for what, rename := range map[string]func(from, to string) error{"renameNoReplace": renameNoReplace, "linkAndRemove": linkAndRemove} {
		dir := t.TempDir()
		in := func(name string) string { return filepath.Join(dir, name) }
		if err := errors.Join(os.WriteFile(in("a"), []byte("a"), 0o600), os.WriteFile(in("b"), []byte("b"), 0o600)); err != nil {
			t.Fatal(err)
		}
		if err := rename(in("a"), in("b")); !errors.Is(err, os.ErrExist) {
			t.Errorf("%s onto a file: %v", what, err)
		}
		if err := rename(in("c"), in("d")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s of nothing: %v", what, err)
		}
		if err := rename(in("a"), in("c")); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		b, errB := os.ReadFile(in("b"))
		c, errC := os.ReadFile(in("c"))
		_, errA := os.Lstat(in("a"))
		if string(b)+string(c) != "ba" || !errors.Is(errA, os.ErrNotExist) {
			t.Errorf("%s: b has %q (%v), c %q (%v), a: %v", what, b, errB, c, errC, errA)
		}
	}
}

// What a disk refuses while a copy is written is the caller's error, and the store
// goes on.
func TestCopyIsRefused(t *testing.T) {
	ctx := context.Background()
	s := openNew(t)
	if _, err := store.AddPeer(ctx, s, "a", "b"); err != nil {
		t.Fatal(err)
	}
	if full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0); err == nil {
		_, err := s.WriteTo(full)
		full.Close()
		named(t, err, store.ErrNoSpace, s.path)
	}
	// A writer that takes the first pages and no more.
	r, w := io.Pipe()
	stop := errors.New("stop")
	go func() {
		io.CopyN(io.Discard, r, 2*pageSize)
		r.CloseWithError(stop)
	}()
	if _, err := s.WriteTo(w); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
	var out bytes.Buffer
	if n, err := s.WriteTo(&out); err != nil || n != int64(out.Len()) {
		t.Errorf("%d of %d bytes, %v", n, out.Len(), err)
	}
	if _, err := store.AddPeer(ctx, s, "a", "c"); err != nil {
		t.Errorf("a change afterwards: %v", err)
	}
}

// Without its directory a store that is open can be copied nowhere, says so, and
// does not take changes either.
func TestDirectoryTakenAway(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "in", "pods.db")
	s := open(t, path, nil)
	if _, err := store.AddPeer(ctx, s, "a", "b"); err != nil {
		t.Fatal(err)
	}
	socket := serve(t, s)
	if err := os.Rename(filepath.Dir(path), filepath.Dir(path)+".old"); err != nil {
		t.Fatal(err)
	}
	_, _, err := s.Snapshot(ctx)
	if !errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), path) {
		t.Errorf("Snapshot: %v", err)
	}
	if _, _, err := OpenLive(ctx, socket, t.TempDir()); err == nil || !strings.Contains(err.Error(), "500") || !strings.Contains(err.Error(), socket) {
		t.Errorf("OpenLive: %v", err)
	}
	if m, err := s.Read(ctx, "a"); err != nil || !m.HasPeer("b") {
		t.Errorf("reading: %+v %v", m, err)
	}
	if _, err := store.AddPeer(ctx, s, "a", "c"); !errors.Is(err, store.ErrUnusable) {
		t.Errorf("a change: %v", err)
	}
	if _, _, err := s.Snapshot(ctx); !errors.Is(err, store.ErrUnusable) {
		t.Errorf("Snapshot of a handle that is unusable: %v", err)
	}
}
