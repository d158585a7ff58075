package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/jsonexport"
	"podstore/store/jsonlstore"
	"podstore/store/socketstore"
)

// TestMain lets the test binary be the supervisor, so that it can be killed, and its
// Pods.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv("SUPERVISOR") == "":
	case len(os.Args) == 3 && !strings.HasPrefix(os.Args[1], "-"):
		podMain(os.Args[1], os.Args[2])
		return
	default:
		main()
		return
	}
	os.Exit(m.Run())
}

func TestWorkOnTheExampleTree(t *testing.T) {
	ctx := context.Background()
	db := filepath.Join(t.TempDir(), "pods.db")
	pods, err := boltstore.Open(db, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jsonexport.Import(ctx, pods, "../../testdata/example/pods", jsonexport.ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := pods.Close(); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	dir := filepath.Join(t.TempDir(), "debug")
	if err := run(ctx, &out, db, dir, "", "", ""); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`restored "翻訳者" in session`, `restored "reviewer" in session 0197f1d3-1d55-7b13-b6c3-456789abcdef, with a new segment`,
		"coordinator spawned builder", "builder and tester are peers", "coordinator reclaimed what it delegated to tester", "exported 7 Pods",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	tree, err := jsonexport.OpenDir(dir, &jsonexport.DirOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	m, err := tree.Read(ctx, "coordinator")
	if err != nil {
		t.Fatal(err)
	}
	children, reclaimed := []string{}, []string{}
	for _, c := range m.Children {
		children = append(children, c.PodName)
	}
	for _, c := range m.Reclaimed {
		reclaimed = append(reclaimed, c.PodName)
	}
	if got := strings.Join(children, " "); got != "indexer reviewer builder" {
		t.Errorf("children: %s", got)
	}
	if got := strings.Join(reclaimed, " "); got != "scout tester" {
		t.Errorf("reclaimed: %s", got)
	}
}

// Old session logs in which no Pod is are deleted, and no others.
func TestOldSessions(t *testing.T) {
	ctx := context.Background()
	db, root := filepath.Join(t.TempDir(), "pods.db"), filepath.Join(t.TempDir(), "sessions")
	pods, err := boltstore.Open(db, nil)
	if err != nil {
		t.Fatal(err)
	}
	logs, err := jsonlstore.Open(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	used, old, fresh := store.NewSessionID(), store.NewSessionID(), store.NewSessionID()
	if err := store.Do(ctx, pods, "agent", store.SetActive{Active: store.PendingSegment(used)}); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-30 * 24 * time.Hour)
	for _, id := range []store.SessionID{used, old, fresh} {
		if err := logs.Append(ctx, id, store.NewSegmentID(), []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
		if id == fresh {
			continue
		}
		err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
			return errors.Join(err, os.Chtimes(path, long, long))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(logs.Close(), pods.Close()); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := run(ctx, &out, db, "", root, "", ""); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "deleted session"); n != 1 || !strings.Contains(out.String(), "deleted session "+old.String()) {
		t.Errorf("%d sessions were deleted:\n%s", n, &out)
	}
	if entries, err := os.ReadDir(root); err != nil || len(entries) != 2 {
		t.Errorf("%v, %v", entries, err)
	}
}

// TestKilledAndRestored kills a supervisor with signal 9 and starts another one
// on the same database and socket.
func TestKilledAndRestored(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	db, socket := filepath.Join(dir, "pods.db"), filepath.Join(dir, "s")
	start := func() (*exec.Cmd, string) {
		cmd := exec.Command(os.Args[0], "-socket", socket, db)
		cmd.Env = append(os.Environ(), "SUPERVISOR=1")
		cmd.Stderr = os.Stderr
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		var said strings.Builder
		in := bufio.NewReader(stdout)
		for {
			line, err := in.ReadString('\n')
			said.WriteString(line)
			if strings.HasPrefix(line, "serving on ") {
				go func() { _, _ = io.Copy(io.Discard, in) }()
				return cmd, said.String()
			}
			if err != nil {
				t.Fatalf("it ended: %v\n%s", err, &said)
			}
		}
	}
	first, said := start()
	if strings.Contains(said, "restored") || !strings.Contains(said, "coordinator spawned tester") {
		t.Errorf("first start:\n%s", said)
	}
	live, err := socketstore.Dial(ctx, socket, nil)
	if err != nil {
		t.Fatal(err)
	}
	before, err := live.Read(ctx, "builder")
	if err != nil {
		t.Fatal(err)
	}
	if err := live.Close(); err != nil {
		t.Fatal(err)
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()

	second, said := start()
	want := `restored "builder" in session ` + before.Active.SessionID.String()
	if !strings.Contains(said, want) || strings.Contains(said, "spawned builder") {
		t.Errorf("second start: no %q, or spawned again, in\n%s", want, said)
	}
	if err := second.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := second.Wait(); err != nil {
		t.Errorf("terminated: %v", err)
	}
	pods, err := boltstore.Open(db, &boltstore.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer pods.Close()
	m, err := pods.Read(ctx, "tester")
	if err != nil || !m.HasPeer("builder") {
		t.Errorf("tester: %+v, %v; want it to have the peer builder", m, err)
	}
	if _, err := os.Stat(socket); err == nil {
		t.Error("the socket is still there")
	}
	if err := socketstore.FetchSnapshot(ctx, socket, io.Discard); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("live access to a supervisor that has ended: %v", err)
	}
}
