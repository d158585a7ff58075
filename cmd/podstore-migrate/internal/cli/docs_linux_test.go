package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The documents show terminal sessions in ```console blocks: commands after "$ ",
// their further lines after "> ", and then all that they print. A command that
// ends with another code than 0 says so in a comment, "# exit 3". In what is
// shown "…" stands for any text, and a line of its own for any lines.
//
// These tests run all blocks of a document, in order, in one shell on a
// pseudo-terminal. With -update they record anew what is not as it was.

const repository = "../../../.."

// quickLink leaves out what only debuggers need: linking takes half as long.
const quickLink = "-ldflags=-w"

// TestReadmeSession runs the session of the README in a directory that has the
// example tree and nothing else.
func TestReadmeSession(t *testing.T) {
	t.Parallel()
	dir, bin := t.TempDir(), t.TempDir()
	build := exec.Command("go", "build", quickLink, "-o", bin, "./examples/supervisor") // the command is this test
	build.Dir = repository
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.CopyFS(filepath.Join(dir, "pods"), os.DirFS(repository+"/testdata/example/pods")); err != nil {
		t.Fatal(err)
	}
	if n := runDocument(t, repository+"/README.md", dir, "PATH="+bin+":"+os.Getenv("PATH")); n == 0 {
		t.Error("the README has no session")
	}
}

// TestOperations runs the operator's walk as it is written, from a clone on.
func TestOperations(t *testing.T) {
	if testing.Short() {
		t.Skip("links two programs and types the whole page: make test SHORT=")
	}
	t.Parallel()
	const path = repository + "/docs/operations.md"
	if n := runDocument(t, path, repository, "TMPDIR="+t.TempDir(), "GOFLAGS="+quickLink); n < 50 {
		t.Errorf("only %d commands", n)
	}
	// The Go code it shows is that of a tested example.
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile(repository + "/store/boltstore/metrics_example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)\n```go(\n.*?\n)```\n").FindAllSubmatch(doc, -1)
	if len(blocks) == 0 {
		t.Error("it shows no Go code")
	}
	for _, b := range blocks {
		if !bytes.Contains(example, b[1]) {
			t.Errorf("this is not in the example:\n%s", b[1])
		}
	}
}

// runDocument runs the blocks of a Markdown file and returns the number of
// commands.
func runDocument(t *testing.T, path, dir string, env ...string) int {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(data), "\n")
	commands := findCommands(lines)
	results := runShell(t, commands, dir, env)
	var doc []string
	next := 0
	for i, got := range results {
		c := commands[i]
		doc = append(doc, lines[next:c.begin]...)
		next = c.end
		switch {
		case matches(c.output, got):
			doc = append(doc, lines[c.begin:c.end]...)
		case *update:
			for _, line := range got {
				doc = append(doc, strings.TrimRight(c.indent+line, " "))
			}
		default:
			t.Errorf("%s:%d: $ %s\nit prints\n%s\nand the document has\n%s", path, c.line, c.text, strings.Join(got, "\n"), strings.Join(c.output, "\n"))
		}
	}
	doc = append(doc, lines[next:]...)
	if text := strings.Join(doc, "\n"); *update && text != string(data) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Error(err)
		}
	}
	return len(commands)
}

// docCommand is one command of a document.
type docCommand struct {
	line   int // in the file, from 1
	indent string
	text   string
	exit   string
	output []string
	// The lines that show the output, indexes.
	begin, end int
}

var exitComment = regexp.MustCompile(`# exit ([0-9]+)$`)

func findCommands(lines []string) (commands []docCommand) {
	indent, inside := "", false
	line := func(i int) string { return strings.TrimPrefix(lines[i], indent) }
	for i := 0; i < len(lines); i++ {
		switch {
		case !inside:
			indent, inside = strings.CutSuffix(lines[i], "```console")
		case line(i) == "```":
			inside = false
		case strings.HasPrefix(line(i), "$ "):
			c := docCommand{line: i + 1, indent: indent, text: line(i)[2:], exit: "0"}
			for ; strings.HasPrefix(line(i+1), "> "); i++ {
				c.text += "\n" + line(i + 1)[2:]
			}
			if m := exitComment.FindStringSubmatch(c.text); m != nil {
				c.exit = m[1]
			}
			c.begin = i + 1
			for c.end = c.begin; line(c.end) != "```" && !strings.HasPrefix(line(c.end), "$ "); c.end++ {
				c.output = append(c.output, line(c.end))
			}
			commands = append(commands, c)
			i = c.end - 1
		}
	}
	return commands
}

// matches compares what a document shows with what was printed.
func matches(shown, got []string) bool {
	switch {
	case len(shown) == 0:
		return len(got) == 0
	case shown[0] == "…":
		for skip := 0; skip <= len(got); skip++ {
			if matches(shown[1:], got[skip:]) {
				return true
			}
		}
		return false
	case len(got) == 0:
		return false
	}
	pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(shown[0]), "…", ".+") + "$"
	return regexp.MustCompile(pattern).MatchString(got[0]) && matches(shown[1:], got[1:])
}

// separator ends the output of a command, before and after its exit code.
const separator = "\x1e"

// runShell runs commands in one shell and returns the lines that each printed.
// It stops at the first that ends with another code than it should.
func runShell(t *testing.T, commands []docCommand, dir string, env []string) (outputs [][]string) {
	t.Helper()
	var script strings.Builder
	for _, c := range commands {
		fmt.Fprintf(&script, "%s\nexit=$?; printf '%s%%d%s' $exit; [ $exit = %s ] || exit\n", c.text, separator, separator, c.exit)
	}
	master, terminal := openTerminal(t)
	shell := exec.Command("sh", "-c", script.String())
	shell.Dir = dir
	shell.Env = append(append(os.Environ(), "TERM=dumb", "LC_ALL=C.UTF-8"), env...)
	shell.Stdout, shell.Stderr = terminal, terminal
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	end := func() { _ = syscall.Kill(-shell.Process.Pid, syscall.SIGKILL) } // with what it has in the background
	timer := time.AfterFunc(3*time.Minute, end)
	go func() {
		_ = shell.Wait() // exit codes are in the output
		timer.Stop()
		end()
		_ = terminal.Close()
	}()
	var printed bytes.Buffer
	if _, err := io.Copy(&printed, master); err != nil && !errors.Is(err, unix.EIO) { // EIO: all have closed the terminal
		t.Fatal(err)
	}
	parts := strings.Split(strings.ReplaceAll(printed.String(), "\r\n", "\n"), separator)
	for i, c := range commands {
		text := strings.TrimSuffix(parts[2*i], "\n")
		if 2*i+1 >= len(parts) {
			t.Fatalf("line %d: $ %s\ndid not end; it printed\n%s", c.line, c.text, text)
		}
		var lines []string
		if text != "" {
			lines = strings.Split(text, "\n")
		}
		outputs = append(outputs, lines)
		if exit := parts[2*i+1]; exit != c.exit {
			t.Errorf("line %d: $ %s\nexit code %s, want %s\n%s", c.line, c.text, exit, c.exit, text)
			break
		}
	}
	return outputs
}

// openTerminal makes a pseudo-terminal.
func openTerminal(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, terminal
}
