package jsonlstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"podstore/store"
	"podstore/store/jsonlstore"
)

// The test binary is also the process that is killed, or whose system calls
// fail: started with this variable it runs a script and reports each step.
const workerEnv = "JSONLSTORE_TEST_WORKER"

func init() {
	if os.Getenv(workerEnv) != "" {
		// strace counts calls by thread. In init this is the main one.
		runtime.LockOSThread()
	}
}

func TestMain(m *testing.M) {
	if job := os.Getenv(workerEnv); job != "" {
		work(strings.Split(job, "\n"))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// work is the worker: root, script, and the script's argument.
func work(job []string) {
	signal.Ignore(syscall.SIGXFSZ)
	opts := &jsonlstore.Options{}
	if job[2] == "never" {
		opts.Sync = jsonlstore.SyncNever
	}
	s, err := jsonlstore.Open(job[0], opts)
	if err != nil {
		report("open: %v", err)
		os.Exit(1)
	}
	for _, st := range scripts[job[1]](job[2]) {
		if err := st.do(s, job[0]); err != nil {
			report("err %v", err)
		} else {
			report("ok")
		}
	}
}

// report writes one line in one call that no other part of a worker makes.
func report(format string, args ...any) {
	line := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " ") + "\n"
	unix.Writev(1, [][]byte{[]byte(line)})
}

// worker is the command of a worker, run by strace if there are arguments for it.
func worker(t testing.TB, root, script, arg string, strace ...string) *exec.Cmd {
	t.Helper()
	argv := []string{os.Args[0]}
	if len(strace) > 0 {
		path, err := exec.LookPath("strace")
		if err != nil {
			t.Skip("NOT TESTED: strace is not installed")
		}
		if !strings.Contains(strings.Join(strace, " "), "signal=") {
			strace = append(strace, "--seccomp-bpf") // faster, but it would ignore an injected signal
		}
		argv = slices.Concat([]string{path, "-f", "-qq"}, strace, argv)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), workerEnv+"="+root+"\n"+script+"\n"+arg, "GOCOVERDIR="+t.TempDir())
	return cmd
}

// contents is what the one segment of the scripts holds.
type contents struct {
	exists          bool
	entries, traces []string
}

func (c contents) equal(o contents) bool {
	return c.exists == o.exists && slices.Equal(c.entries, o.entries) && slices.Equal(c.traces, o.traces)
}

// step is one operation of a script and what it makes of the contents. Where
// undone says so, it leaves the contents alone when it fails; otherwise it may
// have happened all the same, as a whole.
type step struct {
	do     func(s *jsonlstore.Store, root string) error
	apply  func(c contents) contents
	undone func(c contents) bool
}

func never(contents) bool { return false }

func appendStep(entry string) step {
	return step{
		do: func(s *jsonlstore.Store, _ string) error {
			return s.Append(context.Background(), sessionA, segment1, raw(entry))
		},
		apply: func(c contents) contents {
			return contents{true, append(slices.Clip(c.entries), entry), c.traces}
		},
		undone: func(c contents) bool { return c.exists },
	}
}

func traceStep(entry string) step {
	return step{
		do: func(s *jsonlstore.Store, _ string) error {
			return s.AppendTrace(context.Background(), sessionA, segment1, raw(entry))
		},
		apply:  func(c contents) contents { return contents{c.exists, c.entries, append(slices.Clip(c.traces), entry)} },
		undone: func(c contents) bool { return len(c.traces) > 0 },
	}
}

func createStep(entries ...string) step {
	return step{
		do: func(s *jsonlstore.Store, _ string) error {
			return s.CreateSegment(context.Background(), sessionA, segment1, raws(entries...))
		},
		apply:  func(c contents) contents { return contents{true, entries, c.traces} },
		undone: never,
	}
}

func deleteStep() step {
	return step{
		do:     func(s *jsonlstore.Store, _ string) error { return s.DeleteSession(context.Background(), sessionA) },
		apply:  func(contents) contents { return contents{} },
		undone: never,
	}
}

func truncateStep(keep int) step {
	return step{
		do: func(s *jsonlstore.Store, _ string) error {
			return s.Truncate(context.Background(), sessionA, segment1, keep)
		},
		apply:  func(c contents) contents { return contents{true, c.entries[:min(keep, len(c.entries))], c.traces} },
		undone: never,
	}
}

// shortStep appends where the file may grow by n bytes only, so that a part of
// the line is written before the write fails.
func shortStep(entry string, n int64) step {
	return step{
		do: func(s *jsonlstore.Store, root string) error {
			var old unix.Rlimit
			if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
				return err
			}
			info, err := os.Stat(logPath(root, sessionA, segment1))
			if err != nil {
				return err
			}
			if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: uint64(info.Size() + n), Max: old.Max}); err != nil {
				return err
			}
			defer unix.Setrlimit(unix.RLIMIT_FSIZE, &old)
			return s.Append(context.Background(), sessionA, segment1, raw(entry))
		},
		apply:  func(c contents) contents { return c },
		undone: never,
	}
}

func entryN(n int) string {
	return fmt.Sprintf(`{"n":%d,"pad":"%s"}`, n, strings.Repeat("é", n*7%40))
}

var scripts = map[string]func(arg string) []step{
	// mixed has every operation that changes something, and lines that were cut.
	"mixed": func(string) []step {
		return []step{
			appendStep(entryN(0)), appendStep(entryN(1)),
			shortStep(entryN(2), 9), appendStep(entryN(3)),
			traceStep(`{"t":0}`), traceStep(`{"t":1}`),
			truncateStep(2), appendStep(entryN(4)),
			createStep(entryN(5), entryN(6)), appendStep(entryN(7)),
			shortStep(entryN(8), 1), truncateStep(0), appendStep(entryN(9)),
			deleteStep(), appendStep(entryN(10)),
		}
	},
	"appends": func(string) []step {
		var steps []step
		for n := range 8 {
			steps = append(steps, appendStep(entryN(n)))
		}
		return steps
	},
	// rounds goes on for longer than anybody looks.
	"rounds": func(string) []step {
		var steps []step
		for n := range 3000 {
			st := appendStep(entryN(n))
			switch n % 23 {
			case 7:
				st = traceStep(entryN(n))
			case 13:
				st = truncateStep(5)
			case 22:
				st = createStep(entryN(n), entryN(n+1))
			case 3, 17:
				st = deleteStep()
			}
			steps = append(steps, st)
		}
		return steps
	},
	// many appends entries that name their writer.
	"many": func(writer string) []step {
		var steps []step
		for n := range manyEntries {
			steps = append(steps, appendStep(fmt.Sprintf(`{"writer":%s,"i":%d,"pad":"%0*d"}`, writer, n, n*101%900, 0)))
		}
		return steps
	},
	// marks replaces the segment all the time and checks after each change that
	// what it appended then is there, whatever others append.
	"marks": func(string) []step {
		var steps []step
		for n := range 60 {
			change := truncateStep(1)
			if n%2 == 1 {
				change = createStep(`{"first":1}`)
			}
			mark := `{"mark":` + strconv.Itoa(n) + `}`
			steps = append(steps, step{do: func(s *jsonlstore.Store, root string) error {
				if err := change.do(s, root); err != nil {
					return err
				}
				if err := appendStep(mark).do(s, root); err != nil {
					return err
				}
				entries, errs := readAll(s.ReadAll(context.Background(), sessionA, segment1))
				if len(errs) > 0 || !slices.Contains(entries, mark) {
					return fmt.Errorf("%s is not among %d entries, errors %v", mark, len(entries), errs)
				}
				return nil
			}})
		}
		return steps
	},
}

const manyEntries = 200

func init() {
	// follow yields one entry and then waits until its standard input ends.
	scripts["follow"] = func(string) []step {
		return []step{{do: func(s *jsonlstore.Store, _ string) error {
			ctx, cancel := context.WithCancel(context.Background())
			go func() {
				io.Copy(io.Discard, os.Stdin)
				cancel()
			}()
			for _, err := range s.Follow(ctx, sessionA, segment1, 0) {
				if err == nil {
					report("ok")
				} else if !errors.Is(err, context.Canceled) {
					return err
				}
			}
			return nil
		}}}
	}
	// hold takes the segment's lock, says so and hangs until it is killed or its
	// standard input ends.
	scripts["hold"] = func(string) []step {
		var f *os.File
		return []step{{do: func(_ *jsonlstore.Store, root string) (err error) {
			if f, err = os.Open(logPath(root, sessionA, segment1)); err != nil {
				return err
			}
			return unix.Flock(int(f.Fd()), unix.LOCK_EX)
		}}, {do: func(*jsonlstore.Store, string) error {
			defer f.Close()
			_, err := io.Copy(io.Discard, os.Stdin)
			return err
		}}}
	}
}

// outcome is what a worker reported: for each step that ended, its error or "".
func outcome(output []byte) (results []string) {
	for line := range strings.Lines(string(output)) {
		if msg, ok := strings.CutPrefix(line, "err "); ok {
			results = append(results, strings.TrimSpace(msg))
		} else if line == "ok\n" {
			results = append(results, "")
		}
	}
	return results
}

// read gives what is on the disk, and fails on anything but whole entries.
func read(t testing.TB, root string) contents {
	t.Helper()
	s := open(t, root, &jsonlstore.Options{ReadOnly: true})
	var c contents
	var err error
	if c.exists, err = s.Exists(t.Context(), sessionA, segment1); err != nil {
		t.Fatal(err)
	}
	var errs []error
	if c.exists {
		if c.entries, errs = readAll(s.ReadAll(t.Context(), sessionA, segment1)); len(errs) > 0 {
			t.Fatalf("%v", errs)
		}
	}
	for entry, err := range s.ReadTraces(t.Context(), sessionA, segment1) {
		if err == nil {
			c.traces = append(c.traces, string(entry))
		} else if !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
	}
	return c
}

// goesOn checks that the segment takes entries and keeps the others, and that it
// can be deleted, with what was left of earlier deletions.
func goesOn(t testing.TB, root string) {
	t.Helper()
	before := read(t, root)
	s := open(t, root, nil)
	noError(t, s.Append(t.Context(), sessionA, segment1, json.RawMessage(`{"after":1}`)))
	if after := read(t, root); !slices.Equal(after.entries, append(slices.Clip(before.entries), `{"after":1}`)) {
		t.Fatalf("after one more append the entries are %q, were %q", after.entries, before.entries)
	}
	content, err := os.ReadFile(logPath(root, sessionA, segment1))
	noError(t, err)
	if !strings.HasSuffix(string(content), "\n{\"after\":1}\n") && string(content) != "{\"after\":1}\n" {
		t.Fatalf("the file ends in %.100q", content)
	}
	noError(t, s.DeleteSession(t.Context(), sessionA))
	if left, err := os.ReadDir(root); err != nil || len(left) > 0 {
		t.Fatalf("after the deletion there are %v, %v", left, err)
	}
}
