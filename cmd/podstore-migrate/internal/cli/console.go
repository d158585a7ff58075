package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"podstore/store"
)

// jsonVersion is the version of the shapes that --json writes: docs/cli-json.md.
const jsonVersion = 1

// console is what a command writes to and the state of its exit code. Results go
// to standard output, everything else to standard error; with --json all of it is
// JSON Lines on standard output.
type console struct {
	out    *bufio.Writer
	outErr error // the first error of standard output
	err    io.Writer
	// Standard output is a terminal: each result is shown at once. Standard error
	// is one: progress is shown.
	terminal, errTerminal bool
	bar                   *progressbar.ProgressBar
	barName               string // what the bar is about, if not the whole command
	json                  bool
	program, command      string
	schemes               []Scheme
	viewer                Viewer
	code                  int

	db      side     // what the command works on, for hints
	meant   string   // the Pod that may have been meant
	created *newFile // to be removed if nothing came into it
	resume  string   // what to say when the command is interrupted
	summary any      // the "summary" of the last line of --json
}

func newConsole(stdout, stderr io.Writer) *console {
	return &console{program: "podstore-migrate", out: bufio.NewWriterSize(stdout, 32<<10), err: stderr, terminal: isTerminal(stdout), errTerminal: isTerminal(stderr)}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// note raises the exit code.
func (c *console) note(code int) { c.code = heavier(c.code, code) }

// wrote remembers the first error of standard output.
func (c *console) wrote(err error) {
	if c.outErr == nil {
		c.outErr = err
	}
}

// hungUp reports that the reader of standard output went away: nothing that is
// written is seen any more.
func (c *console) hungUp() bool { return errors.Is(c.outErr, syscall.EPIPE) }

// print writes a result, unless JSON is written instead.
func (c *console) print(format string, args ...any) {
	if !c.json {
		if c.terminal {
			c.clearBar()
		}
		_, err := fmt.Fprintf(c.out, format, args...)
		c.wrote(err)
		if c.terminal {
			c.wrote(c.out.Flush())
		}
	}
}

// say writes one line on standard error, unless JSON is written instead.
func (c *console) say(format string, args ...any) {
	if !c.json {
		c.clearBar()
		fmt.Fprintf(c.err, format+"\n", args...)
	}
}

// head begins every object that --json writes.
type head struct {
	Podstore int    `json:"podstore"`
	Command  string `json:"command"`
	Type     string `json:"type"`
}

func (c *console) head(kind string) head { return head{jsonVersion, c.command, kind} }

// emit writes one JSON object, with --json.
func (c *console) emit(object any) {
	if !c.json {
		return
	}
	enc := json.NewEncoder(c.out)
	enc.SetEscapeHTML(false)
	c.wrote(enc.Encode(object))
}

// errorItem is an error in JSON.
type errorItem struct {
	head
	Exit    int    `json:"exit"`
	Kind    string `json:"kind"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	Pod     string `json:"pod,omitempty"`
	Path    string `json:"path,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
}

// endItem is the last line of JSON.
type endItem struct {
	head
	Exit    int `json:"exit"`
	Summary any `json:"summary,omitempty"`
}

// fail tells one error and raises the exit code.
func (c *console) fail(err error) {
	code := codeOf(err)
	c.note(code)
	item := errorItem{head: c.head("error"), Exit: code, Kind: kindWord(code), Hint: c.hint(err, code)}
	var e *store.Error
	if errors.As(err, &e) {
		item.Pod, item.Path, item.Line, item.Column = e.Pod, e.Path, e.Line, e.Column
		if c.db.kind == behindSocket && e.Path == c.db.path {
			e.Path = c.db.arg // in the message, as it was given
		}
	}
	item.Message = oneLine(err.Error())
	if errors.Is(err, store.ErrNoSpace) {
		item.Message = oneLine(fullDisk(err))
	}
	if code == exitInterrupted {
		item.Message, item.Hint = "interrupted", c.resume
	}
	c.emit(item)
	c.say("%s: %s", c.program, item.Message)
	if item.Hint != "" {
		c.say("hint: %s", item.Hint)
	}
}

// finish tells the error that ended a command, if any, and writes what is left.
func (c *console) finish(err error) {
	c.clearBar()
	c.bar = nil
	told := map[string]bool{}
	for _, e := range flatten(err) {
		if text := e.Error(); !told[text] {
			told[text] = true
			c.fail(e)
		}
	}
	c.emit(endItem{c.head("end"), c.code, c.summary})
	c.wrote(c.out.Flush())
	if c.outErr != nil && !c.hungUp() {
		c.note(exitFailure)
		c.json = false
		c.say("%s: %s: standard output: %s", c.program, c.command, oneLine(c.outErr.Error()))
	}
}

// hint says what to do about an error, as far as that is known.
func (c *console) hint(err error, code int) string {
	var e *store.Error
	errors.As(err, &e)
	db := shellWord(c.db.arg)
	switch {
	case code == exitUsage:
		return ""
	case c.db.isDirectory():
		return fmt.Sprintf("%s is a directory; as a directory of Pods it is written %s", db, shellWord(dirPrefix+c.db.arg))
	case code == exitMissing && e != nil && e.Pod != "" && c.meant != "":
		return fmt.Sprintf("list quotes such a name; for a shell it is written %s %s %s %s", c.program, c.command, db, shellWord(c.meant))
	case code == exitMissing && e != nil && e.Pod != "":
		return fmt.Sprintf("%s list %s shows the Pods that are there", c.program, db)
	case errors.Is(err, store.ErrExists):
		return "give a path where nothing is; nothing was overwritten"
	case code == exitMissing && c.db.kind == inFile && e != nil && e.Path == c.db.path && c.command != "copy":
		return fmt.Sprintf("check the path; %s import DB DIR creates a database", c.program)
	case code == exitMissing && c.db.kind == onServers:
		return "check the address"
	case code == exitMissing:
		return "check the path"
	case code == exitLocked && c.command == "import":
		return "end the program that has it open, then run the same command again"
	case code == exitLocked && c.command == "copy":
		return "end the program that has it open, or where it serves a socket, give unix:SOCKET in place of " + db
	case code == exitLocked:
		return fmt.Sprintf("end the program that has it open, or where it serves a socket: %s %s unix:SOCKET", c.program, c.command)
	case code == exitDamage && c.db.kind == inDirectory:
		return "correct or remove that file"
	case code == exitDamage && c.db.kind != onServers && c.command != "check" && c.command != "salvage":
		return fmt.Sprintf("%s check %s lists all damage, %s salvage %s NEWDB copies what is whole", c.program, db, c.program, db)
	case errors.Is(err, store.ErrUnavailable):
		return "see that it runs and can be reached, then run the same command again"
	case errors.Is(err, store.ErrTooLarge) && c.command == "copy":
		return "copy without --strict, in as many transactions as it takes"
	case errors.Is(err, store.ErrNoSpace):
		return "free some space, then run the same command again"
	}
	return ""
}
