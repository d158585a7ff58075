package osfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"podstore/store"
)

// proc opens a directory of a file system that neither syncs nor is known.
func proc(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Open("/proc")
	noError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// withUmask runs f with a umask, which is that of the whole process.
func withUmask(umask int, f func()) {
	defer syscall.Umask(syscall.Umask(umask))
	f()
}

// A temporary file has no name that a killed process could leave, and opens again by its
// path.
func TestTempFile(t *testing.T) {
	for _, dir := range []string{t.TempDir(), ""} {
		f, err := NewTempFile(dir, "x-*")
		noError(t, err)
		if dir != "" {
			if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 && !f.named {
				t.Errorf("%v is there, %v", entries, err)
			}
		}
		_, err = f.WriteString("content")
		noError(t, err)
		again, err := Reopen(f.Path, os.O_RDWR)
		noError(t, err)
		if got, err := io.ReadAll(again); err != nil || string(got) != "content" {
			t.Errorf("opened again, it has %q, %v", got, err)
		}
		noError(t, again.Close())
		if info, err := LookAt(f.Path); err != nil || info.Size() != 7 || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
		noError(t, f.Close())
		if _, err := Reopen(f.Path, os.O_RDONLY); err == nil && f.named {
			t.Error("it is there after Close")
		}
	}
	if _, err := NewTempFile(filepath.Join(t.TempDir(), "none"), "x-*"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in no directory: %v", err)
	}
}

// A file that keeps its name loses it with Close.
func TestTempFileWithName(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "x-*")
	noError(t, err)
	named := &TempFile{f, f.Name(), true}
	again, err := Reopen(named.Path, os.O_RDONLY)
	noError(t, err)
	noError(t, again.Close())
	if info, err := LookAt(named.Path); err != nil || info.Name() != filepath.Base(f.Name()) {
		t.Errorf("%v, %v", info, err)
	}
	noError(t, named.Close())
	if _, err := LookAt(named.Path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Close: %v", err)
	}
}

// Holder names who has a lock.
func TestHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	f, err := CreateFile(path)
	noError(t, err)
	defer f.Close()
	if got := Holder(f); got != "another process" {
		t.Errorf("nobody: %q", got)
	}
	if ok, err := TryLock(f, true); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if got, want := Holder(f), fmt.Sprintf("this process (%d)", os.Getpid()); got != want {
		t.Errorf("this process: %q, want %q", got, want)
	}
	noError(t, Unlock(f))

	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holderEnv+"="+path, "GOCOVERDIR="+t.TempDir())
	in, err := cmd.StdinPipe()
	noError(t, err)
	out, err := cmd.StdoutPipe()
	noError(t, err)
	noError(t, cmd.Start())
	_, err = out.Read(make([]byte, 1)) // it has the lock
	noError(t, err)
	if got, want := Holder(f), fmt.Sprintf("process %d (%s", cmd.Process.Pid, filepath.Base(os.Args[0])[:4]); !strings.HasPrefix(got, want) {
		t.Errorf("another one: %q, want %q", got, want)
	}
	noError(t, in.Close())
	noError(t, cmd.Wait())
	noError(t, f.Close())
	if got := Holder(f); got != "another process" {
		t.Errorf("of a file that is closed: %q", got)
	}
}

// FileSystem names what is not of this machine, or not known.
func TestFileSystem(t *testing.T) {
	f := proc(t)
	if shared, unknown := FileSystem(f); shared != "" || unknown != "type 0x9fa0" {
		t.Errorf("/proc: %q, %q", shared, unknown)
	}
	if got := mountType(f); got != "proc" {
		t.Errorf("/proc is mounted as %q", got)
	}
	closed, err := os.Open(t.TempDir())
	noError(t, err)
	if shared, unknown := FileSystem(closed); shared != "" || unknown != "" {
		t.Errorf("a temporary directory: %q, %q", shared, unknown)
	}
	noError(t, closed.Close())
	if shared, unknown := FileSystem(closed); shared+unknown+mountType(closed) != "" {
		t.Errorf("a file that is closed: %q, %q", shared, unknown)
	}
	if (Dir{int(f.Fd())}).CanSyncAll() || (Dir{-1}).CanSyncAll() {
		t.Error("SyncAll is relied on where it does nothing")
	}
}

// What others made and cannot be synced is left to them; what was asked for is not.
func TestSyncOfWhatCannotBe(t *testing.T) {
	if err := SyncDir("/proc"); err == nil {
		t.Error("SyncDir says nothing")
	}
	noError(t, SyncNames("/proc"))
	missing := filepath.Join(t.TempDir(), "none")
	for what, err := range map[string]error{"SyncDir": SyncDir(missing), "SyncNames": SyncNames(missing)} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s of what is missing: %v", what, err)
		}
	}
}

// Has looks for a name in a directory below, through a link in its place too.
func TestHas(t *testing.T) {
	d, path := root(t)
	noError(t, d.Mkdir("sub"))
	lay(t, path+"/sub/f", "")
	lay(t, path+"/file", "")
	noError(t, os.Symlink("sub", path+"/link"))
	for at, want := range map[string]bool{"sub f": true, "link f": true, "sub g": false, "none f": false, "file f": false} {
		sub, name, _ := strings.Cut(at, " ")
		if got := d.Has(sub, name); got != want {
			t.Errorf("%s: %v", at, got)
		}
	}
}

// What is made has its mode whatever the umask, and the owner that it is for.
func TestMadeForWhom(t *testing.T) {
	d, path := root(t)
	want := Owner{0o600, uint32(os.Getuid()), uint32(os.Getgid())}
	if os.Geteuid() == 0 {
		want = Owner{0o600, 65534, 65533}
		noError(t, os.Chown(path, 65534, 65533))
	}
	owner, err := d.OwnerOfNew()
	noError(t, err)
	if os.Geteuid() == 0 && (owner != want || !owner.Given()) || (Owner{}).Given() {
		t.Errorf("new files are for %+v, given %v", owner, owner.Given())
	}
	withUmask(0o777, func() {
		sub, err := d.MakeDir("dir", owner)
		noError(t, err)
		sub.Close()
		noError(t, MkdirAll(path+"/all/of/it", true))
		f, err := CreateFile(path + "/file")
		noError(t, err)
		noError(t, f.Close())
		noError(t, d.WriteFile("written", owner, []byte("x"), time.Time{}, true))
	})
	for name, perm := range map[string]uint32{"dir": 0o700, "all": 0o700, "all/of/it": 0o700, "file": 0o600, "written": 0o600} {
		want.Perm = perm
		if st, err := Lstat(path + "/" + name); err != nil || st.Owner != want {
			t.Errorf("%s: %+v, %v, want %+v", name, st.Owner, err, want)
		}
	}
	// What is there stays.
	if _, err := d.MakeDir("file", owner); !errors.Is(err, fs.ErrExist) {
		t.Errorf("MakeDir over a file: %v", err)
	}
	if _, err := d.Adopt("file", owner); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("Adopt of a file: %v", err)
	}
	for what, at := range map[string]struct {
		path string
		want error
	}{"CreateFile over a file": {path + "/file", fs.ErrExist}, "CreateFile in no directory": {path + "/none/f", fs.ErrNotExist}} {
		if _, err := CreateFile(at.path); !errors.Is(err, at.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := MkdirAll(path+"/file/below", true); !IsNotDir(err) {
		t.Errorf("MkdirAll below a file: %v", err)
	}
	if err := d.RemoveDir("all"); !IsNotEmpty(err) {
		t.Errorf("RemoveDir of what is not empty: %v", err)
	}
	names, err := d.Names()
	slices.Sort(names)
	if err != nil || !slices.Equal(names, []string{"all", "dir", "file", "written"}) {
		t.Errorf("it has %q, %v", names, err)
	}
}

// A user who is not root cannot give files away, and a group that it is not in gets no
// rights.
func TestGivenByAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: needs root, to become another user")
	}
	dir := t.TempDir()
	noError(t, os.Chown(dir, 65534, 65534))
	noError(t, os.Chmod(filepath.Dir(dir), 0o755))
	lay(t, dir+"/f", "")
	noError(t, os.Chown(dir+"/f", 65534, 65534))
	f, err := OpenFile(dir+"/f", os.O_RDWR)
	noError(t, err)
	defer f.Close()
	asNobody(t, func() {
		if err := (Owner{0o660, 65534, 65533}).set(int(f.Fd())); err != nil {
			t.Errorf("another group: %v", err)
		}
		if st, err := Stat(f); err != nil || st.Owner != (Owner{0o600, 65534, 65534}) {
			t.Errorf("another group: %+v, %v", st.Owner, err)
		}
		if err := (Owner{0o660, 1, 1}).set(int(f.Fd())); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "user 1") {
			t.Errorf("another user: %v", err)
		}
	})
}

// asNobody runs f on a thread that is another user's, and ends with its goroutine.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		// The thread keeps the user, so it is not unlocked: it ends here.
		runtime.LockOSThread()
		_, _, errno := syscall.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0)
		if errno == 0 {
			_, _, errno = syscall.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), 65534, ^uintptr(0))
		}
		if errno != 0 {
			done <- errno
			return
		}
		f()
		done <- nil
	}()
	noError(t, <-done)
}

// Errors of the system arrive.
func TestErrorsArrive(t *testing.T) {
	none := Dir{-1}
	list := func(_ any, err error) error { return err }
	for what, err := range map[string]error{
		"Entries": list(none.Entries(".")), "Names": list(none.Names()), "Sync": none.Sync(), "Unlock": none.Unlock(), "OwnerOfNew": func() error { _, err := none.ownerOfNew("x"); return err }(),
		"WriteFile": none.WriteFile("x", Owner{}, nil, time.Time{}, true),
	} {
		if !errors.Is(err, unix.EBADF) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := none.Create("x"); !errors.Is(err, unix.EBADF) {
		t.Errorf("Create: %v", err)
	}
	if err := (Owner{}).set(-1); !errors.Is(err, unix.EBADF) {
		t.Errorf("set: %v", err)
	}
	d, _ := root(t)
	if _, err := File(d).ReadAt(make([]byte, 1), 0); !errors.Is(err, unix.EISDIR) {
		t.Errorf("reading a directory: %v", err)
	}
	noError(t, d.Mkdir("temp"))
	if _, err := d.Publish("temp", "f", true, func(*os.File) error { return nil }); err == nil {
		t.Error("Publish replaces a directory")
	}
	if _, err := d.Publish("none/temp", "f", true, func(*os.File) error { return nil }); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Publish in no directory: %v", err)
	}
}
