package jsonlstore_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// start runs a worker beside the test.
func start(t *testing.T, root, script, arg string) (wait func() []string) {
	t.Helper()
	cmd := worker(t, root, script, arg)
	var output bytes.Buffer
	cmd.Stdout = &output
	noError(t, cmd.Start())
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	return func() []string {
		t.Helper()
		noError(t, cmd.Wait())
		return outcome(output.Bytes())
	}
}

// Two processes append to one segment, and this one reads it meanwhile: every
// entry is whole, none is lost, and each writer's are in order.
func TestProcessesAppendToOneSegment(t *testing.T) {
	root := t.TempDir()
	var waits []func() []string
	for w := range 2 {
		waits = append(waits, start(t, root, "many", strconv.Itoa(w)))
	}
	s := open(t, root, nil)
	ctx, stop := context.WithCancel(t.Context())
	reader := make(chan error, 1)
	go func() {
		seen := 0
		for ctx.Err() == nil {
			if there, err := s.Exists(t.Context(), sessionA, segment1); err != nil || !there {
				continue
			}
			entries, errs := readAll(s.ReadAll(t.Context(), sessionA, segment1))
			if len(errs) > 0 || len(entries) < seen {
				reader <- fmt.Errorf("read %d entries after %d, errors %v", len(entries), seen, errs)
				return
			}
			seen = len(entries)
		}
		reader <- nil
	}()
	for _, wait := range waits {
		for i, r := range wait() {
			if r != "" {
				t.Errorf("append %d: %s", i, r)
			}
		}
	}
	stop()
	noError(t, <-reader)

	next := map[int]int{}
	for _, e := range read(t, root).entries {
		var at struct{ Writer, I int }
		noError(t, json.Unmarshal([]byte(e), &at))
		if want := fmt.Sprintf(`{"writer":%d,"i":%d,"pad":"%0*d"}`, at.Writer, at.I, at.I*101%900, 0); e != want || at.I != next[at.Writer] {
			t.Fatalf("entry %d of writer %d is %q", next[at.Writer], at.Writer, e)
		}
		next[at.Writer]++
	}
	if next[0] != manyEntries || next[1] != manyEntries {
		t.Fatalf("entries by writer: %v, want %d each", next, manyEntries)
	}
}

// One process cuts and replaces the segment while another appends to it: what
// was appended after a change is there after it.
func TestProcessReplacesWhatAnotherAppendsTo(t *testing.T) {
	root := t.TempDir()
	s := open(t, root, nil)
	noError(t, s.CreateSegment(t.Context(), sessionA, segment1, raws(`{"first":1}`)))
	marks := start(t, root, "marks", "")
	many := start(t, root, "many", "0")
	for _, wait := range []func() []string{many, marks} {
		results := wait()
		if len(results) == 0 || strings.Join(results, "") != "" {
			t.Errorf("reported %q", results)
		}
	}
	read(t, root)
}

// A process that hangs while it holds the lock blocks nobody for ever: the
// context ends the wait, and the end of the process frees the lock.
func TestProcessHangsWithLock(t *testing.T) {
	root := t.TempDir()
	s := open(t, root, nil)
	path := logPath(root, sessionA, segment1)
	noError(t, s.Append(t.Context(), sessionA, segment1, raw(`{"n":0}`)))
	cmd := worker(t, root, "hold", "")
	stdin, err := cmd.StdinPipe()
	noError(t, err)
	stdout, err := cmd.StdoutPipe()
	noError(t, err)
	noError(t, cmd.Start())
	defer cmd.Wait()
	defer stdin.Close()
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "ok\n" {
		t.Fatalf("the worker reported %q, %v", line, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 2)
	go func() { result <- s.Append(ctx, sessionA, segment1, raw(`{"n":1}`)) }()
	go func() { _, err := s.EntryCount(ctx, sessionA, segment1); result <- err }()
	waitUntilOpen(t, path, 1)
	cancel()
	matches(t, <-result, context.Canceled)
	matches(t, <-result, context.Canceled)
	go func() { result <- s.Append(t.Context(), sessionA, segment1, raw(`{"n":1}`)) }()
	waitUntilOpen(t, path, 1)
	noError(t, cmd.Process.Kill())
	noError(t, <-result)
	holds(t, s, sessionA, segment1, `{"n":0}`, `{"n":1}`)
}

// Nobody adds to a new file before its name is on the disk: what was added
// would be lost with the name.
func TestNewFileIsLockedUntilItsNameIsSynced(t *testing.T) {
	root := t.TempDir()
	path := logPath(root, sessionA, segment1)
	// The fourth fsync is that of the session's directory, after those of what the root
	// is in, of the root and of the file.
	cmd := worker(t, root, "appends", "", "-o", os.DevNull, "-e", "trace=fsync", "-e", "inject=fsync:delay_enter=600000000:when=4")
	noError(t, cmd.Start())
	defer func() {
		pid := strconv.Itoa(cmd.Process.Pid)
		children, err := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
		noError(t, err)
		child, err := strconv.Atoi(strings.TrimSpace(string(children)))
		noError(t, err)
		noError(t, syscall.Kill(child, syscall.SIGKILL))
		noError(t, cmd.Process.Kill()) // strace itself would sleep on
		cmd.Wait()
	}()
	for deadline := time.Now().Add(30 * time.Second); ; runtime.Gosched() {
		if _, err := os.Stat(path); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the worker made no file")
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- open(t, root, nil).Append(ctx, sessionA, segment1, raw(`{"n":1}`)) }()
	waitUntilOpen(t, path, 1)
	cancel()
	matches(t, <-result, context.Canceled)
	contentIs(t, path, entryN(0)+"\n")
}
