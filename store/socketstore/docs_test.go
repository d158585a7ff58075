package socketstore_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every command of docs/socket.md does what the page says.
func TestDocumentedCommands(t *testing.T) {
	t.Parallel() // it waits
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("needs curl")
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "socket.md"))
	if err != nil {
		t.Fatal(err)
	}
	s := openServed(t, startSupervisor(t))
	sh := exec.Command("sh")
	sh.Dir = shortDir(t)
	sh.Env = append(os.Environ(), "SOCKET="+s.socket(), "LC_ALL=C")
	var script, want strings.Builder
	n := 0
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		for line := range strings.Lines(block[1]) {
			switch command, isCommand := strings.CutPrefix(line, "$ "); {
			case isCommand:
				n++
				script.WriteString("echo '#'" + "\n" + command)
				want.WriteString("#\n")
			case strings.HasPrefix(line, "> "):
				script.WriteString(line[2:])
			default:
				want.WriteString(line)
			}
		}
	}
	if n < 15 {
		t.Fatalf("the page has only %d commands", n)
	}
	sh.Stdin = strings.NewReader(script.String())
	got, err := sh.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, got)
	}
	gotLines, wantLines := strings.Split(string(got), "\n"), strings.Split(want.String(), "\n")
	for i, line := range wantLines {
		pattern := strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*")
		if i >= len(gotLines) || !regexp.MustCompile("^"+pattern+"$").MatchString(gotLines[i]) {
			t.Fatalf("line %d of the output is not\n%s\nIt is:\n%s", i+1, line, got)
		}
	}
	if len(gotLines) != len(wantLines) {
		t.Errorf("more is printed than the page says:\n%s", got)
	}
}
