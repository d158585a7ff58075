package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/term"
	"github.com/creack/pty"

	"podstore/cmd/podstore-migrate/internal/cli"
	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/memstore"
)

// asProgram makes a process of this test binary the command. Its value is the store
// that ui shows in place of the one that is named.
const asProgram = "PODSTORE_TEST_UI"

func TestMain(m *testing.M) {
	as := os.Getenv(asProgram)
	if as == "" {
		os.Exit(m.Run())
	}
	show := view
	if as != "named" {
		show = func(ctx context.Context, from cli.Source) error {
			from.Live = true
			from.Open = func(context.Context) (store.MetadataStore, io.Closer, error) {
				s := memstore.New()
				for _, name := range []string{"first", "second"} {
					if err := store.Write(ctx, s, &store.Metadata{PodName: name}); err != nil {
						return nil, nil, err
					}
				}
				return &troubled{s, as}, io.NopCloser(nil), nil
			}
			return view(ctx, from)
		}
	}
	os.Exit(cli.Main("podstore-migrate-ui", cli.Viewer{View: show}))
}

// troubled is a store that changes, or breaks down.
type troubled struct {
	*memstore.Store
	as string
}

func (s *troubled) Watch(ctx context.Context, opts store.WatchOptions) iter.Seq2[store.Batch, error] {
	return func(yield func(store.Batch, error) bool) {
		switch s.as {
		case "panic in watch":
			time.Sleep(300 * time.Millisecond)
			panic("the watch broke down")
		case "no watch":
			yield(store.Batch{}, errors.ErrUnsupported)
			return
		case "lost":
			yield(store.Batch{Synced: true}, nil)
			yield(store.Batch{}, &store.Error{Op: "watch", Kind: store.ErrUnavailable, Err: errors.New("\x1b[2Jnobody answers")})
			return
		}
		go func() {
			for i := 0; ctx.Err() == nil; i++ {
				_ = store.Do(ctx, s.Store, "second", store.AddPeer{PodName: fmt.Sprint("peer", i)})
				time.Sleep(50 * time.Millisecond)
			}
		}()
		s.Store.Watch(ctx, opts)(yield)
	}
}

func (s *troubled) Read(ctx context.Context, name string) (*store.Metadata, error) {
	if s.as == "panic in read" {
		panic("the reading broke down")
	}
	return s.Store.Read(ctx, name)
}

// terminal is a pseudo-terminal with the command in it.
type terminal struct {
	t      *testing.T
	cmd    *exec.Cmd
	mine   *os.File
	theirs *os.File
	before *term.State
	ended  chan struct{}

	mu     sync.Mutex
	output bytes.Buffer
	rows   uint16
}

func start(t *testing.T, env []string, args ...string) *terminal {
	t.Helper()
	mine, theirs, err := pty.Open()
	if err != nil {
		t.Skipf("there are no pseudo-terminals: %v", err)
	}
	tm := &terminal{t: t, mine: mine, theirs: theirs, rows: 24, ended: make(chan struct{})}
	t.Cleanup(func() { _ = mine.Close(); _ = theirs.Close() })
	if err := pty.Setsize(mine, &pty.Winsize{Rows: tm.rows, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	if tm.before, err = term.GetState(theirs.Fd()); err != nil {
		t.Fatal(err)
	}
	tm.cmd = exec.Command(os.Args[0], args...)
	tm.cmd.Env = append(append(os.Environ(), "TERM=xterm-256color", "NO_COLOR=", asProgram+"=named"), env...)
	tm.cmd.Stdin, tm.cmd.Stdout, tm.cmd.Stderr = theirs, theirs, theirs
	tm.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := tm.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := mine.Read(buf)
			tm.mu.Lock()
			tm.output.Write(buf[:n])
			tm.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	go func() {
		_ = tm.cmd.Wait()
		close(tm.ended)
	}()
	t.Cleanup(func() { _ = tm.cmd.Process.Kill(); <-tm.ended })
	return tm
}

func (tm *terminal) all() string {
	tm.mu.Lock()
	defer tm.mu.Unlock()
	return tm.output.String()
}

// expect waits until text is on the screen. A new size makes the program draw all of
// it again, so that text is there in one piece.
func (tm *terminal) expect(texts ...string) {
	tm.t.Helper()
	var screen string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		tm.rows ^= 1 // 24, 25
		from := len(tm.all())
		if err := pty.Setsize(tm.mine, &pty.Winsize{Rows: tm.rows, Cols: 80}); err != nil {
			tm.t.Fatal(err)
		}
		for range 10 {
			time.Sleep(100 * time.Millisecond)
			screen = tm.all()[from:]
			missing := false
			for _, text := range texts {
				missing = missing || !strings.Contains(screen, text)
			}
			if !missing {
				return
			}
		}
	}
	tm.t.Fatalf("%q did not come; the last screen is %q", texts, screen)
}

func (tm *terminal) press(keys string) {
	tm.t.Helper()
	if _, err := io.WriteString(tm.mine, keys); err != nil {
		tm.t.Fatal(err)
	}
}

// end waits until the program has ended, and compares the terminal with what it was.
func (tm *terminal) end(code int) string {
	tm.t.Helper()
	select {
	case <-tm.ended:
	case <-time.After(time.Minute):
		tm.t.Fatalf("the program goes on: %q", tm.all())
	}
	if got := tm.cmd.ProcessState.ExitCode(); got != code {
		tm.t.Errorf("exit code %d (%v), want %d", got, tm.cmd.ProcessState, code)
	}
	after, err := term.GetState(tm.theirs.Fd())
	if err != nil {
		tm.t.Fatal(err)
	}
	if !reflect.DeepEqual(after, tm.before) {
		tm.t.Errorf("the terminal is not as it was: %+v, want %+v", after, tm.before)
	}
	time.Sleep(100 * time.Millisecond) // the last of its output
	out := tm.all()
	for on, off := range map[string]string{"\x1b[?1049h": "\x1b[?1049l", "\x1b[?25l": "\x1b[?25h", "\x1b[?2004h": "\x1b[?2004l"} {
		if strings.LastIndex(out, on) < 0 || strings.LastIndex(out, off) < strings.LastIndex(out, on) {
			tm.t.Errorf("%q was not undone by %q", on, off)
		}
	}
	return out
}

// database is a file with odd names in it.
func database(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pods.db")
	s, err := boltstore.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	var changes []store.Change
	for _, name := range append([]string{"coordinator", "worker-1", "worker-2"}, oddNames...) {
		changes = append(changes, store.Change{Pod: name, Op: store.Put{Metadata: &store.Metadata{PodName: name}}})
	}
	changes = append(changes,
		store.Change{Pod: "coordinator", Op: store.AddChild{Child: store.SpawnedChild{PodName: "worker-1", SocketPath: "/run/\x1b]0;evil\x07.sock"}}},
		store.Change{Pod: "coordinator", Op: store.SetActive{Active: store.PendingSegment(store.NewSessionID()), Manifest: []byte("{\"model\":\"large-2\",\"evil\":\"\u009b31m\"}")}})
	if _, err := s.Apply(t.Context(), changes, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestSession is a whole session: look, filter, detail, JSON, back, quit.
func TestSession(t *testing.T) {
	path := database(t)
	tm := start(t, nil, "ui", path)
	tm.expect("coordinator", "worker-1", "36 Pods", `"\x1b[31mred\x1b[0m"`, "? help")
	tm.press("/")
	tm.expect("enter keep")
	tm.press("work")
	tm.expect("/work", "worker-2")
	tm.press("\r")
	tm.expect("filter: work")
	tm.press("kkk\r") // the parent of what was found
	tm.expect("Children  1", `/run/\x1b]0;evil\a.sock`, "large-2", `\u009b31m`)
	tm.press("y")
	tm.expect("coordinator JSON", `"spawned_children": [`)
	// The file is not held: another process can write it meanwhile.
	s, err := boltstore.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Do(t.Context(), s, "brand-new", store.AddPeer{PodName: "worker-1"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	tm.press("r")
	tm.expect("37 Pods", "brand-new: new")
	tm.press("\x1b")
	tm.expect("filter: work")
	tm.press("q")
	out := tm.end(0)
	for _, bad := range []string{"\x1b]0;", "\u009b", "\u202e", "\u200d", "\x1b[31mred"} {
		if strings.Contains(out, bad) {
			t.Errorf("%q reached the terminal", bad)
		}
	}
}

// TestEnds has other ways to end.
func TestEnds(t *testing.T) {
	t.Run("ctrl-c", func(t *testing.T) {
		tm := start(t, nil, "ui", database(t))
		tm.expect("coordinator")
		tm.press("/\x03")
		tm.end(0)
	})
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			tm := start(t, []string{asProgram + "=changing"}, "ui", "x.db")
			tm.expect("second")
			if err := tm.cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			tm.end(130)
		})
	}
	t.Run("panic in watch", func(t *testing.T) {
		tm := start(t, []string{asProgram + "=panic in watch"}, "ui", "x.db")
		if out := tm.end(1); !strings.Contains(out, "the watch broke down") {
			t.Errorf("nothing says why: %q", out)
		}
	})
	t.Run("panic in read", func(t *testing.T) {
		tm := start(t, []string{asProgram + "=panic in read"}, "ui", "x.db")
		tm.expect("first")
		tm.press("\r")
		if out := tm.end(1); !strings.Contains(out, "the reading broke down") {
			t.Errorf("nothing says why: %q", out)
		}
	})
}

func TestLive(t *testing.T) {
	for _, as := range []string{"changing", "no watch"} {
		t.Run(as, func(t *testing.T) {
			tm := start(t, []string{asProgram + "=" + as}, "ui", "x.db")
			if as == "changing" {
				tm.expect("live", "second: peer +", "first")
			} else {
				tm.expect("as of", "second", "first")
			}
			tm.press("\r")
			tm.expect("Manifest  none")
			tm.press("q")
			tm.end(0)
		})
	}
	t.Run("lost", func(t *testing.T) {
		tm := start(t, []string{asProgram + "=lost"}, "ui", "x.db")
		tm.expect("not live", `\x1b[2Jnobody answers`)
		tm.press("q")
		tm.end(0)
	})
}

// TestColours has what says that a terminal is to have none, and one that has.
func TestColours(t *testing.T) {
	for name, test := range map[string]struct {
		env             string
		colours, styles bool
	}{
		"xterm":    {"TERM=xterm", true, true},
		"NO_COLOR": {"NO_COLOR=yes", false, true},
		"dumb":     {"TERM=dumb", false, false},
		"no TERM":  {"TERM=", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			tm := start(t, []string{test.env, asProgram + "=changing"}, "ui", "x.db")
			tm.expect("second: peer +", "> ")
			tm.press("q")
			out := tm.end(0)
			if got := regexp.MustCompile(`\x1b\[([0-9;]*;)?[34][0-9][;m]`).FindString(out); (got != "") != test.colours {
				t.Errorf("colours: %q", got)
			}
			if got := regexp.MustCompile(`\x1b\[[1-9][0-9;]*m`).FindString(out); (got != "") != test.styles {
				t.Errorf("styles: %q", got)
			}
		})
	}
}

// TestRefused fails before the terminal is taken.
func TestRefused(t *testing.T) {
	run := func(args ...string) (string, int) {
		cmd := exec.Command(os.Args[0], args...)
		cmd.Env = append(os.Environ(), asProgram+"=named")
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	if out, code := run("ui", "x.db"); code != 2 || !strings.Contains(out, "standard output is no terminal; list and tree write text") {
		t.Errorf("exit %d, %s", code, out)
	}
	if out, code := run("ui", "--json", "x.db"); code != 2 || !strings.Contains(out, "list and tree write JSON") {
		t.Errorf("exit %d, %s", code, out)
	}
	for arg, code := range map[string]int{filepath.Join(t.TempDir(), "missing.db"): 10, "unix:" + filepath.Join(t.TempDir(), "missing.sock"): 10} {
		tm := start(t, nil, "ui", arg)
		<-tm.ended
		time.Sleep(100 * time.Millisecond)
		if got := tm.cmd.ProcessState.ExitCode(); got != code || strings.Contains(tm.all(), "\x1b[") {
			t.Errorf("%s: exit %d, %q", arg, got, tm.all())
		}
	}
}
