package jsonexport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/podjson"
)

// version is one of the versions that the other process writes: a whole document
// in which every number is the version's. All have the same size, so that the
// beginning of one and the end of another make a whole document too.
func version(pod string, v int) []byte {
	number := fmt.Appendf(nil, "%d,", v)
	m := &store.Metadata{PodName: pod, Manifest: append(append([]byte("["), bytes.Repeat(number, 5_000)...), number[0], ']')}
	return podjson.Append(nil, m)
}

// rewrite truncates and rewrites every Pod's file until the process is killed,
// as the program that podstore replaces does. With a pause it writes a buffer at
// a time, so that the file is half written as often as it is whole; without, it
// is empty most of the time.
func rewrite(root string, pause time.Duration) error {
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		for _, e := range entries {
			data := version(e.Name(), i%4)
			f, err := os.Create(filepath.Join(root, e.Name(), fileName))
			if err != nil {
				return err
			}
			buffer := len(data)
			if pause > 0 {
				buffer = 12 << 10
			}
			for part := range slices.Chunk(data, buffer) {
				if _, err := f.Write(part); err != nil {
					return err
				}
				wait(pause)
			}
			if err := f.Close(); err != nil {
				return err
			}
			wait(3 * pause)
		}
	}
}

// wait is a sleep that is exact.
func wait(pause time.Duration) {
	for start := time.Now(); time.Since(start) < pause; {
	}
}

// rewriting starts another process that keeps rewriting every Pod below root.
func rewriting(t *testing.T, root string, pause time.Duration) {
	t.Helper()
	cmd := command(t, childJob{Do: "rewrite", To: root, Pause: pause})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState != nil {
			t.Error("the writer ended")
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	// It is at work when the file has changed.
	path := filepath.Join(root, "pod", fileName)
	for first, err := os.Stat(path); ; {
		now, err2 := os.Stat(path)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		if now.ModTime() != first.ModTime() {
			return
		}
	}
}

// uniform reports whether a manifest is of one version alone.
func uniform(manifest []byte) bool {
	return len(manifest) > 1 && len(bytes.Trim(manifest, fmt.Sprintf("[%c,]", manifest[1]))) == 0
}

// readOften reads a Pod many times and counts what it got. A naive reader has no
// rules, and stops at the first mixture.
func readOften(root string, times int, naive bool) (whole, refused, mixed int, err error) {
	d, err := OpenDir(root, nil)
	if err != nil {
		return 0, 0, 0, err
	}
	for range times {
		var m *store.Metadata
		if naive {
			var data []byte
			if data, err = os.ReadFile(filepath.Join(root, "pod", fileName)); err != nil {
				return 0, 0, 0, err
			}
			m, err = podjson.Decode(data)
		} else {
			m, err = d.Read(context.Background(), "pod")
		}
		switch {
		case err == nil && uniform(m.Manifest):
			whole++
		case err == nil:
			if mixed++; naive {
				return whole, refused, mixed, nil
			}
		case errors.Is(err, store.ErrInvalid):
			refused++
		default:
			return 0, 0, 0, err
		}
	}
	return whole, refused, mixed, nil
}

// TestReadWhileAnotherProcessRewrites: of a file that is truncated and rewritten
// without pause, a mixture of two versions is never accepted.
func TestReadWhileAnotherProcessRewrites(t *testing.T) {
	if !uniform([]byte("[1,1]")) || uniform([]byte("[1,2]")) {
		t.Fatal("the test itself")
	}
	files := map[string]string{"pod/metadata.json": string(version("pod", 0))}
	atFullSpeed, naive := points(2000, 20000), 2000
	if testing.Short() {
		atFullSpeed, naive = 300, 500
	}
	t.Run("at full speed", func(t *testing.T) {
		root := tree(t, files)
		rewriting(t, root, 0)
		whole, refused, mixed, err := readOften(root, atFullSpeed, false)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d whole, %d refused, %d mixed", whole, refused, mixed)
		if mixed > 0 {
			t.Error("a mixture was accepted")
		}
	})
	// A reader that is held up after each look at the file, for longer than a
	// version lasts, sees mixtures, unless it has rules against them.
	t.Run("held up", func(t *testing.T) {
		root := tree(t, files)
		rewriting(t, root, 100*time.Microsecond)
		held := func(naive bool, times int) string {
			t.Helper()
			cmd := command(t, childJob{Do: "read-often", From: root, Times: times, Naive: naive}, strace(t, "pread64,read,fstat", "delay_exit=1200", 1)...)
			for i, arg := range cmd.Args {
				cmd.Args[i] = strings.TrimSuffix(arg, ":when=1") // each time
			}
			got, err := results(t, cmd)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("naive %v: %s", naive, got["pod"].Reason)
			return got["pod"].Reason
		}
		if strings.HasSuffix(held(true, naive), " 0 mixed") {
			t.Error("the test itself sees no mixtures")
		}
		if !strings.HasSuffix(held(false, points(60, 1000)), " 0 mixed") {
			t.Error("a mixture was accepted")
		}
	})
}

// TestImportBesideBusyWriter: every import of a tree that is being rewritten
// takes every Pod, whole.
func TestImportBesideBusyWriter(t *testing.T) {
	files := map[string]string{}
	for _, name := range []string{"pod", "pod-2", "pod-3"} {
		files[name+"/metadata.json"] = string(version(name, 0))
	}
	root := tree(t, files)
	rewriting(t, root, 0)
	for i := range points(10, 100) {
		s := stores["dir"](t)
		got := map[string]Result{}
		r, err := Import(t.Context(), s, root, ImportOptions{Progress: collect(t, got)})
		if err != nil || r.Counts[Imported] != len(files) {
			t.Errorf("import %d: %v, %v", i, got, err)
		}
		for m, err := range store.All(t.Context(), s, store.ReadOptions{}) {
			if err != nil || !uniform(m.Manifest) {
				t.Errorf("import %d: %v", i, err)
			}
		}
	}
}

// TestImportOfFileJustEmptied: the system empties a file before it sets its time, so the
// time of an empty file may be old although its writer is at work.
func TestImportOfFileJustEmptied(t *testing.T) {
	root := tree(t, map[string]string{"pod/metadata.json": ""})
	written := make(chan error, 1)
	time.AfterFunc(100*time.Millisecond, func() {
		written <- os.WriteFile(filepath.Join(root, "pod", fileName), version("pod", 1), 0o600)
	})
	got := map[string]Result{}
	r, err := Import(t.Context(), stores["dir"](t), root, ImportOptions{Progress: collect(t, got)})
	if err != nil || r.Counts[Imported] != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
}
