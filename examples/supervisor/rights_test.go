package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/podjson"
	"podstore/store/socketstore"
)

// attempt is what a Pod tries.
type attempt struct {
	name    string
	allowed bool
	changes []store.Change
}

func one(name string, allowed bool, pod string, op store.Op, c store.Condition) attempt {
	return attempt{name, allowed, []store.Change{{Pod: pod, Op: op, If: c}}}
}

// attempts are what the Pod builder tries: the child of coordinator, which was
// delegated /srv/work/builder.
func attempts(revision store.Revision) []attempt {
	wide := []store.ScopeRule{{Target: "/", Permission: "write", Recursive: true}}
	active := store.PendingSegment(store.NewSessionID())
	manifest := json.RawMessage(`{"model":"small-2","tools":["read","write","spawn"],"scope":["/"]}`)
	child := store.SpawnedChild{PodName: "builder", ScopeDelegated: wide}
	document := &store.Metadata{PodName: "builder", Active: active, Manifest: manifest}
	link := store.Change{Pod: "builder", Op: store.AddPeer{PodName: "coordinator"}, If: store.Exists}
	return []attempt{
		one("its segment", true, "builder", store.SetSegment{Active: active}, store.Exists),
		one("a field", true, "builder", store.SetField{Field: "workspace_id", Value: json.RawMessage(`"w"`)}, store.Exists),
		one("its segment, at a revision", false, "builder", store.SetSegment{Active: active}, store.AtRevision(revision)), // it is no longer that
		{"a link", true, []store.Change{link, {Pod: "coordinator", Op: store.AddPeer{PodName: "builder"}, If: store.Exists}}},
		{"no link", true, []store.Change{{Pod: "builder", Op: store.RemovePeer{PodName: "coordinator"}, If: store.SkipMissing},
			{Pod: "coordinator", Op: store.RemovePeer{PodName: "builder"}, If: store.SkipMissing}}},

		one("its manifest", false, "builder", store.SetActive{Active: active, Manifest: manifest}, store.Exists),
		one("a document", false, "builder", store.Put{Metadata: document}, store.Exists),
		one("its own children", false, "builder", store.AddChild{Child: store.SpawnedChild{PodName: "mine", ScopeDelegated: wide}}, store.Exists),
		one("its scope, in its parent", false, "coordinator", store.AddChild{Child: child}, store.Exists),
		one("its scope, with all of its parent's", false, "coordinator", store.SetChildren{Children: []store.SpawnedChild{child}}, store.Exists),
		one("its sibling's scope", false, "coordinator", store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: "builder"}}}, store.Exists),
		one("its parent's history", false, "coordinator", store.TrimReclaimed{}, store.Exists),
		one("another's segment", false, "tester", store.SetSegment{}, store.Exists),
		one("another's field", false, "tester", store.SetField{Field: "x", Value: json.RawMessage(`1`)}, store.Exists),
		one("another's links", false, "tester", store.RemovePeer{PodName: "coordinator"}, store.Exists),
		one("all of another's links", false, "tester", store.SetPeers{}, store.Exists),
		one("a Pod that does not exist", false, "ghost", store.AddPeer{PodName: "builder"}, store.Condition{}),
		one("to make a Pod", false, "ghost", store.AddPeer{PodName: "builder"}, store.Missing),
		one("to delete itself", false, "builder", store.Delete{}, store.Exists),
		one("to delete another", false, "tester", store.Delete{}, store.Exists),
		one("to remove another", false, "tester", store.Remove{}, store.Exists),
		{"what it may and what it may not", false, []store.Change{link, {Pod: "coordinator", Op: store.AddChild{Child: child}, If: store.Exists}}},
	}
}

// podMain is a Pod: NAME SOCKET. Only builder does something, and is done then. The others wait for the end.
func podMain(name, socket string) {
	pod, program, _ := strings.Cut(name, "/")
	switch pod {
	case "builder":
	default:
		time.Sleep(time.Hour)
	}
	ctx := context.Background()
	s, err := socketstore.Dial(ctx, socket, nil)
	if err != nil {
		log.Fatal(err)
	}
	if program == "program" {
		err := store.Do(ctx, s, "builder", store.SetSegment{})
		fmt.Println("a program of the Pod's:", errors.Is(err, store.ErrForbidden))
		return
	}
	m, err := s.Read(ctx, "builder")
	if err != nil {
		log.Fatal(err)
	}
	before := all(ctx, s)
	for _, a := range attempts(m.Version.Revision) {
		_, err := s.Apply(ctx, a.changes, nil)
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		now := all(ctx, s)
		if a.allowed != (err == nil) || err != nil && (!errors.Is(err, store.ErrForbidden) || now != before) {
			fmt.Printf("WRONG %s: %v\n%s\n", a.name, err, now)
		}
		before = now
	}
	// What it starts itself is no Pod.
	cmd := exec.Command(os.Args[0], "builder/program", socket)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		log.Fatal(err)
	}
	fmt.Println("builder has tried everything")
}

func all(ctx context.Context, s store.MetadataStore) (text string) {
	for m, err := range store.All(ctx, s, store.ReadOptions{}) {
		if err != nil {
			log.Fatal(err)
		}
		text += string(podjson.AppendPod(nil, store.Applied{Pod: m.PodName, Version: m.Version, Metadata: m})) + "\n"
	}
	return text
}

// serving is a supervisor that serves, with this binary for each Pod.
type serving struct {
	*socketstore.Client
	cmd *exec.Cmd
	out io.ReadCloser
	in  *bufio.Scanner
}

func startServing(t *testing.T) *serving {
	t.Helper()
	dir := t.TempDir()
	db, socket := filepath.Join(dir, "pods.db"), filepath.Join(dir, "s")
	cmd := exec.Command(os.Args[0], "-socket", socket, "-run", os.Args[0], db)
	cmd.Env = append(os.Environ(), "SUPERVISOR=1")
	cmd.Stderr = io.Discard // it says what it refuses
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	s := &serving{cmd: cmd, out: stdout, in: bufio.NewScanner(stdout)}
	s.until(t, "serving on "+socket)
	if s.Client, err = socketstore.Dial(t.Context(), socket, nil); err != nil {
		t.Fatal(err)
	}
	return s
}

// until reads what it says up to a line, which it must say.
func (s *serving) until(t *testing.T, line string) string {
	t.Helper()
	var said []string
	for s.in.Scan() {
		if said = append(said, s.in.Text()); s.in.Text() == line {
			return strings.Join(said, "\n")
		}
	}
	t.Fatalf("it does not say %q:\n%s", line, strings.Join(said, "\n"))
	return ""
}

func (s *serving) stop(t *testing.T) {
	t.Helper()
	if err := errors.Join(s.Close(), s.cmd.Process.Signal(syscall.SIGTERM)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, s.out)
	if err := s.cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// A Pod that tries to widen its scope, from both sides, and whatever else is not its
// business, is refused each time, and nothing is changed. When it is done it is removed,
// with every reference to it, and its parent has its scope back.
func TestRights(t *testing.T) {
	ctx := t.Context()
	s := startServing(t)
	text := s.until(t, "builder is done and removed")
	if strings.Contains(text, "WRONG") || !strings.Contains(text, "a program of the Pod's: true") || !strings.Contains(text, "builder has tried everything") {
		t.Errorf("%s", text)
	}
	if _, err := s.Read(ctx, "builder"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("builder is done: %v", err)
	}
	// Whoever is no Pod may read.
	m, err := s.Read(ctx, "coordinator")
	if err != nil {
		t.Fatal(err)
	}
	last := m.Reclaimed[len(m.Reclaimed)-1]
	if m.RefersTo("builder") || last.PodName != "builder" || len(last.ScopeDelegated) != 1 {
		t.Errorf("its parent: %+v", m)
	}
	if m, err = s.Read(ctx, "tester"); err != nil || m.RefersTo("builder") {
		t.Errorf("its peer: %+v, %v", m, err)
	}
	err = store.Do(ctx, s, "tester", store.SetSegment{})
	if !errors.Is(err, store.ErrForbidden) || !strings.Contains(err.Error(), `set segment pod "tester"`) || strings.Count(err.Error(), "not permitted") != 1 {
		t.Errorf("somebody else: %v", err)
	}
	s.stop(t)
}
