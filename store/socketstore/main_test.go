package socketstore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"podstore/store/boltstore"
	"podstore/store/socketstore"
)

// The tests run real server and client processes: this test binary again, with
// its role in the environment.
const roleVariable = "PODSTORE_SOCKET_ROLE"

// roles are the programs that a child process can run.
var roles = map[string]func(){"server": serverMain}

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		roles[role]()
		return
	}
	os.Exit(m.Run())
}

// child starts this binary again in a role.
func child(t testing.TB, role string, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return childOf(exe, role, args...)
}

func childOf(exe, role string, args ...string) *exec.Cmd {
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	return cmd
}

// serverMain serves databases. Its input says "open DB SOCKET" or "close DB", and it
// answers each with a line. It ends with its input.
func serverMain() {
	open := map[string]func() error{}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		words := strings.Split(in.Text(), "\t")
		var err error
		switch words[0] {
		case "open":
			open[words[1]], err = serve(words[1], words[2], nil)
		case "close":
			err = open[words[1]]()
		}
		if err != nil {
			fmt.Println(strings.ReplaceAll(err.Error(), "\n", " "))
			continue
		}
		fmt.Println("ok")
	}
}

// serve opens a database and serves it at a socket, as a supervisor does.
func serve(db, socket string, opts *socketstore.ServerOptions) (stop func() error, err error) {
	s, err := boltstore.Open(db, nil)
	if err != nil {
		return nil, err
	}
	l, err := socketstore.Listen(socket)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	server := socketstore.NewServer(s, opts)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err := server.Shutdown(ctx)
		if served := <-done; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return errors.Join(err, s.Close())
	}, nil
}

// supervisor is a process that serves databases.
type supervisor struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
	mu  sync.Mutex
}

func startSupervisor(t testing.TB) *supervisor {
	t.Helper()
	return start(t, child(t, "server"))
}

func start(t testing.TB, cmd *exec.Cmd) *supervisor {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &supervisor{cmd: cmd, in: in, out: bufio.NewScanner(out)}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	return p
}

// do gives the supervisor an order and waits for the answer.
func (p *supervisor) do(t testing.TB, words ...string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := fmt.Fprintln(p.in, strings.Join(words, "\t")); err != nil {
		t.Fatal(err)
	}
	if !p.out.Scan() {
		t.Fatalf("the server ended at %q: %v", words, p.out.Err())
	}
	if p.out.Text() != "ok" {
		t.Fatalf("%q: %s", words, p.out.Text())
	}
}

var background = context.Background()

// shortDir returns a directory with a name short enough for sockets.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ps")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// served is a database that a supervisor serves, and a client of it.
type served struct {
	*socketstore.Client
	by  *supervisor
	dir string
}

func (s *served) db() string     { return filepath.Join(s.dir, "pods.db") }
func (s *served) socket() string { return filepath.Join(s.dir, "s") }

// openServed makes a supervisor serve a new database.
func openServed(t testing.TB, by *supervisor) *served {
	t.Helper()
	s := &served{by: by, dir: shortDir(t)}
	s.open(t)
	return s
}

// open makes the supervisor serve the database until close or the end of the test.
func (s *served) open(t testing.TB) {
	t.Helper()
	s.by.do(t, "open", s.db(), s.socket())
	s.Client = dial(t, s.socket(), &socketstore.Options{Grace: time.Minute})
	t.Cleanup(func() { s.close(t) })
}

// dial returns a client that lives until the end of the test.
func dial(t testing.TB, socket string, opts *socketstore.Options) *socketstore.Client {
	t.Helper()
	c, err := socketstore.Dial(background, socket, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// close ends the serving.
func (s *served) close(t testing.TB) {
	t.Helper()
	if s.Client == nil {
		return
	}
	if err := s.Client.Close(); err != nil {
		t.Error(err)
	}
	s.Client = nil
	s.by.do(t, "close", s.db())
}

// long reports whether the tests run with their full counts.
func long() bool { return os.Getenv("PODSTORE_LONG") != "" }
