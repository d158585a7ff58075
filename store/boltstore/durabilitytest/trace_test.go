//go:build linux

package durabilitytest

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// recorded are the system calls by which a store changes files and directories,
// and tells its parent about it.
const recorded = "openat,pwrite64,write,ftruncate,fdatasync,fsync,renameat2,renameat,rename,link,linkat,unlinkat,mkdirat"

// call is one recorded system call that succeeded. Of a call that takes time, what
// changes something counts from when it begins and what makes it durable from
// when it ends.
type call struct {
	name string
	args []arg
}

// arg is one argument: a number or flags as text, what a descriptor stands for,
// or the bytes of a string.
type arg struct {
	text string
	path string
	data []byte
}

func (a arg) int() int64 {
	n, err := strconv.ParseInt(a.text, 0, 64)
	if err != nil {
		panic(fmt.Sprintf("trace: %q is no number", a.text))
	}
	return n
}

// record runs a role under strace, which takes options too, and returns its calls
// and what it wrote on standard output. It may be killed.
func record(t testing.TB, p program, role string, job any, options ...string) (calls []call, out []byte) {
	t.Helper()
	file := filepath.Join(tempDir(t), "trace")
	wrap := []string{"strace", "-f", "-qq", "-y", "-xx", "-s", "268435456", "-o", file, "-e", "trace=" + recorded}
	if len(options) == 0 {
		wrap = append(wrap, "--seccomp-bpf") // faster, but it would ignore an injected signal
	}
	cmd := p.command(t, role, job, append(wrap, options...)...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ProcessState.Sys().(syscall.WaitStatus).Signaled()) {
		t.Fatalf("recording: %v\n%s", err, cmd.Stderr)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	defer os.Remove(file)
	calls, err = parseTrace(f)
	if err != nil {
		t.Fatal(err)
	}
	return calls, out
}

// parseTrace reads what strace -f -y -xx writes.
func parseTrace(f *os.File) ([]call, error) {
	type begun struct {
		text string
		slot int
	}
	open := map[string]begun{} // by thread
	var calls []*call
	lines := bufio.NewReaderSize(f, 1<<20)
	for {
		line, err := lines.ReadString('\n')
		if line == "" {
			break
		}
		pid, text, ok := strings.Cut(strings.TrimSpace(line), " ")
		text = strings.TrimSpace(text)
		switch {
		case !ok || err != nil:
			return nil, fmt.Errorf("trace: line %.80q", line)
		case strings.HasPrefix(text, "+++"), strings.HasPrefix(text, "---"), strings.HasPrefix(text, "???"):
			continue
		case strings.HasSuffix(text, "<unfinished ...>"):
			calls = append(calls, nil)
			open[pid] = begun{strings.TrimSuffix(text, "<unfinished ...>"), len(calls) - 1}
			continue
		}
		slot := -1
		if rest, ok := strings.CutPrefix(text, "<... "); ok {
			_, rest, _ = strings.Cut(rest, "resumed>")
			b := open[pid]
			delete(open, pid)
			text, slot = b.text+rest, b.slot
		}
		c, err := parseCall(text)
		switch {
		case err != nil:
			return nil, err
		case c == nil:
		case slot >= 0 && !isSync(c.name):
			calls[slot] = c
		default:
			calls = append(calls, c)
		}
	}
	done := make([]call, 0, len(calls))
	for _, c := range calls {
		if c != nil {
			done = append(done, *c)
		}
	}
	return done, nil
}

func isSync(name string) bool { return name == "fdatasync" || name == "fsync" }

// parseCall reads "name(args) = result"; nil for a call that failed.
func parseCall(text string) (*call, error) {
	name, rest, ok := strings.Cut(text, "(")
	end := strings.LastIndex(rest, ") ")
	if !ok || end < 0 {
		return nil, fmt.Errorf("trace: call %.80q", text)
	}
	result := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(rest[end+2:]), "="))
	if strings.HasPrefix(result, "-") || strings.HasPrefix(result, "?") {
		return nil, nil
	}
	c := &call{name: name}
	for s := range strings.SplitSeq(rest[:end], ", ") { // strings are hexadecimal
		s = strings.TrimSpace(s)
		a := arg{text: s}
		if head, in, ok := strings.Cut(s, "<"); ok {
			path, err := unhex(strings.TrimSuffix(in, ">"))
			if err != nil {
				return nil, err
			}
			a = arg{text: head, path: string(path)}
		} else if in, ok := strings.CutPrefix(s, `"`); ok {
			data, err := unhex(strings.TrimSuffix(in, `"`))
			if err != nil {
				return nil, err
			}
			a = arg{data: data}
		}
		c.args = append(c.args, a)
	}
	return c, nil
}

func unhex(s string) ([]byte, error) {
	if strings.HasSuffix(s, "...") {
		return nil, fmt.Errorf("trace: a string was cut off")
	}
	if !strings.HasPrefix(s, `\x`) {
		return []byte(s), nil // such as pipe:[4711]
	}
	b := make([]byte, len(s)/4)
	if _, err := hex.Decode(b, bytes.ReplaceAll([]byte(s), []byte(`\x`), nil)); err != nil {
		return nil, fmt.Errorf("trace: string %.40q: %w", s, err)
	}
	return b, nil
}
