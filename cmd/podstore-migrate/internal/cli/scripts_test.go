package cli

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/jsonexport"
	"podstore/store/podjson"
	"podstore/store/socketstore"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata/*.txtar and in the documents' sessions")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"podstore-migrate": func() { os.Exit(Main("podstore-migrate")) }, "busy-supervisor": busySupervisor})
}

func TestScripts(t *testing.T) {
	golden, err := filepath.Abs("../../../../testdata/golden")
	if err != nil {
		t.Fatal(err)
	}
	upstream := filepath.Join(golden, "../upstream")
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GOLDEN", golden)
			env.Setenv("UPSTREAM", upstream)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":     exits,
			"pods":      pods,
			"damage":    damage,
			"hold":      hold,
			"serve":     serve,
			"emptydb":   emptyDB,
			"interrupt": interrupt,
			"age":       age,
			"shape":     readShapes(t).shape,
		},
	})
}

// exits CODE PROGRAM ARGS...: runs a program, which must end with this code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var e *exec.ExitError
		if !errors.As(err, &e) {
			ts.Fatalf("%v", err)
		}
		got = e.ExitCode()
	}
	ts.Setenv("EXIT", args[0])
	if (got == want) == neg {
		ts.Fatalf("exit code %d, want %d (negated: %v)", got, want, neg)
	}
}

// pods DIR NAME[=MANIFEST]...: writes Pods to a directory. A name may be quoted
// as in Go.
func pods(ts *testscript.TestScript, _ bool, args []string) {
	dir, err := jsonexport.OpenDir(ts.MkAbs(args[0]), nil)
	ts.Check(err)
	for _, arg := range args[1:] {
		name, manifest, _ := strings.Cut(arg, "=")
		if strings.HasPrefix(name, `"`) {
			name, err = strconv.Unquote(name)
			ts.Check(err)
		}
		m := &store.Metadata{PodName: name}
		if manifest != "" {
			m.Manifest = []byte(manifest)
		}
		first, count, many := strings.Cut(name, "*")
		if !many {
			ts.Check(store.Write(context.Background(), dir, m))
			continue
		}
		n, err := strconv.Atoi(count) // NAME*N: that many
		ts.Check(err)
		for i := range n {
			m.PodName = first + strconv.Itoa(i)
			ts.Check(os.Mkdir(filepath.Join(dir.RootDir(), m.PodName), 0o700))
			ts.Check(os.WriteFile(filepath.Join(dir.RootDir(), m.PodName, "metadata.json"), podjson.Append(nil, m), 0o600))
		}
	}
}

// damage FILE TEXT: flips a bit in every place where a file has a text.
func damage(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	places := 0
	for at := 0; ; places++ {
		i := bytes.Index(data[at:], []byte(args[1]))
		if i < 0 {
			break
		}
		at += i + 1
		data[at] ^= 4
	}
	if places == 0 {
		ts.Fatalf("%s has no %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(path, data, 0o600))
}

// hold DB: keeps a database open for writing until the script ends.
func hold(ts *testscript.TestScript, _ bool, args []string) {
	s, err := boltstore.Open(ts.MkAbs(args[0]), nil)
	ts.Check(err)
	ts.Defer(func() { _ = s.Close() })
}

// emptydb DB: creates a database without Pods.
func emptyDB(ts *testscript.TestScript, _ bool, args []string) {
	s, err := boltstore.Open(ts.MkAbs(args[0]), nil)
	ts.Check(err)
	ts.Check(s.Close())
}

// serve DB SOCKET [reading|changing]: keeps a database open for writing and serves it
// until the script ends: for reading alone, or without snapshots.
func serve(ts *testscript.TestScript, _ bool, args []string) {
	s, err := boltstore.Open(ts.MkAbs(args[0]), nil)
	ts.Check(err)
	l, err := socketstore.Listen(ts.MkAbs(args[1]))
	ts.Check(err)
	served, opts := store.MetadataStore(s), &socketstore.ServerOptions{Logger: slog.New(slog.DiscardHandler)}
	switch {
	case len(args) == 2:
	case args[2] == "reading":
		opts.Authorize = func(context.Context, socketstore.Caller, []store.Change) error {
			return errors.New("this socket is for reading")
		}
	case args[2] == "changing":
		served = struct{ store.MetadataStore }{s}
	}
	server := socketstore.NewServer(served, opts)
	go func() { _ = server.Serve(l) }()
	ts.Defer(func() {
		_ = server.Close()
		_ = s.Close()
	})
}

// interrupt FILE STDERR PROGRAM ARGS...: runs a program, sends it an interrupt as
// soon as FILE has more than 100 KB, and expects exit code 130. Its messages are written to the
// file STDERR.
func interrupt(ts *testscript.TestScript, _ bool, args []string) {
	program := ""
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if p := filepath.Join(dir, args[2]); program == "" {
			if _, err := os.Stat(p); err == nil {
				program = p
			}
		}
	}
	var stderr bytes.Buffer
	cmd := exec.Command(program, args[3:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Stderr = &stderr
	ts.Check(cmd.Start())
	for {
		if info, err := os.Stat(ts.MkAbs(args[0])); err == nil && info.Size() > 100_000 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	ts.Check(cmd.Process.Signal(os.Interrupt))
	_ = cmd.Wait()
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), stderr.Bytes(), 0o600))
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
		ts.Fatalf("exit code %d, want %d\n%s", code, exitInterrupted, stderr.Bytes())
	}
}

// age DIR...: makes everything in a directory look as if it was written an hour
// ago. Files that were written just now and are no metadata are read again for
// two seconds.
func age(ts *testscript.TestScript, _ bool, args []string) {
	old := time.Now().Add(-time.Hour)
	for _, dir := range args {
		ts.Check(filepath.WalkDir(ts.MkAbs(dir), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.Type()&fs.ModeSymlink != 0 {
				return err
			}
			return os.Chtimes(path, old, old)
		}))
	}
}
