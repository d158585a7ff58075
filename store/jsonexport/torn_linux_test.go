package jsonexport

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"podstore/store"
)

// version is one of the versions that the other process writes: a whole document
// in which every number is the version's. They have different sizes.
func version(pod string, v int) []byte {
	number := fmt.Appendf(nil, "%d,", v)
	m := &store.Metadata{PodName: pod, Manifest: append(append([]byte("["), bytes.Repeat(number, 1500+500*v)...), number[0], ']')}
	return Append(nil, m)
}

// rewrite truncates and rewrites every Pod's file until the process is killed,
// as the program that podstore replaces does.
func rewrite(root string) error {
	var versions [4][]byte
	for i := 0; ; i++ {
		entries, err := os.ReadDir(root)
		if err != nil {
			return err
		}
		for _, e := range entries {
			for v := range versions {
				versions[v] = version(e.Name(), v)
			}
			if err := os.WriteFile(filepath.Join(root, e.Name(), fileName), versions[i%len(versions)], 0o600); err != nil {
				return err
			}
		}
	}
}

// rewriting starts another process that keeps rewriting every Pod below root.
func rewriting(t *testing.T, root string) {
	t.Helper()
	cmd := command(t, childJob{Do: "rewrite", To: root})
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

// TestReadWhileAnotherProcessRewrites: of a file that is truncated and rewritten
// without pause, a mixture of two versions is never accepted.
func TestReadWhileAnotherProcessRewrites(t *testing.T) {
	root := tree(t, map[string]string{"pod/metadata.json": string(version("pod", 0))})
	d := openDir(t, root)
	if m, err := d.Read(t.Context(), "pod"); err != nil || !uniform(m.Manifest) || uniform([]byte("[1,2]")) {
		t.Fatalf("the test itself: %v", err)
	}
	rewriting(t, root)
	good, bad := 0, 0
	reads := points(2000, 20000)
	for range reads {
		m, err := d.Read(t.Context(), "pod")
		switch {
		case err == nil && uniform(m.Manifest):
			good++
		case err == nil:
			t.Fatalf("a mixture was accepted: %s", m.Manifest)
		case errors.Is(err, store.ErrCorrupt):
			bad++
		default:
			t.Fatal(err)
		}
	}
	t.Logf("%d reads: %d whole, %d refused, 0 mixed", reads, good, bad)
	if good == 0 || bad == 0 {
		t.Error("the writer and the reader did not meet")
	}
}

// TestImportBesideBusyWriter: every import of a tree that is being rewritten
// takes every Pod, whole.
func TestImportBesideBusyWriter(t *testing.T) {
	files := map[string]string{}
	for _, name := range []string{"pod", "pod-2", "pod-3"} {
		files[name+"/metadata.json"] = string(version(name, 0))
	}
	root := tree(t, files)
	rewriting(t, root)
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
