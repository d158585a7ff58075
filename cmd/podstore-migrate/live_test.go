package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/jsonexport"
)

// TestLookingInsideWhileItWrites runs every reading command on the socket of a
// store that is written without pause. What each sees is one moment: a link
// between two Pods is never there on one side only.
func TestLookingInsideWhileItWrites(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	dir := t.TempDir()
	s, err := boltstore.Open(filepath.Join(dir, "pods.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	const pairs = 8
	for i := range pairs {
		for _, side := range []string{"left", "right"} {
			name := fmt.Sprintf("%s-%d", side, i)
			if _, err := store.SetActive(ctx, s, name, store.PendingSegment(store.NewSessionID()), json.RawMessage(`{"a":1}`)); err != nil {
				t.Fatal(err)
			}
		}
	}
	l, err := boltstore.ListenUnix(filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := boltstore.NewServer(s.Handler())
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(l) })
	links := make([]int, pairs) // how often each pair was linked, the writer's until it ends
	for i := range pairs {
		running.Go(func() {
			left, right := fmt.Sprintf("left-%d", i), fmt.Sprintf("right-%d", i)
			for ctx.Err() == nil {
				err := store.LinkPeers(ctx, s, left, right)
				if err == nil {
					links[i]++
					err = store.UnlinkPeers(ctx, s, left, right)
				}
				if err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}

	db := "unix:" + filepath.Join(dir, "s")
	linked := 0
	for round := range 10 {
		out := filepath.Join(dir, fmt.Sprintf("out-%d", round))
		migrate(t, exitDone, "export", db, out)
		linked += oneMoment(t, out, pairs)
		text, _ := migrate(t, exitDone, "tree", db)
		if strings.Contains(text, "one-sided") {
			t.Errorf("tree:\n%s", text)
		}
	}
	if text, _ := migrate(t, exitDone, "list", db); strings.Count(text, "\n") != 2*pairs {
		t.Errorf("list:\n%s", text)
	}
	migrate(t, exitDone, "show", db, "left-0")
	migrate(t, exitDone, "check", db)
	if text, _ := migrate(t, exitDone, "stats", db); !strings.Contains(text, fmt.Sprintf("pods\t%d\n", 2*pairs)) {
		t.Errorf("stats:\n%s", text)
	}
	copied := filepath.Join(dir, "copy.db")
	migrate(t, exitDone, "snapshot", db, copied)
	out := filepath.Join(dir, "out-copy")
	migrate(t, exitDone, "export", copied, out)
	linked += oneMoment(t, out, pairs)

	stop()
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	running.Wait()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for i, n := range links {
		if n == 0 {
			t.Errorf("pair %d was never linked", i)
		}
	}
	t.Logf("%v links made, %d of %d seen", links, linked, 11*pairs)
	if linked == 0 || linked == 11*pairs {
		t.Errorf("%d of %d links seen: the exports did not fall between the writes", linked, 11*pairs)
	}
}

// oneMoment counts the linked pairs of an export, none of which may be linked on
// one side only.
func oneMoment(t *testing.T, dir string, pairs int) (linked int) {
	t.Helper()
	d, err := jsonexport.OpenDir(dir, &jsonexport.DirOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range pairs {
		names := []string{fmt.Sprintf("left-%d", i), fmt.Sprintf("right-%d", i)}
		var has [2]bool
		for k, name := range names {
			m, err := d.Read(context.Background(), name)
			if err != nil {
				t.Fatal(err)
			}
			has[k] = m.HasPeer(names[1-k])
		}
		if has[0] != has[1] {
			t.Errorf("pair %d is linked on one side only", i)
		}
		if has[0] {
			linked++
		}
	}
	return linked
}
