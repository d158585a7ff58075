package boltstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
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
	dst := filepath.Join(tmp, "backup.db")
	fetch := func(w io.Writer) error { _, err := damaged.WriteTo(w); return err }
	live, c, err := OpenCopy("a socket", tmp, fetch)
	if err != nil {
		t.Fatal(err)
	}
	_, err = live.Backup(ctx, dst)
	named(t, err, store.ErrCorrupt, "a socket")
	if _, err := os.Stat(live.Path()); err != nil {
		t.Errorf("Path is %s, expected the copy (%v)", live.Path(), err)
	}
	// A process that is killed leaves nothing behind: where the system can open a file
	// without a name, the copy has none.
	if left, _ := os.ReadDir(tmp); runtime.GOOS == "linux" && len(left) > 0 {
		t.Errorf("there are %v", left)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = live.List(ctx)
	named(t, err, store.ErrClosed, "a socket")
	for _, bad := range []struct {
		fetch func(io.Writer) error
		want  error
	}{
		{func(w io.Writer) error { _, err := io.WriteString(w, "It works!"); return err }, store.ErrFormat},
		{func(w io.Writer) error { return io.ErrUnexpectedEOF }, io.ErrUnexpectedEOF},
	} {
		_, _, err = OpenCopy("a socket", tmp, bad.fetch)
		named(t, err, bad.want, "a socket")
	}
	_, _, err = OpenCopy("a socket", filepath.Join(tmp, "none"), fetch)
	named(t, err, nil, "a socket")
	if errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), "TMPDIR") {
		t.Errorf("without a directory for it: %v", err)
	}

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
	if err := store.Do(ctx, whole, "a", store.AddPeer{PodName: "b"}); err != nil {
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
	for _, temporary := range []string{".new-", ".snapshot-"} {
		if strings.Contains(err.Error(), temporary) {
			t.Errorf("%v names a temporary file", err)
		}
	}
}

// If the disk refuses a copy, the caller gets the error and the store goes on.
func TestCopyIsRefused(t *testing.T) {
	ctx := context.Background()
	s := openNew(t)
	if err := store.Do(ctx, s, "a", store.AddPeer{PodName: "b"}); err != nil {
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
	if err := store.Do(ctx, s, "a", store.AddPeer{PodName: "c"}); err != nil {
		t.Errorf("a change afterwards: %v", err)
	}
}

// If its directory is gone, an open store can neither be copied nor changed, and says
// so.
func TestDirectoryTakenAway(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "in", "pods.db")
	s := open(t, path, nil)
	if err := store.Do(ctx, s, "a", store.AddPeer{PodName: "b"}); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Dir(path), filepath.Dir(path)+".old"); err != nil {
		t.Fatal(err)
	}
	_, _, err := s.Snapshot(ctx)
	if !errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), path) {
		t.Errorf("Snapshot: %v", err)
	}
	if m, err := s.Read(ctx, "a"); err != nil || !m.HasPeer("b") {
		t.Errorf("reading: %+v %v", m, err)
	}
	if err := store.Do(ctx, s, "a", store.AddPeer{PodName: "c"}); !errors.Is(err, store.ErrUnusable) {
		t.Errorf("a change: %v", err)
	}
	if _, _, err := s.Snapshot(ctx); !errors.Is(err, store.ErrUnusable) {
		t.Errorf("Snapshot of a handle that is unusable: %v", err)
	}
}
