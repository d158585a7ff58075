package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/jsonexport"
	"podstore/store/socketstore"
)

const pairs = 8

// pair are the names of two Pods that are linked and unlinked again and again.
func pair(i int) (left, right string) {
	return fmt.Sprintf("left-%d", i), fmt.Sprintf("right-%d", i)
}

// busySupervisor is a supervisor, a process of its own, that writes without pause.
// It serves DIR/pods.db on DIR/s. Asked by a line on standard input, it answers
// with the number of changes so far; when that ends, so does it.
func busySupervisor() {
	ctx, stop := context.WithCancel(context.Background())
	dir := os.Args[1]
	s, err := boltstore.Open(filepath.Join(dir, "pods.db"), nil)
	if err != nil {
		log.Fatal(err)
	}
	// More than a socket's buffers hold, so that a slow client is slow.
	big := &store.Metadata{PodName: "big", Manifest: []byte(`"` + strings.Repeat("x", 1<<20) + `"`)}
	if err := store.Write(ctx, s, big); err != nil {
		log.Fatal(err)
	}
	for i := range pairs {
		left, right := pair(i)
		for _, name := range []string{left, right} {
			if err := store.Do(ctx, s, name, store.SetActive{Active: store.PendingSegment(store.NewSessionID()), Manifest: []byte(`{"a":1}`)}); err != nil {
				log.Fatal(err)
			}
		}
	}
	l, err := socketstore.Listen(filepath.Join(dir, "s"))
	if err != nil {
		log.Fatal(err)
	}
	server := socketstore.NewServer(s, nil)
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(l) })
	var changes atomic.Int64
	for i := range pairs {
		left, right := pair(i)
		running.Go(func() {
			for ctx.Err() == nil {
				if err := store.LinkPeers(ctx, s, left, right); err != nil && ctx.Err() == nil {
					log.Fatal(err)
				}
				if err := store.UnlinkPeers(ctx, s, left, right); err != nil && ctx.Err() == nil {
					log.Fatal(err)
				}
				changes.Add(2)
			}
		})
	}
	fmt.Println("ready")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		fmt.Println(changes.Load())
	}
	stop()
	_ = server.Close()
	running.Wait()
	if err := s.Close(); err != nil {
		log.Fatal(err)
	}
}

// startBusy starts one, and returns a function that asks for its changes and one
// that ends it.
func startBusy(t *testing.T, dir string) (changes func() int, end func()) {
	t.Helper()
	cmd := exec.Command("busy-supervisor", dir)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	answers := bufio.NewReader(stdout)
	if line, err := answers.ReadString('\n'); line != "ready\n" {
		t.Fatalf("it says %q (%v)", line, err)
	}
	changes = func() int {
		if _, err := io.WriteString(stdin, "\n"); err != nil {
			t.Fatal(err)
		}
		line, err := answers.ReadString('\n')
		n, numErr := strconv.Atoi(strings.TrimSpace(line))
		if err != nil || numErr != nil {
			t.Fatalf("it answers %q (%v)", line, err)
		}
		return n
	}
	end = func() {
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the supervisor: %v", err)
		}
	}
	return changes, end
}

// fetchSlowly asks for a snapshot and takes one byte of it a second, until the
// test ends.
func fetchSlowly(t *testing.T, socket string) {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	fmt.Fprintf(conn, "GET /v2/snapshot HTTP/1.1\r\nHost: x\r\n\r\n")
	one := make([]byte, 1)
	if _, err := conn.Read(one); err != nil { // it is being sent
		t.Fatal(err)
	}
	go func() {
		for err := error(nil); err == nil; _, err = conn.Read(one) {
			time.Sleep(time.Second)
		}
	}()
}

// TestLookingInsideWhileItWrites runs every reading command on the socket of a
// supervisor that writes without pause, while another client takes one byte a
// second. What each sees is one moment: a link between two Pods is never there on
// one side only. And the supervisor goes on meanwhile.
func TestLookingInsideWhileItWrites(t *testing.T) {
	dir := t.TempDir()
	changes, end := startBusy(t, dir)
	db := "unix:" + filepath.Join(dir, "s")
	fetchSlowly(t, filepath.Join(dir, "s"))

	before, linked, seen := changes(), 0, 0
	look := func(links int) {
		linked, seen = linked+links, seen+pairs
		now := changes()
		for ; now == before; now = changes() { // it goes on, or this test never ends
			time.Sleep(time.Millisecond)
		}
		before = now
	}
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	for round := 0; round < rounds || round < 6 && (linked == 0 || linked == seen); round++ {
		out := filepath.Join(dir, fmt.Sprintf("out-%d", round))
		migrate(t, exitDone, "export", db, out)
		look(oneMoment(t, out))

		text, _ := migrate(t, exitDone, "list", db)
		look(oneMomentListed(t, text))

		text, _ = migrate(t, exitDone, "tree", db)
		if strings.Contains(text, "one-sided") {
			t.Errorf("tree:\n%s", text)
		}
		look(strings.Count(text, "peers: right-"))

		text, _ = migrate(t, exitDone, "stats", db)
		_, figure, _ := strings.Cut(text, "\npeers\t")
		figure, _, _ = strings.Cut(figure, "\n")
		peers, err := strconv.Atoi(figure)
		if err != nil || peers%2 != 0 {
			t.Errorf("stats counts an odd number of peers (%v):\n%s", err, text)
		}
		look(peers / 2)

		copied, out := filepath.Join(dir, fmt.Sprintf("copy-%d.db", round)), out+"-copy"
		migrate(t, exitDone, "snapshot", db, copied)
		migrate(t, exitDone, "export", copied, out)
		look(oneMoment(t, out))

		migrate(t, exitDone, "show", db, "left-0")
		migrate(t, exitDone, "check", db)
	}
	t.Logf("%d changes, %d of %d links seen", before, linked, seen)
	if linked == 0 || linked == seen {
		t.Errorf("%d of %d links seen: nothing fell between the writes", linked, seen)
	}
	end()
	migrate(t, exitDone, "check", filepath.Join(dir, "pods.db"))
}

// oneMoment counts the linked pairs of an export, none of which may be linked on
// one side only.
func oneMoment(t *testing.T, dir string) (linked int) {
	t.Helper()
	d, err := jsonexport.OpenDir(dir, &jsonexport.DirOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	has := func(name, peer string) bool {
		m, err := d.Read(context.Background(), name)
		if err != nil {
			t.Fatal(err)
		}
		return m.HasPeer(peer)
	}
	for i := range pairs {
		left, right := pair(i)
		l := has(left, right)
		if l != has(right, left) {
			t.Errorf("pair %d is linked on one side only", i)
		}
		if l {
			linked++
		}
	}
	return linked
}

// oneMomentListed does the same with what list prints.
func oneMomentListed(t *testing.T, text string) (linked int) {
	t.Helper()
	peers := make(map[string]string)
	for line := range strings.Lines(text) {
		fields := strings.Split(line, "\t")
		peers[fields[0]] = fields[5]
	}
	if len(peers) != 2*pairs+1 {
		t.Errorf("%d Pods are listed:\n%s", len(peers), text)
	}
	for i := range pairs {
		left, right := pair(i)
		if peers[left] != peers[right] {
			t.Errorf("pair %d is linked on one side only:\n%s", i, text)
		}
		if peers[left] == "1" {
			linked++
		}
	}
	return linked
}
