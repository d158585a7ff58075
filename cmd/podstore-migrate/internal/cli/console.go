package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"golang.org/x/term"

	"podstore/store"
)

// jsonVersion is the version of the shapes that --json writes: docs/cli-json.md.
const jsonVersion = 1

// console writes a command's output and keeps its exit code. Results go to standard
// output, everything else to standard error. With --json all of it is JSON Lines on
// standard output.
type console struct {
	ctx    context.Context // of the command line
	queue  *output
	stdout io.Writer
	out    *bufio.Writer // to stdout, through the queue
	err    io.Writer     // standard error, through the queue
	// Standard output is a terminal: each result is shown at once. Standard error
	// is one: progress is shown.
	terminal, errTerminal bool
	stderr                io.Writer
	stdin                 *os.File
	bar                   bar
	json                  bool
	program, command      string
	schemes               []Scheme
	viewer                Viewer
	code                  int
	outFailed             bool // the error of standard output was printed
	allowNetwork          bool // --allow-network-fs
	hasLimit              bool // the command has --max-file-size

	db      location // the place that the command works on, for hints
	similar string   // a Pod whose name list prints as the argument was given
	created *newFile // removed again if no Pod was written to it
	resume  string   // the hint when the command is interrupted
	summary any      // the "summary" of the last line of --json
}

func newConsole(stdout, stderr io.Writer) *console {
	q := newOutput()
	return &console{
		ctx: context.Background(), program: "podstore-migrate", queue: q,
		stdout: stdout, out: bufio.NewWriterSize(q.to(stdout), 32<<10), terminal: isTerminal(stdout),
		stderr: stderr, err: q.to(stderr), errTerminal: isTerminal(stderr), stdin: os.Stdin,
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// width is the width of standard output.
func (c *console) width() int { return widthOf(c.stdout) }

// note raises the exit code.
func (c *console) note(code int) { c.code = heavier(c.code, code) }

// hungUp reports that the reader of standard output went away: nobody sees what is
// written.
func (c *console) hungUp() bool { return errors.Is(c.queue.err(c.stdout), syscall.EPIPE) }

// print writes a result, unless JSON is written instead.
func (c *console) print(format string, args ...any) {
	if !c.json {
		c.writeText(fmt.Sprintf(format, args...))
	}
}

// writeText writes on standard output. A terminal gets no character that it would act
// upon, whatever is in the text.
func (c *console) writeText(text string) {
	if c.terminal {
		c.clearBar()
		text = visibleText(text)
	}
	_, _ = c.out.WriteString(text) // the queue has the error
	if c.terminal {
		_ = c.out.Flush()
	}
}

// say writes one line on standard error, unless JSON is written instead.
func (c *console) say(format string, args ...any) {
	if !c.json {
		c.clearBar()
		fmt.Fprintln(c.err, oneLine(fmt.Sprintf(format, args...)))
	}
}

// flush waits until everything is written. An error of standard output is a failure,
// unless its reader went away.
func (c *console) flush() {
	_ = c.out.Flush()
	if c.queue.wait(c.ctx) != nil {
		c.note(exitInterrupted)
		return
	}
	err := c.queue.err(c.stdout)
	if err == nil || c.hungUp() || c.outFailed {
		return
	}
	c.outFailed = true
	c.note(exitFailure)
	fmt.Fprintln(c.err, oneLine(fmt.Sprintf("%s: standard output: %v", strings.TrimSuffix(c.program+": "+c.command, ": "), err)))
	_ = c.queue.wait(c.ctx)
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
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(object); err != nil {
		panic(err) // no shape has anything that cannot be encoded
	}
	_, _ = c.out.WriteString(visibleText(b.String()))
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

// fail prints one error and raises the exit code.
func (c *console) fail(err error) {
	code := codeOf(err)
	c.note(code)
	item := errorItem{head: c.head("error"), Exit: code, Kind: kindWord(code), Hint: c.hint(err, code)}
	var e *store.Error
	if errors.As(err, &e) {
		item.Pod, item.Path, item.Line, item.Column = e.Pod, e.Path, e.Line, e.Column
		if c.db.kind == kindSocket && e.Path == c.db.path {
			e.Path = c.db.arg // in the message, as it was given
		}
	}
	item.Message = oneLine(err.Error()) + c.flagFor(err)
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

// finish prints the error that ended a command, if any, and writes the remaining output.
func (c *console) finish(err error) {
	c.endBar()
	printed := map[string]bool{}
	for _, e := range flatten(err) {
		if text := e.Error(); !printed[text] {
			printed[text] = true
			c.fail(e)
		}
	}
	c.emit(endItem{c.head("end"), c.code, c.summary})
	c.flush()
}
