package jsonlstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// changes are the system calls by which a store changes anything, and those
// between which another process might come.
var changes = []string{
	"write", "fdatasync", "fsync", "ftruncate", "renameat", "unlinkat", "mkdirat", "openat", "flock", "copy_file_range",
}

// faults runs a script once for each call of one kind that it makes, with a
// fault at that call, until there are no more. The fault's text has %d in place
// of the number. It returns how many runs there were.
func faults(t *testing.T, script, call, fault string, check func(t *testing.T, root string, cmd *exec.Cmd, output []byte)) int {
	if raceDetector {
		t.Skip("NOT TESTED: a worker is one thread, so the race detector would only make this slow")
	}
	step := 1
	if testing.Short() {
		step = 11
	}
	for n := 1; ; n += step {
		if n > 1000 {
			t.Fatalf("%s: no end of calls", call)
		}
		root := t.TempDir()
		log := t.TempDir() + "/strace"
		cmd := worker(t, root, script, "",
			"-o", log, "-e", "trace="+call, "-e", "inject="+call+":"+fmt.Sprintf(fault, n))
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		output, err := cmd.Output()
		trace, readErr := os.ReadFile(log)
		noError(t, readErr)
		injected := bytes.Contains(trace, []byte("(INJECTED)")) || bytes.Contains(trace, []byte("+++ killed by SIGKILL +++"))
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if !injected {
			if err != nil {
				t.Fatalf("%s %d, without a fault: %v: %s", call, n, err, stderr.Bytes())
			}
			return n - 1
		}
		ok := t.Run(fmt.Sprintf("%s %d", call, n), func(t *testing.T) { check(t, root, cmd, output) })
		if !ok {
			t.Logf("the worker reported %q; calls:\n%s", output, lastLines(trace, 20))
			return n
		}
	}
}

func lastLines(b []byte, n int) []byte {
	lines := bytes.SplitAfter(b, []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-n):], nil)
}

// Killed at every call, the segment holds what was acknowledged, and at most
// the one change that was under way besides.
func TestKilledAtEveryCall(t *testing.T) {
	steps := scripts["mixed"]("")
	var runs atomic.Int64
	t.Run("calls", func(t *testing.T) {
		for _, call := range changes {
			t.Run(call, func(t *testing.T) {
				t.Parallel()
				runs.Add(int64(faults(t, "mixed", call, "signal=KILL:when=%d", func(t *testing.T, root string, cmd *exec.Cmd, output []byte) {
					if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGKILL {
						t.Fatalf("the worker was not killed: %v", cmd.ProcessState)
					}
					results := outcome(output)
					want := contents{}
					for i, r := range results {
						if short := i == 2 || i == 10; short == (r == "") {
							t.Fatalf("step %d reported %q", i, r)
						}
						want = steps[i].apply(want)
					}
					got := read(t, root)
					if len(results) < len(steps) && !got.equal(want) {
						want = steps[len(results)].apply(want)
					}
					if !got.equal(want) {
						t.Fatalf("after %d steps: got %+v, want %+v", len(results), got, want)
					}
					goesOn(t, root)
				})))
			})
		}
	})
	t.Logf("killed %d times", runs.Load())
	if !t.Failed() && !raceDetector && !testing.Short() && runs.Load() < 80 {
		t.Errorf("only %d calls were found", runs.Load())
	}
}

// A call that fails is reported by the operation that made it. An append that
// failed has left nothing; another change has happened as a whole or not.
func TestErrorAtEveryCall(t *testing.T) {
	steps := scripts["mixed"]("")
	var runs atomic.Int64
	t.Run("calls", func(t *testing.T) {
		for _, call := range changes {
			errno := "EIO"
			if slices.Contains([]string{"write", "openat", "mkdirat", "renameat"}, call) {
				errno = "ENOSPC"
			}
			t.Run(call, func(t *testing.T) {
				t.Parallel()
				runs.Add(int64(faults(t, "mixed", call, "error="+errno+":when=%d", func(t *testing.T, root string, cmd *exec.Cmd, output []byte) {
					possible := []contents{{}}
					failed := 0
					for i, r := range outcome(output) {
						if r != "" && i != 2 && i != 10 {
							failed++
						}
						if r != "" && errno == "ENOSPC" && i != 2 && i != 10 && !strings.Contains(r, "no space left") {
							t.Errorf("step %d: %q is not about space", i, r)
						}
						for k, c := range possible {
							applied := steps[i].apply(c)
							switch {
							case r == "":
								possible[k] = applied
							case !steps[i].undone(c):
								possible = append(possible, applied)
							}
						}
					}
					if failed > 1 {
						t.Errorf("%d steps failed from one fault", failed)
					}
					got := read(t, root)
					if !slices.ContainsFunc(possible, got.equal) {
						t.Errorf("got %+v, want one of %+v", got, possible)
					}
					goesOn(t, root)
				})))
			})
		}
	})
	t.Logf("%d faults", runs.Load())
	if !t.Failed() && !raceDetector && !testing.Short() && runs.Load() < 80 {
		t.Errorf("only %d calls were found", runs.Load())
	}
}

// While a failed append cannot be taken back, the segment takes no entries.
// What the errors say of it is part of the test.
func TestUndoingFails(t *testing.T) {
	for _, c := range []struct {
		name, cut string
		want      []string // part of each step's error, "" for success
	}{
		{"for good", "ftruncate:error=EIO:when=1+", []string{"", "", "undoing it failed too", "still cannot", "still cannot", "still cannot", "still cannot", "still cannot"}},
		{"for a while", "ftruncate:error=EIO:when=1..3", []string{"", "", "undoing it failed too", "still cannot", "still cannot", "", "", ""}},
		{"once", "ftruncate:error=EIO:when=1", []string{"", "", "undoing it failed too", "", "", "", "", ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			cmd := worker(t, root, "appends", "", "-o", os.DevNull, "-e", "trace=fdatasync,ftruncate",
				"-e", "inject=fdatasync:error=EIO:when=2", "-e", "inject="+c.cut)
			output, err := cmd.Output()
			noError(t, err)
			results := outcome(output)
			if len(results) != len(c.want) {
				t.Fatalf("the worker reported %q", output)
			}
			var acknowledged []string
			for i, want := range c.want {
				if (want == "") != (results[i] == "") || !strings.Contains(results[i], want) {
					t.Errorf("append %d: %q, want %q", i, results[i], want)
				}
				if results[i] == "" {
					acknowledged = append(acknowledged, entryN(i))
				}
			}
			// The entry that could be neither synced nor undone is there whole, until
			// a later append takes it back.
			got := read(t, root).entries
			if c.name == "for good" {
				acknowledged = append(acknowledged, entryN(2))
			}
			if !slices.Equal(got, acknowledged) {
				t.Errorf("entries are %q, want %q", got, acknowledged)
			}
			goesOn(t, root)
		})
	}
}

// syncCalls runs a script and returns the calls by which it writes, syncs and
// acknowledges, one a line. S is the session and G the segment.
func syncCalls(t *testing.T, root, script string) string {
	t.Helper()
	log := t.TempDir() + "/strace"
	cmd := worker(t, root, script, "", "-y", "-o", log, "-e", "trace=write,copy_file_range,fdatasync,fsync,renameat,unlinkat,mkdirat,writev")
	output, err := cmd.Output()
	if err != nil || len(outcome(output)) != len(scripts[script]("")) {
		t.Fatalf("%v: %s", err, output)
	}
	trace, err := os.ReadFile(log)
	noError(t, err)
	var calls strings.Builder
	line := regexp.MustCompile(`^\d+ +(\w+)\([^<]*(?:<([^>]*)>)?.* = (-?\d+)`)
	for l := range strings.Lines(string(trace)) {
		m := line.FindStringSubmatch(l)
		if m == nil {
			continue
		}
		if i := strings.LastIndexByte(l, '<'); m[1] == "copy_file_range" && i >= 0 {
			m[2], _, _ = strings.Cut(l[i+1:], ">") // the file that it copies to
		}
		where, below := strings.CutPrefix(m[2], root)
		switch {
		case m[1] == "writev":
			calls.WriteString("ACK\n")
		case m[1] == "unlinkat" && strings.Contains(l, "AT_REMOVEDIR"):
			calls.WriteString("rmdir\n")
		case m[1] == "unlinkat" && strings.Contains(m[2], ".deleted"):
			calls.WriteString("unlinkat\n") // in the order of the directory
		case m[1] == "unlinkat": // of a temporary file that is not there
		case m[1] == "renameat" && (strings.Contains(l, segment1.String()) || strings.Contains(l, ".deleted")), m[1] == "mkdirat" && strings.Contains(l, sessionA.String()):
			calls.WriteString(m[1] + "\n")
		case below:
			where = strings.NewReplacer(sessionA.String(), "S", segment1.String(), "G").Replace(where)
			calls.WriteString(m[1] + " " + strings.TrimPrefix(where, "/"))
			if strings.HasPrefix(m[3], "-") {
				calls.WriteString(" failed")
			}
			calls.WriteString("\n")
		}
	}
	return calls.String()
}

const (
	callsOfAppend = "write S/G.jsonl\nfdatasync S/G.jsonl\nACK\n"
	callsOfUndone = "write S/G.jsonl\nwrite S/G.jsonl failed\nfsync S/G.jsonl\nACK\n"
)

// callsOfNew are those of a file that takes the place of another.
func callsOfNew(write, file string) string {
	return write + "fsync S/." + file + ".tmp\nrenameat\nfsync S\nfsync \nACK\n"
}

// callsOfDelete are those of the deletion of a session with two files: it has another name on the disk
// before a file of it goes.
const callsOfDelete = "renameat\nfsync \nunlinkat\nunlinkat\nrmdir\nACK\n"

// Nothing is acknowledged before it is on the disk.
func TestSyncsBeforeItAcknowledges(t *testing.T) {
	toTraces := strings.NewReplacer("G.jsonl", "G.trace.jsonl").Replace
	want := "mkdirat\nfsync \n" + callsOfNew("write S/.G.jsonl.tmp\n", "G.jsonl") + callsOfAppend +
		callsOfUndone + callsOfAppend +
		callsOfNew("write S/.G.trace.jsonl.tmp\n", "G.trace.jsonl") + toTraces(callsOfAppend) +
		callsOfNew("copy_file_range S/.G.jsonl.tmp\n", "G.jsonl") + callsOfAppend +
		callsOfNew("write S/.G.jsonl.tmp\n", "G.jsonl") + callsOfAppend +
		callsOfUndone +
		callsOfNew("", "G.jsonl") + callsOfAppend +
		callsOfDelete +
		"mkdirat\nfsync \n" + callsOfNew("write S/.G.jsonl.tmp\n", "G.jsonl")
	if got := syncCalls(t, t.TempDir(), "mixed"); got != want {
		t.Errorf("calls are\n%s\nwant\n%s", got, want)
	}
}

// A file that was found may be one whose name was never synced.
func TestSyncsNamesThatItFinds(t *testing.T) {
	root := t.TempDir()
	lay(t, logPath(root, sessionA, segment1), "{}\n")
	want := "fsync S\nfsync \n" + strings.Repeat(callsOfAppend, len(scripts["appends"]("")))
	if got := syncCalls(t, root, "appends"); got != want {
		t.Errorf("calls are\n%s\nwant\n%s", got, want)
	}
}
