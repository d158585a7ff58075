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
	"podstore/store/boltstore"
	"podstore/store/jsonexport"
)

// jsonVersion is the version of the shapes that --json writes: docs/cli-json.md.
const jsonVersion = 1

// console is what a command writes to and the state of its exit code. Results go
// to standard output, everything else to standard error; with --json all of it is
// JSON Lines on standard output.
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
	outTold               bool // that standard output failed
	allowNetwork          bool // --allow-network-fs
	hasLimit              bool // the command has --max-file-size

	db      side     // what the command works on, for hints
	meant   string   // the Pod that may have been meant
	created *newFile // to be removed if nothing came into it
	resume  string   // what to say when the command is interrupted
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

// width is that of the terminal that standard output is.
func (c *console) width() int { return widthOf(c.stdout) }

// note raises the exit code.
func (c *console) note(code int) { c.code = heavier(c.code, code) }

// hungUp reports that the reader of standard output went away: nothing that is
// written is seen any more.
func (c *console) hungUp() bool { return errors.Is(c.queue.err(c.stdout), syscall.EPIPE) }

// print writes a result, unless JSON is written instead.
func (c *console) print(format string, args ...any) {
	if !c.json {
		c.wroteText(fmt.Sprintf(format, args...))
	}
}

// wroteText writes on standard output. A terminal gets no character that it would act
// upon, whatever the text is made of.
func (c *console) wroteText(text string) {
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

// flush waits until everything is written. Output that could not be is a failure, but
// for that of a reader that went away.
func (c *console) flush() {
	_ = c.out.Flush()
	if c.queue.wait(c.ctx) != nil {
		c.note(exitInterrupted)
		return
	}
	err := c.queue.err(c.stdout)
	if err == nil || c.hungUp() || c.outTold {
		return
	}
	c.outTold = true
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

// finish tells the error that ended a command, if any, and writes what is left.
func (c *console) finish(err error) {
	c.endBar()
	told := map[string]bool{}
	for _, e := range flatten(err) {
		if text := e.Error(); !told[text] {
			told[text] = true
			c.fail(e)
		}
	}
	c.emit(endItem{c.head("end"), c.code, c.summary})
	c.flush()
}

// flagFor is how a message goes on that says that a limit was reached.
func (c *console) flagFor(err error) string {
	if errors.Is(err, store.ErrTooLarge) && c.hasLimit && strings.Contains(err.Error(), "the limit is") {
		return "; --max-file-size raises it"
	}
	return ""
}

// hint says what to do about an error, as far as that is known.
func (c *console) hint(err error, code int) string {
	var e *store.Error
	errors.As(err, &e)
	db := shellWord(c.db.arg)
	switch {
	case code == exitUsage:
		return ""
	case c.db.isDirectory() && c.command == "import":
		return fmt.Sprintf("%s is a directory; the database comes first: %s import DB DIR", db, c.program)
	case c.db.isDirectory():
		return fmt.Sprintf("%s is a directory; as a directory of Pods it is written %s", db, shellWord(dirPrefix+c.db.arg))
	case c.db.isSocket() && c.command == "import":
		return fmt.Sprintf("%s is a socket; into the store of the supervisor that serves it: %s copy dir:DIR %s", db, c.program, shellWord(socketPrefix+c.db.arg))
	case c.db.isSocket():
		return fmt.Sprintf("%s is a socket; the store of the supervisor that serves it is written %s", db, shellWord(socketPrefix+c.db.arg))
	case errors.As(err, new(*boltstore.NetworkFSError)):
		return "or permit it with --allow-network-fs, where no other machine uses the file at the same time"
	case errors.As(err, new(*jsonexport.PruneError)):
		return "make sure that this is the right store; --prune-all removes them all the same"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "allow more open files (ulimit -n), then run the same command again"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return "run it as a user who has the right to do that"
	case errors.Is(err, syscall.EROFS):
		return "it is mounted read-only; mount it for writing, or give another place"
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
	case code == exitLocked && c.command == "serve":
		return "end the program that has it open, then run the same command again"
	case code == exitLocked && c.command == "import":
		return fmt.Sprintf("end the program that has it open, or where it serves a socket: %s copy dir:DIR unix:SOCKET", c.program)
	case code == exitLocked:
		return "end the program that has it open, or where it serves a socket, give unix:SOCKET in place of " + db
	case code == exitDamage && c.db.kind == inDirectory:
		return "correct or remove that file"
	case code == exitDamage && c.db.kind != onServers && c.command != "check" && c.command != "salvage":
		return fmt.Sprintf("%s check %s lists all damage, %s salvage %s NEWDB copies what is whole", c.program, db, c.program, db)
	case errors.Is(err, store.ErrForbidden) && c.db.kind == behindSocket && e != nil && e.Pod != "":
		return "its supervisor does not let you do that; ask it, or stop it and give the database file"
	case errors.Is(err, store.ErrUnavailable):
		return "see that it runs and can be reached, then run the same command again"
	case errors.Is(err, store.ErrTooLarge) && c.command == "copy":
		return "copy without --strict, in as many transactions as it takes"
	case errors.Is(err, store.ErrNoSpace) && noInodes(pathOf(err)):
		return "the file system has no inodes left for new files; remove some, then run the same command again"
	case errors.Is(err, store.ErrNoSpace):
		return "free some space, then run the same command again"
	case errors.Is(err, syscall.ENOMEM):
		return "free some memory, then run the same command again"
	}
	return ""
}
