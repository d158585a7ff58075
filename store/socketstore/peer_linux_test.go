package socketstore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"podstore/store"
	"podstore/store/memstore"
	"podstore/store/socketstore"
)

func init() { roles["knock"], roles["listen"] = knockMain, listenMain }

const nobody = 65534

// knockMain is a client that prints what happens to it: SOCKET.
func knockMain() {
	c, err := socketstore.Dial(background, os.Args[1], nil)
	switch {
	case err == nil:
		err = store.Write(background, c, &store.Metadata{PodName: "knocked"})
		fmt.Printf("let in: %v\n", err)
	case errors.Is(err, store.ErrForbidden):
		fmt.Printf("forbidden: %v\n", err)
	default:
		fmt.Printf("failed: %v\n", err)
	}
}

// listenMain listens at each SOCKET and prints what happens.
func listenMain() {
	for _, path := range os.Args[1:] {
		_, err := socketstore.Listen(path)
		fmt.Println(errors.Is(err, store.ErrLocked), errors.Is(err, syscall.EACCES), err)
	}
}

// Listen leaves alone another user's socket that it cannot try, and a directory in
// which it may create nothing.
func TestListenWithoutRights(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to run as other users")
	}
	exe := forAll(t)
	s := openServed(t, startSupervisor(t))
	if err := os.Chmod(s.dir, 0o777); err != nil {
		t.Fatal(err)
	}
	closed := shortDir(t)
	if err := os.Chmod(closed, 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := as(childOf(exe, "listen", s.socket(), filepath.Join(closed, "s"), filepath.Join(s.dir, "own")), nobody).Output()
	lines := strings.Split(string(out), "\n")
	if err != nil || len(lines) != 4 || !strings.HasPrefix(lines[0], "true true ") || !strings.HasPrefix(lines[1], "false true ") || lines[2] != "false false <nil>" {
		t.Errorf("%s, %v", out, err)
	}
	if _, err := s.List(t.Context()); err != nil {
		t.Error(err)
	}
}

// as makes a process run as another user.
func as(cmd *exec.Cmd, uid uint32) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	cmd.Stderr = nil // where coverage is measured, it says that it may not write it
	return cmd
}

// knock connects as another user, in a process of its own.
func knock(t *testing.T, exe, socket string, uid uint32) string {
	t.Helper()
	out, err := as(childOf(exe, "knock", socket), uid).Output()
	if err != nil {
		t.Fatalf("%s, %v", out, err)
	}
	return string(out)
}

// forAll copies this binary to where every user can run it.
func forAll(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	dir := shortDir(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "test")
	if err := os.WriteFile(copied, data, 0o755); err != nil {
		t.Fatal(err)
	}
	return copied
}

// Only the server's user and root may connect, even if the socket's permissions allow
// others.
func TestOnlyTheSameUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to run as other users")
	}
	exe := forAll(t)
	s := openServed(t, startSupervisor(t))
	if out := knock(t, exe, s.socket(), nobody); !strings.HasPrefix(out, "forbidden") || !strings.Contains(out, "permission denied") {
		t.Errorf("another user, at a socket of mode 0600 in a directory of mode 0700: %s", out)
	}
	if err := os.Chmod(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(s.socket(), 0o666); err != nil {
		t.Fatal(err)
	}
	if out := knock(t, exe, s.socket(), nobody); !strings.HasPrefix(out, "forbidden") {
		t.Errorf("another user: %s", out)
	}
	if names, err := s.List(t.Context()); err != nil || len(names) != 0 {
		t.Errorf("it has written: %q, %v", names, err)
	}
	if out := knock(t, exe, s.socket(), 0); !strings.HasPrefix(out, "let in: <nil>") {
		t.Errorf("the same user: %s", out)
	}

	// A server of another user accepts root. It refuses a third user, who does not
	// trust it either.
	own := shortDir(t)
	if err := os.Chown(own, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	other := &served{by: start(t, as(childOf(exe, "server"), nobody)), dir: own}
	other.open(t)
	if err := os.Chmod(other.socket(), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(own, 0o755); err != nil {
		t.Fatal(err)
	}
	if out := knock(t, exe, other.socket(), nobody); !strings.HasPrefix(out, "let in: <nil>") {
		t.Errorf("the same user: %s", out)
	}
	if out := knock(t, exe, other.socket(), nobody-1); !strings.HasPrefix(out, "forbidden") {
		t.Errorf("a third user: %s", out)
	}
	if names, err := other.List(t.Context()); err != nil || len(names) != 1 {
		t.Errorf("root: %q, %v", names, err)
	}
}

// The server refuses a caller that does not come through a Unix socket.
func TestUnknownPeersAreRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pods := memstore.New()
	server := socketstore.NewServer(pods, nil)
	go server.Serve(l)
	defer server.Close()
	resp, err := http.Post("http://"+l.Addr().String()+"/v2/changes", "", strings.NewReader(`{"pod":"a","op":"add_peer","peer":"b"}`))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden || !strings.Contains(string(body), `"kind":"forbidden"`) {
		t.Errorf("%s: %s", resp.Status, body)
	}
	if pods.Number() != 0 {
		t.Error("something was changed")
	}
}

// Where no file can be made, Listen tells the kernel's reason.
func TestListenWhereNothingCanBeMade(t *testing.T) {
	l, err := socketstore.Listen("/proc/podstore")
	if err == nil {
		l.Close()
	}
	if e, ok := errors.AsType[*store.Error](err); !ok || e.Op != "listen" || e.Kind != nil || strings.Count(err.Error(), "/proc/podstore") != 1 {
		t.Error(err)
	}
}

// The server does not trust a process that has ended, even if another one still has its
// connection: its PID may be anybody's by now.
func TestEndedPeerIsRefused(t *testing.T) {
	if !kernelHolds(t) {
		t.Skip("this kernel has no SO_PEERPIDFD")
	}
	pods := memstore.New()
	socket := filepath.Join(shortDir(t), "s")
	l, err := socketstore.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan socketstore.Caller, 10)
	server := socketstore.NewServer(pods, &socketstore.ServerOptions{Authorize: func(_ context.Context, who socketstore.Caller, _ []store.Change) error {
		asked <- who
		return nil
	}})
	go server.Serve(l)
	defer server.Close()

	out, err := childOf(os.Args[0], "leave", socket).Output()
	if err != nil {
		t.Fatalf("%s, %v", out, err)
	}
	if !strings.Contains(string(out), "while it lived: 200") || !strings.Contains(string(out), "after it ended: 403") {
		t.Errorf("%s", out)
	}
	if who := <-asked; who.PID == 0 || who.PID == os.Getpid() || int(who.UID) != os.Geteuid() {
		t.Errorf("the caller is %+v", who)
	}
	if m, err := pods.Read(t.Context(), "a"); err != nil || len(m.Peers) != 1 {
		t.Errorf("%+v, %v", m, err)
	}
}

func kernelHolds(t *testing.T) bool {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	pidfd, err := unix.GetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	if err == nil {
		unix.Close(pidfd)
	}
	return err == nil
}

func init() { roles["leave"], roles["stay"], roles["inherit"] = leaveMain, stayMain, inheritMain }

// leaveMain starts a process that connects and hands its connection to another one, and
// waits for that: SOCKET.
func leaveMain() {
	cmd := childOf(os.Args[0], "stay", os.Args[1])
	cmd.Stdout = os.Stdout
	r, w, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	cmd.ExtraFiles = []*os.File{w} // held by the last one
	if err := cmd.Run(); err != nil {
		panic(err)
	}
	w.Close()
	_, _ = io.Copy(io.Discard, r)
}

// stayMain connects, and makes a change.
func stayMain() {
	c, err := net.Dial("unix", os.Args[1])
	if err != nil {
		panic(err)
	}
	fmt.Println("while it lived:", post(c, "b"))
	f, err := c.(*net.UnixConn).File()
	if err != nil {
		panic(err)
	}
	cmd := childOf(os.Args[0], "inherit", strconv.Itoa(os.Getpid()))
	cmd.Stdout = os.Stdout
	cmd.ExtraFiles = []*os.File{os.NewFile(3, "pipe"), f}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
}

// inheritMain makes another change on the connection of the ended process.
func inheritMain() {
	parent, _ := strconv.Atoi(os.Args[1])
	for os.Getppid() == parent {
		time.Sleep(time.Millisecond)
	}
	c, err := net.FileConn(os.NewFile(4, "conn"))
	if err != nil {
		panic(err)
	}
	status := post(c, "c")
	fmt.Println("after it ended:", status)
}

// post makes a change on a connection and returns the status.
func post(c net.Conn, peer string) int {
	body := fmt.Sprintf(`{"pod":"a","op":"add_peer","peer":%q}`, peer)
	fmt.Fprintf(c, "POST /v2/changes HTTP/1.1\r\nHost: p\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		panic(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}
