package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"podstore/store/jsonvalue"
)

// screen is a shell on a pseudo-terminal.
type screen struct {
	t       *testing.T
	keys    *os.File
	ended   chan struct{} // closed when nothing more will be printed
	mu      sync.Mutex
	printed bytes.Buffer
}

// startShell starts an interactive shell in a directory.
func startShell(t *testing.T, dir string, argv ...string) *screen {
	t.Helper()
	master, terminal := openTerminal(t)
	setSize(t, terminal, 100, 120)
	// Else fish starts a process that reads all manual pages for minutes, also after the test.
	if err := os.MkdirAll(filepath.Join(dir, "fish", "generated_completions"), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "ZDOTDIR="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir, "TERM=xterm", "LC_ALL=C.UTF-8", "PS1=$ ", "HISTFILE=")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = terminal.Close()
	s := &screen{t: t, keys: master, ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			s.mu.Lock()
			s.printed.Write(b[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		// Its children too: they may ignore that the terminal hangs up, as under nohup.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		<-s.ended
	})
	return s
}

// setSize makes a terminal so large.
func setSize(t *testing.T, terminal *os.File, rows, columns uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		t.Fatal(err)
	}
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.printed.String()
}

// types sends keys, and waits until a file is there.
func (s *screen) types(keys, until string) bool {
	if _, err := s.keys.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
	return s.waits(func(string) bool {
		_, err := os.Stat(until)
		return err == nil
	})
}

// waits waits until something is so, given what was printed. It gives up when the shell
// has ended or the test must: how long a shell takes depends on what else runs.
func (s *screen) waits(so func(text string) bool) bool {
	deadline, ok := s.t.Deadline()
	for !so(s.text()) {
		select {
		case <-s.ended:
			return so(s.text())
		case <-time.After(10 * time.Millisecond):
		}
		if ok && time.Until(deadline) < 20*time.Second {
			return false
		}
	}
	return true
}

// completionShells are how each shell is started and loads its script, and which part of
// the names it completes in a short test.
var completionShells = map[string]struct {
	argv []string
	load string
	part int
}{
	"bash": {[]string{"bash", "--norc", "--noprofile", "-i"}, "source <(podstore-migrate completion bash)", 0},
	"zsh":  {[]string{"zsh", "-f", "-i"}, "autoload -U compinit; compinit -u -D; source <(podstore-migrate completion zsh)", 1},
	"fish": {[]string{"fish", "--private", "-i"}, "podstore-migrate completion fish | source", 2},
}

// TestCompletionIsSafe completes every odd name in every shell that is there. What the
// shell then runs gets just that name, and nothing that is part of a name was run.
func TestCompletionIsSafe(t *testing.T) {
	for name, shell := range completionShells {
		t.Run(name, func(t *testing.T) {
			few(t, 3)
			t.Parallel()
			if _, err := exec.LookPath(shell.argv[0]); err != nil {
				t.Skipf("%s is not installed", name)
			}
			dir := t.TempDir()
			oddDatabase(t, filepath.Join(dir, "p.db"), append(slices.Clone(oddNames), "k$(touch ran)1", "k$(touch ran)2", "q`touch ran`1", "q`touch ran`2"))
			s := startShell(t, dir, shell.argv...)
			if !s.types(shell.load+"; touch ready\r", filepath.Join(dir, "ready")) {
				t.Fatalf("the shell does not start:\n%s", s.text())
			}
			for i, pod := range oddNames {
				if testing.Short() && i%6 != shell.part || name == "fish" && !fishShows(pod) {
					continue
				}
				out := filepath.Join(dir, fmt.Sprintf("out%02d", i))
				line := fmt.Sprintf("podstore-migrate show --field pod_name p.db %02d\t >%s.new; mv %s.new %s\r", i, out, out, out)
				if !s.types(line, out) {
					t.Fatalf("%q: nothing came\n%q", pod, s.text())
				}
				got, err := os.ReadFile(out)
				want := string(jsonvalue.AppendString(nil, pod)) + "\n"
				if err != nil || string(got) != want {
					t.Errorf("%q: completed and run, it gives %q, %v", pod, got, err)
				}
			}
			// Several fit: they are listed, what they have in common is put into the line,
			// and the next tab must not run it.
			for i, start := range []string{"k", "q", "", "'k", "\"k", "k$", "0", "1", "2"} {
				if testing.Short() && i%3 != shell.part {
					continue
				}
				done := filepath.Join(dir, "done"+fmt.Sprint(len(start))+strings.Trim(start, `'"$`))
				if !s.types("podstore-migrate show p.db "+start+"\t\t\t\x15touch "+done+"\r", done) {
					t.Fatalf("%s: no answer\n%q", start, s.text())
				}
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "ran*")); len(left) > 0 {
				t.Errorf("a part of a name was run: %v", left)
			}
			for _, bad := range []string{"\x1b]0;PWNED", "\u202etxt", "\u009b31m"} {
				if text := s.text(); strings.Contains(text, bad) {
					t.Errorf("%q was sent to the terminal", bad)
				}
			}
		})
	}
}

// TestOddNamesStayInTheirPlace prints the odd names with every command that prints
// names, for a terminal and not.
func TestOddNamesStayInTheirPlace(t *testing.T) {
	db := filepath.Join(t.TempDir(), "p.db")
	oddDatabase(t, db, oddNames)
	for _, args := range [][]string{{"list", db}, {"tree", db}, {"tree", "--format", "dot", db}, {"tree", "--format", "mermaid", db}, {"list", "--json", db}, {"tree", "--json", db}, {"list", "--sort", "-name", db}} {
		for _, terminal := range []bool{true, false} {
			var out, errs bytes.Buffer
			c := newConsole(&out, &errs)
			c.terminal = terminal
			if code := c.execute(context.Background(), args); code != exitDone {
				t.Fatalf("%v: exit code %d\n%s", args, code, &errs)
			}
			for _, r := range out.String() {
				if !visible(r) && r != '\n' && (r != '\t' || terminal) {
					t.Errorf("%v, terminal %v: it prints %q", args, terminal, r)
				}
			}
			for _, name := range oddNames {
				if !strings.Contains(out.String(), name[:2]) {
					t.Errorf("%v, terminal %v: %q is missing", args, terminal, name)
				}
			}
		}
	}
	for _, name := range oddNames {
		var out bytes.Buffer
		c := newConsole(&out, &out)
		c.terminal = true
		var m struct {
			Name string `json:"pod_name"`
		}
		if code := c.execute(context.Background(), []string{"show", "--", db, name}); code != exitDone || json.Unmarshal(out.Bytes(), &m) != nil || m.Name != name {
			t.Errorf("show %q: %d, %q", name, code, out.String())
		}
		if strings.ContainsFunc(out.String(), func(r rune) bool { return !visible(r) && r != '\n' }) {
			t.Errorf("show %q sends %q to the terminal", name, out.String())
		}
	}
}
