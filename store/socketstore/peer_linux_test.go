package socketstore_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/socketstore"
)

func init() { roles["knock"] = knockMain }

const nobody = 65534

// knockMain is a client that says what becomes of it: SOCKET.
func knockMain() {
	c, err := socketstore.Dial(os.Args[1], nil)
	switch {
	case err == nil:
		err = store.Write(background, c, &store.Metadata{PodName: "knocked"})
		fmt.Printf("let in: %v\n", err)
	case errors.Is(err, socketstore.ErrForbidden):
		fmt.Printf("forbidden: %v\n", err)
	default:
		fmt.Printf("failed: %v\n", err)
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

// Only the server's user and root are let in, even where the socket's permissions
// would let in others.
func TestOnlyTheSameUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to run as other users")
	}
	exe := forAll(t)
	s := openServed(t, startSupervisor(t))
	if out := knock(t, exe, s.socket(), nobody); !strings.HasPrefix(out, "failed") {
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

	// A server of another user: root may come in, a third user may not, and does
	// not trust it either.
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

// Whoever did not come through NewServer is refused, and so is who did not come
// through a Unix socket.
func TestUnknownPeersAreRefused(t *testing.T) {
	s, err := boltstore.Open(filepath.Join(t.TempDir(), "pods.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	h := socketstore.Handler(s, nil)
	plain := httptest.NewServer(h)
	defer plain.Close()
	guarded := httptest.NewUnstartedServer(nil)
	guarded.Config = socketstore.NewServer(h, nil)
	guarded.Start()
	defer guarded.Close()
	for _, server := range []*httptest.Server{plain, guarded} {
		resp, err := http.Post(server.URL+"/v1/pods", "", strings.NewReader(`{"name":"a","then":"delete"}`))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden || !strings.Contains(string(body), `"kind":"forbidden"`) {
			t.Errorf("%s: %s", resp.Status, body)
		}
	}
}
