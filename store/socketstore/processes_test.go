package socketstore_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/socketstore"
)

// Eight processes with eight goroutines each change the same Pods through one
// supervisor. Nothing is lost, and nobody ever sees half a link.
func TestManyProcesses(t *testing.T) {
	changes := 40
	if long() {
		changes = 2000
	}
	s := openServed(t, startSupervisor(t))
	ctx := t.Context()
	if err := createLoadPods(ctx, s); err != nil {
		t.Fatal(err)
	}
	stop, watched := make(chan struct{}), make(chan error, 1)
	watch := func(look func() error) {
		for n := 0; ; n++ {
			select {
			case <-stop:
				t.Logf("looked %d times", n)
				watched <- nil
				return
			default:
			}
			if err := look(); err != nil {
				watched <- err
				return
			}
		}
	}
	go watch(func() error { // a snapshot, which the same server gives
		snap, closer, err := boltstore.OpenCopy(s.socket(), t.TempDir(), func(w io.Writer) error {
			return socketstore.FetchSnapshot(ctx, s.socket(), w)
		})
		if err != nil {
			return err
		}
		defer closer.Close()
		pods := map[string]*store.Metadata{}
		for m, err := range snap.All(ctx, store.ReadOptions{}) {
			if err != nil {
				return err
			}
			pods[m.PodName] = m
		}
		return oneSided(pods)
	})
	all, took := runProcesses(t, s.socket(), changes)
	close(stop)
	if err := <-watched; err != nil {
		t.Error(err)
	}
	pods, err := momentOf(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkLoad(pods, all); err != nil {
		t.Error(err)
	}
	t.Logf("%d changes a second, watched", loadProcs*loadEach*changes*int(time.Second)/int(took))
	s.close(t)
	checkFile(t, s.db())
}

// momentOf reads the load's Pods at one moment. It fails if it sees half a link.
func momentOf(ctx context.Context, s store.MetadataStore) (map[string]*store.Metadata, error) {
	names := make([]string, loadPods)
	for i := range names {
		names[i] = loadPod(i)
	}
	moment := map[string]*store.Metadata{}
	_, err := store.UpdatePods(ctx, s, names, func(pods []*store.Metadata) error {
		clear(moment)
		for _, m := range pods {
			moment[m.PodName] = m.Clone()
		}
		return oneSided(moment)
	})
	return moment, err
}

// runProcesses runs the load in client processes, and measures from when all are
// connected.
func runProcesses(t testing.TB, socket string, changes int) (all []peers, took time.Duration) {
	t.Helper()
	type process struct {
		cmd *exec.Cmd
		in  interface{ Write([]byte) (int, error) }
		out *bufio.Reader
	}
	var running []process
	for i := range loadProcs {
		cmd := child(t, "load", socket, fmt.Sprint("proc", i), strconv.Itoa(changes))
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		running = append(running, process{cmd, in, bufio.NewReader(out)})
	}
	for _, p := range running {
		if line, err := p.out.ReadString('\n'); err != nil {
			t.Fatalf("client: %q, %v", line, err)
		}
	}
	start := time.Now()
	for _, p := range running {
		if _, err := p.in.Write([]byte("\n")); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range running {
		var mine []peers
		err := json.NewDecoder(p.out).Decode(&mine)
		if waitErr := p.cmd.Wait(); err != nil || waitErr != nil {
			t.Fatalf("client: %v, %v", err, waitErr)
		}
		all = append(all, mine...)
	}
	return all, time.Since(start)
}

// BenchmarkProcesses compares eight processes of eight goroutines with the same load in
// one process. Look at the ratio; a change is one operation.
func BenchmarkProcesses(b *testing.B) {
	const changes = 200
	ctx := b.Context()
	var alone, shared time.Duration
	for b.Loop() {
		pods, err := boltstore.Open(filepath.Join(b.TempDir(), "pods.db"), nil)
		if err != nil {
			b.Fatal(err)
		}
		if err := createLoadPods(ctx, pods); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		if _, err := load(ctx, pods, "alone", loadProcs*loadEach, changes); err != nil {
			b.Fatal(err)
		}
		alone += time.Since(start)
		if err := pods.Close(); err != nil {
			b.Fatal(err)
		}

		s := openServed(b, startSupervisor(b))
		if err := createLoadPods(ctx, s); err != nil {
			b.Fatal(err)
		}
		_, took := runProcesses(b, s.socket(), changes)
		shared += took
		s.close(b)
	}
	n := float64(loadProcs * loadEach * changes * b.N)
	b.ReportMetric(n/alone.Seconds(), "changes/s-alone")
	b.ReportMetric(n/shared.Seconds(), "changes/s-shared")
	b.ReportMetric(alone.Seconds()/shared.Seconds(), "ratio")
}
