package jsonexport

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"podstore/store/boltstore"
)

// Some tests need another process: one that is killed, that has fewer rights, or
// that writes meanwhile. It is this test binary, told by the environment what to
// do.

const childVariable = "PODSTORE_TEST_CHILD"

// childJob is what the child does.
type childJob struct {
	Do      string        // "export", "import", "read", "read-often" or "rewrite"
	From    string        // a directory
	To      string        // a directory, or the file of a bbolt store
	SyncAll bool          // of export
	Times   int           // of read-often
	Naive   bool          // of read-often
	Pause   time.Duration // of rewrite
}

func TestMain(m *testing.M) {
	if job := os.Getenv(childVariable); job != "" {
		if err := child(job); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// childResult is a Result that survives JSON.
type childResult struct {
	Pod     string
	Outcome Outcome
	Reason  string
}

// child does a job and prints the results, one JSON object a line.
func child(job string) error {
	var j childJob
	if err := json.Unmarshal([]byte(job), &j); err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	var printErr error
	progress := func(r Result, _, _ int) {
		c := childResult{Pod: r.Pod, Outcome: r.Outcome}
		if r.Err != nil {
			c.Reason = r.Err.Error()
		}
		printErr = errors.Join(printErr, out.Encode(c))
	}
	switch j.Do {
	case "export":
		forceSyncAll(j.SyncAll)
		src, err := OpenDir(j.From, &DirOptions{ReadOnly: true})
		if err != nil {
			return err
		}
		_, err = Export(context.Background(), src, j.To, ExportOptions{Prune: true, Progress: progress})
		return errors.Join(err, printErr)
	case "import":
		dst, err := boltstore.Open(j.To, nil)
		if err != nil {
			return err
		}
		_, err = Import(context.Background(), dst, j.From, ImportOptions{Overwrite: true, Progress: progress})
		return errors.Join(err, printErr, dst.Close())
	case "read":
		d, err := OpenDir(j.From, &DirOptions{ReadOnly: true})
		if err != nil {
			return err
		}
		_, err = Import(context.Background(), d, j.From, ImportOptions{DryRun: true, Progress: progress})
		return errors.Join(err, printErr)
	case "read-often":
		whole, refused, mixed, err := readOften(j.From, j.Times, j.Naive)
		return errors.Join(err, out.Encode(childResult{Pod: "pod", Reason: fmt.Sprintf("%d whole, %d refused, %d mixed", whole, refused, mixed)}))
	case "rewrite":
		return rewrite(j.To, j.Pause)
	}
	return fmt.Errorf("unknown job %q", j.Do)
}

// command is a child that is not started yet, below a wrapper such as strace.
func command(t testing.TB, j childJob, wrapper ...string) *exec.Cmd {
	t.Helper()
	job, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	args := append(wrapper, "/proc/self/exe")
	if len(wrapper) > 0 {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		args[len(args)-1] = self
	}
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Env = append(os.Environ(), childVariable+"="+string(job), "GOCOVERDIR="+t.TempDir())
	return cmd
}

// results runs a child and returns what it printed. The error is that of the
// child, with what it said.
func results(t testing.TB, cmd *exec.Cmd) (map[string]childResult, error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, stderr.String())
	}
	got := map[string]childResult{}
	for d := json.NewDecoder(&stdout); d.More(); {
		var r childResult
		if err := d.Decode(&r); err != nil {
			break // the last line of a child that was killed
		}
		got[r.Pod] = r
	}
	return got, err
}

// strace returns the wrapper that makes one system call of the child fail or
// kill it, or skips the test.
func strace(t testing.TB, call, what string, n int) []string {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("needs strace")
	}
	args := []string{path, "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + call, "-e", fmt.Sprintf("inject=%s:%s:when=%d", call, what, n)}
	if !strings.HasPrefix(what, "signal") {
		args = append(args, "--seccomp-bpf") // faster, but it would ignore an injected signal
	}
	return args
}

// killed reports whether a child was killed, and fails the test for any other
// failure.
func killed(t testing.TB, err error) bool {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return false
	case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL:
		return true
	}
	t.Fatal(err)
	return false
}
