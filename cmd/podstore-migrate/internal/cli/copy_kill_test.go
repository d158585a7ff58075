package cli

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/podjson"
	"podstore/store/socketstore"
)

// TestCopyKilled kills copies halfway, to each kind of destination. Each one after
// that gets on, and the last one completes the work.
func TestCopyKilled(t *testing.T) {
	n := 4000 // it is copied by thousands
	if testing.Short() {
		n = 2500
	}
	tree := filepath.Join(t.TempDir(), "tree")
	for i := range n {
		m := &store.Metadata{PodName: fmt.Sprintf("pod-%04d", i), Manifest: fmt.Appendf(nil, `{"n":%d}`, i)}
		writeFile(t, filepath.Join(tree, m.PodName, "metadata.json"), string(podjson.Append(nil, m)))
	}
	source := filepath.Join(t.TempDir(), "source.db")
	migrate(t, exitDone, "import", source, tree)
	socket, served := serveStore(t)
	dir, db := filepath.Join(t.TempDir(), "out"), filepath.Join(t.TempDir(), "pods.db")
	size := func(path string) int {
		info, err := os.Stat(path)
		if err != nil {
			return 0
		}
		return int(info.Size())
	}
	for _, to := range []struct {
		dst  string
		done func() int // grows with the copy
	}{
		{"dir:" + dir, func() int {
			entries, _ := os.ReadDir(dir)
			return len(entries)
		}},
		{"unix:" + socket, func() int {
			names, err := served.List(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			return len(names)
		}},
		{db, func() int { return size(db) }},
	} {
		for range min(3, n/1000) {
			before := to.done()
			cmd := exec.Command("podstore-migrate", "copy", source, to.dst)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_ = cmd.Wait() // it is killed, or was too quick
			}()
			for running := true; running && to.done() <= before; {
				select {
				case <-ended:
					running = false
				case <-time.After(time.Millisecond):
				}
			}
			_ = cmd.Process.Kill()
			<-ended
			t.Logf("%s: from %d to %d", to.dst, before, to.done())
		}
		_, stderr := migrate(t, exitDone, "copy", source, to.dst)
		if want := fmt.Sprintf("; %d verified\n", n); !strings.HasSuffix(stderr, want) {
			t.Errorf("%s: %s", to.dst, stderr)
		}
		migrate(t, exitDone, "verify", to.dst, tree)
	}
}

// serveStore serves an empty store on a socket until the test ends.
func serveStore(t *testing.T) (socket string, s *boltstore.Store) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ps") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s, err = boltstore.Open(filepath.Join(dir, "pods.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "s")
	l, err := socketstore.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	server := socketstore.NewServer(s, nil)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		_ = s.Close()
	})
	return socket, s
}
