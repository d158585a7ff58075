package osfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
)

const scriptEnv = "OSFS_TEST_SCRIPT"

func init() {
	if os.Getenv(scriptEnv) != "" {
		runtime.LockOSThread() // strace counts calls by thread
	}
}

func TestMain(m *testing.M) {
	if path := os.Getenv(scriptEnv); path != "" {
		if err := script(path); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
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

// A signal that interrupts a call, be it each second one, is nobody's concern.
func TestInterruptedCallsAreMadeAgain(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("NOT TESTED: strace is not installed")
	}
	for _, call := range []string{
		"openat", "write", "fstat", "newfstatat", "pread64", "fsync", "fdatasync", "syncfs", "renameat", "renameat2", "unlinkat", "linkat", "mkdirat", "flock", "utimensat", "fstatfs",
	} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			log := t.TempDir() + "/strace"
			// The first calls are the loader's and the runtime's.
			cmd := exec.Command(strace, "-f", "-qq", "-o", log, "-e", "trace="+call, "-e", "inject="+call+":error=EINTR:when=12+2", os.Args[0])
			cmd.Env = append(os.Environ(), scriptEnv+"="+t.TempDir(), "GOCOVERDIR="+t.TempDir())
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
			if trace, err := os.ReadFile(log); err != nil || !strings.Contains(string(trace), "INJECTED") {
				t.Errorf("no call was interrupted: %v", err)
			}
		})
	}
}
