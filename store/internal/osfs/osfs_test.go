package osfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"podstore/store"
)

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func root(t testing.TB) (Dir, string) {
	t.Helper()
	path := t.TempDir()
	d, err := OpenRoot(path)
	noError(t, err)
	t.Cleanup(d.Close)
	return d, path
}

func lay(t testing.TB, path, content string) {
	t.Helper()
	noError(t, os.WriteFile(path, []byte(content), 0o600))
}

// Nothing follows, or waits for, what stands in the place of a file or a directory. The
// error says what it is.
func TestFollowsAndWaitsForNothing(t *testing.T) {
	outside := t.TempDir()
	lay(t, filepath.Join(outside, "file"), "secret")
	for name, c := range map[string]struct {
		place      func(path string) error
		file, sub_ string // the text of the error, or ""
	}{
		"a file":                 {func(p string) error { return os.WriteFile(p, nil, 0o600) }, "", "is a file; expected a directory"},
		"a directory":            {func(p string) error { return os.Mkdir(p, 0o700) }, "is a directory; expected a regular file", ""},
		"a link to a file":       {func(p string) error { return os.Symlink(outside+"/file", p) }, "is a symbolic link, which is not followed; put a regular file", "link, which is not followed; put a directory"},
		"a link to a directory":  {func(p string) error { return os.Symlink(outside, p) }, "symbolic link", "symbolic link"},
		"a link to what is here": {func(p string) error { return os.Symlink("file", p) }, "symbolic link", "symbolic link"},
		"a dangling link":        {func(p string) error { return os.Symlink("none", p) }, "symbolic link", "symbolic link"},
		"a pipe":                 {func(p string) error { return unix.Mkfifo(p, 0o600) }, "is a named pipe; expected a regular file", "is a named pipe"},
		"a socket":               {func(p string) error { return unix.Mknod(p, unix.S_IFSOCK|0o600, 0) }, "is a socket", "is a socket"},
	} {
		t.Run(name, func(t *testing.T) {
			d, path := root(t)
			lay(t, filepath.Join(path, "file"), "here")
			at := filepath.Join(path, "x")
			noError(t, c.place(at))
			check := func(what, want string, err error) {
				t.Helper()
				var other *NotA
				switch {
				case want == "" && err != nil, want != "" && err == nil:
					t.Errorf("%s: the error is %v", what, err)
				case err != nil && (!errors.As(err, &other) || !errors.Is(err, store.ErrInvalid) || Kind(err) != store.ErrInvalid || !strings.Contains(err.Error(), want)):
					t.Errorf("%s: %v does not say %q", what, err, want)
				}
			}
			for _, flags := range []int{os.O_RDONLY, os.O_RDWR | os.O_APPEND} {
				f, err := d.OpenFile("x", flags)
				check("OpenFile", c.file, err)
				f.Close()
				f, err = OpenFile(at, flags)
				check("OpenFile of a path", c.file, err)
				f.Close()
			}
			sub, err := d.Sub("x")
			check("Sub", c.sub_, err)
			if err == nil {
				sub.Close()
			}
			sub, err = OpenDir(at)
			check("OpenDir", c.sub_, err)
			if err == nil {
				sub.Close()
			}
			// Open itself does not check the type of what it opened.
			if f, err := d.Open("x"); err == nil {
				st, err := f.Stat()
				if noError(t, err); st.Mode.IsRegular() != (c.file == "") {
					t.Errorf("Open gave a %v", st.Mode)
				}
				f.Close()
			}
			if _, err := d.Create("x"); !errors.Is(err, fs.ErrExist) {
				t.Errorf("Create: %v", err)
			}
		})
	}
	d, path := root(t)
	for _, err := range []error{second(d.Sub("none")), second(d.Open("none")), second(d.OpenFile("none", 0)), second(OpenDir(path + "/none")), second(OpenRoot(path + "/none"))} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("of what is not there: %v", err)
		}
	}
	// A root may be a link.
	noError(t, os.Symlink(outside, path+"/link"))
	linked, err := OpenRoot(path + "/link")
	noError(t, err)
	linked.Close()
}

func second[T any](_ T, err error) error { return err }

// The new file is there as a whole or not at all, and nothing else is left.
func TestPublish(t *testing.T) {
	d, path := root(t)
	files := func() string {
		names, err := d.Names()
		noError(t, err)
		slices.Sort(names)
		var all []string
		for _, name := range names {
			content, err := os.ReadFile(filepath.Join(path, name))
			noError(t, err)
			all = append(all, name+"="+string(content))
		}
		return strings.Join(all, " ")
	}
	text := func(s string) func(*os.File) error {
		return func(f *os.File) error { return second(io.WriteString(f, s)) }
	}
	publish := func(replace bool, write func(*os.File) error) error {
		f, err := d.Publish(".tmp", "x", replace, write)
		if err == nil {
			err = f.Close()
		}
		return err
	}
	noError(t, publish(false, text("one")))
	if got := files(); got != "x=one" {
		t.Fatal(got)
	}
	if err := publish(false, text("two")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("what was there was not kept: %v", err)
	}
	broken := errors.New("broken")
	if err := publish(true, func(f *os.File) error { _ = text("half")(f); return broken }); err != broken {
		t.Errorf("the error is %v", err)
	}
	if got := files(); got != "x=one" {
		t.Fatalf("after failures there are %q", got)
	}
	lay(t, path+"/.tmp", "left by a crash, and longer")
	noError(t, publish(true, text("three")))
	if got := files(); got != "x=three" {
		t.Fatal(got)
	}
	if info, err := os.Stat(path + "/x"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the mode is %v, %v", info.Mode(), err)
	}
	noError(t, d.Sync())
}

func TestRenameNew(t *testing.T) {
	d, path := root(t)
	for what, rename := range map[string]func(from, to string) error{
		"in a directory": d.RenameNew,
		"along a path":   func(from, to string) error { return RenameNew(path+"/"+from, path+"/"+to) },
		"by a link":      func(from, to string) error { return linkNew(d.fd, from, to) },
	} {
		lay(t, path+"/a", "a")
		lay(t, path+"/b", "b")
		if err := rename("a", "b"); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: in the place of another file: %v", what, err)
		}
		noError(t, rename("a", "c"))
		content, err := os.ReadFile(path + "/c")
		if names, nameErr := d.Names(); err != nil || nameErr != nil || string(content) != "a" || len(names) != 2 {
			t.Errorf("%s: %q, %v; %v, %v", what, content, err, names, nameErr)
		}
		noError(t, d.Remove("c"))
		if err := rename("none", "c"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: of what is not there: %v", what, err)
		}
	}
	noError(t, d.Mkdir("from"))
	noError(t, d.Mkdir("to"))
	if err := d.RenameNew("from", "to"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("in the place of an empty directory: %v", err)
	}
	noError(t, d.RenameNew("from", "new"))
}

func TestMkdirAll(t *testing.T) {
	_, path := root(t)
	defer unix.Umask(unix.Umask(0))
	for _, durable := range []bool{true, false} {
		at := filepath.Join(path, map[bool]string{true: "durable", false: "not"}[durable], "a", "b")
		for range 2 { // the second time it is there
			noError(t, MkdirAll(at, durable))
		}
		for dir := at; dir != path; dir = filepath.Dir(dir) {
			if info, err := os.Stat(dir); err != nil || info.Mode() != fs.ModeDir|0o700 {
				t.Errorf("%s is %v, %v", dir, info, err)
			}
		}
	}
	// The system goes through a link before it goes up.
	noError(t, os.Symlink("durable/a", path+"/link"))
	noError(t, MkdirAll(path+"/link/../c/./d//", true))
	if _, err := os.Stat(path + "/durable/c/d"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path + "/c"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("beside the link there is something: %v", err)
	}
	t.Chdir(path)
	noError(t, MkdirAll("e/f", true))
	noError(t, MkdirAll("/", true))
	lay(t, path+"/file", "")
	if err := MkdirAll(path+"/file/a", true); !IsNotDir(err) {
		t.Errorf("below a file: %v", err)
	}
}

// A lock belongs to the open file: a second one waits, no longer than its context.
func TestLocks(t *testing.T) {
	d, path := root(t)
	lay(t, path+"/x", "")
	openFile := func() *os.File {
		f, err := d.OpenFile("x", os.O_RDWR)
		noError(t, err)
		t.Cleanup(func() { f.Close() })
		return f
	}
	held, other := openFile(), openFile()
	noError(t, Lock(t.Context(), held, true))
	for _, exclusive := range []bool{true, false} {
		if ok, err := TryLock(other, exclusive); ok || err != nil {
			t.Errorf("beside an exclusive lock: %v, %v", ok, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if err := Lock(ctx, other, exclusive); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after the deadline: %v", err)
		}
		cancel()
	}
	result := make(chan error)
	go func() { result <- Lock(t.Context(), other, true) }()
	noError(t, Unlock(held))
	noError(t, <-result)
	noError(t, other.Close())
	noError(t, Lock(t.Context(), held, false))
	if ok, err := TryLock(openFile(), false); !ok || err != nil {
		t.Errorf("two shared locks: %v, %v", ok, err)
	}

	again, err := OpenRoot(path)
	noError(t, err)
	defer again.Close()
	noError(t, d.Lock(t.Context()))
	if ok, err := again.TryLock(); ok || err != nil {
		t.Errorf("a directory that is locked: %v, %v", ok, err)
	}
	noError(t, d.Unlock())
	if ok, err := again.TryLock(); !ok || err != nil {
		t.Errorf("a directory that was unlocked: %v, %v", ok, err)
	}
}

func TestIsAt(t *testing.T) {
	d, path := root(t)
	lay(t, path+"/x", "12345")
	f, err := d.OpenFile("x", os.O_RDONLY)
	noError(t, err)
	defer f.Close()
	st, err := Stat(f)
	noError(t, err)
	if again, err := Lstat(path + "/x"); err != nil || !st.Same(again) || st.Size != 5 {
		t.Errorf("%+v and %+v, %v", st, again, err)
	}
	is := func(path string, want bool) {
		t.Helper()
		if at, err := IsAt(path, st.ID); at != want || err != nil {
			t.Errorf("%s: %v, %v", path, at, err)
		}
	}
	is(path+"/x", true)
	is(path+"/none", false)
	is(path+"/x/below", false)
	noError(t, os.Symlink("x", path+"/link"))
	is(path+"/link", false)
	noError(t, os.Rename(path+"/x", path+"/moved"))
	is(path+"/moved", true)
	lay(t, path+"/x", "12345")
	is(path+"/x", false)
}

func TestKinds(t *testing.T) {
	for err, want := range map[error]error{
		unix.ENOSPC: store.ErrNoSpace, unix.EDQUOT: store.ErrNoSpace, &os.PathError{Err: unix.ENOSPC}: store.ErrNoSpace,
		unix.EROFS: store.ErrReadOnly, unix.ENOENT: nil, unix.EIO: nil, unix.EACCES: nil,
	} {
		if got := Kind(err); got != want {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
		whole := want != nil || err == unix.EIO
		if IsWhole(err) != whole {
			t.Errorf("%v: concerns all: %v", err, !whole)
		}
	}
}

// script makes every call of the package often.
func script(path string) error {
	var errs []error
	do := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}
	do("MkdirAll", MkdirAll(path+"/a/b", true))
	root, err := OpenRoot(path + "/a")
	do("OpenRoot", err)
	d, err := root.Sub("b")
	do("Sub", err)
	for i := range 20 {
		name := fmt.Sprint("x", i)
		f, err := d.Publish(".tmp", name, i == 0, func(f *os.File) error { return second(io.WriteString(f, "text")) })
		do("Publish", err)
		do("Datasync", Datasync(f))
		do("Lock", Lock(context.Background(), f, true))
		do("Unlock", Unlock(f))
		do("Stat", second(Stat(f)))
		do("Close", f.Close())
		do("WriteFile", d.WriteFile("v", Owner{0o600, asCreated, asCreated}, []byte("text"), time.Unix(1e9, 0), true))
		if info, err := os.Stat(path + "/a/b/v"); err != nil || info.Size() != 4 || info.ModTime().Unix() != 1e9 {
			do("what WriteFile wrote", fmt.Errorf("%v, %v", info, err))
		}
		do("Remove", d.Remove("v"))
		r, err := d.Open(name)
		do("Open", err)
		do("ReadAt", second(r.ReadAt(make([]byte, 4), 0)))
		do("File.Sync", r.Sync())
		do("File.Stat", second(r.Stat()))
		r.Close()
		do("Names", second(d.Names()))
		do("Entries", second(d.Entries(path+"/a/b")))
		do("Dir.Stat", second(d.Stat(name)))
		do("IsAt", second(IsAt(path+"/a/b/"+name, ID{})))
		do("Mkdir", d.Mkdir("sub"))
		do("RemoveDir", d.RemoveDir("sub"))
		do("Dir.Lock", d.Lock(context.Background()))
		do("Dir.Unlock", d.Unlock())
		do("Sync", d.Sync())
		do("Rename", d.Rename(name, "y"))
		do("RenameNew", d.RenameNew("y", "z"))
		do("linkNew", linkNew(d.fd, "z", "w"))
		do("Remove", d.Remove("w"))
		d.CanSyncAll()
		do("SyncAll", d.SyncAll())
	}
	return errors.Join(errs...)
}

func TestEveryCall(t *testing.T) {
	path := t.TempDir()
	noError(t, script(path))
	info, err := os.Stat(path + "/a/b")
	noError(t, err)
	names, err := os.ReadDir(path + "/a/b")
	if noError(t, err); len(names) > 0 || !info.IsDir() {
		t.Errorf("left are %v", names)
	}
}
