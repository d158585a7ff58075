package boltstore_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
	"podstore/store/boltstore"
)

// both are the options that open a file to write and to read.
var both = []*boltstore.Options{nil, {ReadOnly: true}}

// What is not a regular file is refused, at once, and left as it is.
func TestNotAFile(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	target := newFile(t)
	l, err := net.Listen("unix", in("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := errors.Join(
		os.Symlink(target, in("link")),
		os.Symlink(in("nothing"), in("dangling")),
		os.Symlink(in("loop"), in("loop")),
		syscall.Mkfifo(in("fifo"), 0o600),
		os.Mkdir(in("directory"), 0o700),
	); err != nil {
		t.Fatal(err)
	}
	before := listing(t, dir)
	for _, path := range []string{in("link"), in("dangling"), in("loop"), in("fifo"), in("directory"), in("socket"), "/dev/null", "/dev/zero"} {
		for _, o := range both {
			s, err := boltstore.Open(path, o)
			if !errors.Is(err, store.ErrInvalid) {
				t.Errorf("%s: %v", path, err)
			}
			if err == nil {
				s.Close()
			}
		}
	}
	if after := listing(t, dir); after != before {
		t.Errorf("before:\n%safter:\n%s", before, after)
	}
	// Links above the file are followed.
	if err := os.Symlink(filepath.Dir(target), in("dirlink")); err != nil {
		t.Fatal(err)
	}
	openAt(t, filepath.Join(in("dirlink"), filepath.Base(target)), nil)
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintln(&b, e)
	}
	return b.String()
}

func TestNotADatabase(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain bbolt")
	db, err := bolt.Open(plain, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucket([]byte("theirs"))
		return err
	}), db.Close()); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"empty":  "",
		"byte":   "x",
		"text":   strings.Repeat("these are notes\n", 2000),
		"json":   `{"pod_name":"a"}`,
		"sqlite": "SQLite format 3\x00" + strings.Repeat("\x10\x00\x01\x01", 5000),
		"zeros":  strings.Repeat("\x00", 65536),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		before := fingerprint(t, path)
		for _, o := range both {
			if _, err := boltstore.Open(path, o); !errors.Is(err, store.ErrFormat) {
				t.Errorf("%s: %v", e.Name(), err)
			}
		}
		if fingerprint(t, path) != before {
			t.Errorf("%s was changed", e.Name())
		}
	}
	if after, _ := os.ReadDir(dir); len(after) != len(entries) {
		t.Errorf("files were left: %v", after)
	}
}

// fingerprint is of content, size and time.
func fingerprint(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x %v %v", sha256.Sum256(b), info.ModTime(), info.Mode())
}

// Nothing is created for a reader, or where the file must exist.
func TestMissingFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sub", "pods.db")
	for _, o := range []*boltstore.Options{{ReadOnly: true}, {MustExist: true}} {
		if _, err := boltstore.Open(path, o); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if got := listing(t, dir); got != "" {
		t.Errorf("created: %s", got)
	}
}

// What a crash left of another creation does not count as the database and does not
// prevent one.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".pods.db.new-AAAAAAAA", ".pods.db.snapshot-1"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := openAt(t, filepath.Join(dir, "pods.db"), nil)
	if names, err := s.List(context.Background()); err != nil || len(names) > 0 {
		t.Errorf("%q %v", names, err)
	}
}

func TestModes(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	dir := filepath.Join(t.TempDir(), "a", "b")
	path := filepath.Join(dir, "pods.db")
	openAt(t, path, nil).Close()
	for name, want := range map[string]os.FileMode{dir: 0o700, filepath.Dir(dir): 0o700, path: 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, expected %v (%v)", name, info.Mode(), want, err)
		}
	}
	for mode, refused := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: false, 0o660: false, 0o620: false, 0o602: true, 0o666: true} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		for _, o := range both {
			s, err := boltstore.Open(path, o)
			if errors.Is(err, store.ErrInvalid) != refused || (err == nil) == refused {
				t.Errorf("mode %04o: %v", mode, err)
			}
			if err == nil {
				s.Close()
			}
		}
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

const nobody = 65534

// A user trusts the files of his own and of root.
func TestOwners(t *testing.T) {
	needRoot(t)
	open := func(path string, uid int) string { return startOpener(t, path, "try", uid).says(t) }
	for _, c := range []struct {
		owner, user int
		opens       bool
	}{{nobody, nobody, true}, {nobody - 1, nobody, false}, {nobody, 0, true}} {
		dir, err := os.MkdirTemp("/tmp", "podstore-owner-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		path := filepath.Join(dir, "pods.db")
		openAt(t, path, nil).Close()
		// A directory for everybody, so that only the file's owner matters. Others may read
		// the file, but not write it.
		if err := errors.Join(os.Chmod(dir, 0o777), os.Chown(path, c.owner, c.owner), os.Chmod(path, 0o644)); err != nil {
			t.Fatal(err)
		}
		if said := open(path, c.user); (said == "open") != c.opens {
			t.Errorf("file of %d, opened by %d: %s", c.owner, c.user, said)
		}
	}
}

// In a directory that cannot be written an existing file is used, and none is
// created.
func TestDirectoryNotWritable(t *testing.T) {
	needRoot(t)
	dir, err := os.MkdirTemp("/tmp", "podstore-dir-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "pods.db")
	openAt(t, path, nil).Close()
	if err := errors.Join(os.Chown(path, nobody, nobody), os.Chown(dir, nobody, nobody), os.Chmod(dir, 0o500)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		mode os.FileMode
		want string
	}{
		{path, 0o500, "open"},
		{path, 0o100, "open"}, // it cannot even be read, and so not be synced
		{filepath.Join(dir, "other.db"), 0o500, "refused"},
	} {
		if err := os.Chmod(dir, c.mode); err != nil {
			t.Fatal(err)
		}
		if said := startOpener(t, c.path, "add", nobody).says(t); !strings.HasPrefix(said, c.want) {
			t.Errorf("%s in a directory of mode %04o: %s", filepath.Base(c.path), c.mode, said)
		}
	}
}

// On read-only media everything can be read.
func TestReadOnlyMedia(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	mount := func(args ...string) {
		if out, err := exec.Command("mount", append(args, dir)...).CombinedOutput(); err != nil {
			t.Skipf("mount does not work here: %s", out)
		}
	}
	mount("-t", "tmpfs", "podstore-test")
	t.Cleanup(func() { exec.Command("umount", dir).Run() })
	path := filepath.Join(dir, "pods.db")
	s := openAt(t, path, nil)
	if err := store.Do(context.Background(), s, "a", store.AddPeer{PodName: "b"}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	mount("-o", "remount,ro")
	s = openAt(t, path, &boltstore.Options{ReadOnly: true, FullCheck: true})
	if m, err := s.Read(context.Background(), "a"); err != nil || len(m.Peers) != 1 {
		t.Errorf("%+v %v", m, err)
	}
	if _, c, err := s.Snapshot(context.Background()); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
	if err := store.Do(context.Background(), s, "a", store.Delete{}); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("Delete: %v", err)
	}
	s.Close()
	for _, name := range []string{path, filepath.Join(dir, "other.db")} {
		if _, err := boltstore.Open(name, nil); !errors.Is(err, syscall.EROFS) {
			t.Errorf("to write %s: %v", name, err)
		}
	}
}

// If an open file is cut short, calls fail, the process lives on, and the store can be
// closed.
func TestCutShortWhileOpen(t *testing.T) {
	ctx := context.Background()
	for _, keep := range []int64{0, 4096, 8192, 3 * 8192} {
		path := filepath.Join(t.TempDir(), "pods.db")
		s := openAt(t, path, nil)
		for i := range 50 {
			if err := store.Write(ctx, s, &store.Metadata{PodName: fmt.Sprint("pod-", i), Manifest: []byte(`"` + strings.Repeat("m", 3000) + `"`)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Truncate(path, keep); err != nil {
			t.Fatal(err)
		}
		failed := 0
		for i := range 50 {
			if _, err := s.Read(ctx, fmt.Sprint("pod-", i)); err != nil {
				failed++
				if !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, store.ErrUnusable) {
					t.Errorf("Read: %v", err)
				}
			}
		}
		if failed == 0 {
			t.Errorf("cut to %d bytes, and every Pod is read", keep)
		}
		if _, err := s.List(ctx); err != nil && !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, store.ErrUnusable) {
			t.Errorf("List: %v", err)
		}
		if err := store.Do(ctx, s, "pod-1", store.AddPeer{PodName: "p"}); err == nil {
			t.Errorf("cut to %d bytes, and a change succeeds", keep)
		}
		s.Close()
	}
}

// Where a directory cannot be made, or is none, nothing is created.
func TestNoDirectory(t *testing.T) {
	dir := t.TempDir()
	dangling, file := filepath.Join(dir, "dangling"), filepath.Join(dir, "file")
	if err := errors.Join(os.Symlink(filepath.Join(dir, "nothing"), dangling), os.WriteFile(file, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	before := listing(t, dir)
	for path, want := range map[string]error{
		"/proc/podstore/pods.db":               store.ErrNotFound, // /proc takes no directories
		"/proc/podstore/deeper/pods.db":        store.ErrNotFound,
		filepath.Join(dangling, "pods.db"):     store.ErrNotFound,
		filepath.Join(file, "pods.db"):         syscall.ENOTDIR,
		filepath.Join(file, "deep", "pods.db"): syscall.ENOTDIR,
	} {
		s, err := boltstore.Open(path, nil)
		if err == nil {
			s.Close()
		}
		var e *store.Error
		if !errors.Is(err, want) || !errors.As(err, &e) || e.Path != path {
			t.Errorf("%s: %v", path, err)
		}
	}
	if after := listing(t, dir); after != before {
		t.Errorf("before:\n%safter:\n%s", before, after)
	}
}

func TestWorkingDirectoryRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cwd")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if s, err := boltstore.Open("pods.db", nil); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("%v", err)
		if err == nil {
			s.Close()
		}
	}
}
