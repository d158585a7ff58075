package osfs

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

const (
	scriptEnv = "OSFS_TEST_SCRIPT"
	holderEnv = "OSFS_TEST_HOLDER"
)

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
	if path := os.Getenv(holderEnv); path != "" {
		if err := hold(path); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// hold locks a file, says so, and ends with its input.
func hold(path string) error {
	f, err := OpenFile(path, os.O_RDWR)
	if err != nil {
		return err
	}
	if ok, err := TryLock(f, true); !ok || err != nil {
		return fmt.Errorf("lock: %v, %w", ok, err)
	}
	fmt.Print("!")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// Signals that interrupt calls, even every second one, have no effect.
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
			cmd := exec.Command(strace, "-f", "--seccomp-bpf", "-qq", "-o", log, "-e", "trace="+call, "-e", "inject="+call+":error=EINTR:when=12+2", os.Args[0])
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
