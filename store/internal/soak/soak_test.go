//go:build linux

package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/internal/linear"
	"podstore/store/jsonexport"
	"podstore/store/jsonlstore"
	"podstore/store/memstore"
	"podstore/store/socketstore"
)

// TestSoak runs for as long as SOAK says, such as 10m. podstore-migrate serve and the
// example supervisor serve one database in turn. Each is killed, stopped or terminated,
// or its disk becomes full. While none runs, the test checks and compacts the file.
// Meanwhile workers change Pods of their own and compare them with a model. Histories
// are checked for linearizability, here and on every other backend. Commands read
// through the socket, and some are killed. Clients ask for everything and do not read.
// Watchers of one Pod and of all Pods come and go, here and through the socket.
// At the end the file is sound and equals the models, the watchers know what the store
// holds, and nothing is left open.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("SOAK"))
	if err != nil {
		t.Skip("runs for as long as SOAK says, such as SOAK=10m")
	}
	seed := rand.Uint64()
	if s := os.Getenv("SOAK_SEED"); s != "" {
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d", seed)
	p := newPlace(t, seed)
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	p.cancel = cancel
	running, open := runtime.NumGoroutine(), descriptors("self", "")
	var wg sync.WaitGroup
	governed, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(governed)
		p.govern(ctx, done)
	}()
	var workers []*worker
	for i := range 6 {
		w := p.worker(i)
		workers = append(workers, w)
		wg.Go(func() { w.work(ctx) })
	}
	wg.Go(func() { p.histories(ctx) })
	wg.Go(func() { p.others(ctx) })
	wg.Go(func() { p.commands(ctx) })
	wg.Go(func() { p.slowClients(ctx) })
	endWatches := p.watchServer(ctx)
	wg.Wait()
	endWatches()
	close(done)
	<-governed
	p.compareAll(workers)
	p.atMost(running, "goroutines", runtime.NumGoroutine)
	p.atMost(open, "descriptors", func() int { return descriptors("self", "") })
	t.Log(&p.count)
}

// place is a database, its socket and the programs.
type place struct {
	*testing.T
	cancel          context.CancelFunc
	bin, db, socket string
	tree, copies    string // an export, and the directory of temporary files
	mu              sync.Mutex
	seeds           *rand.Rand
	count           counters
	mostMemory      int // of a server's own, in KiB
}

type counters struct {
	changes, unsure, full, reads           atomic.Int64
	starts, kills, stops, terms, fullDisks atomic.Int64
	compactions, killedCompactions         atomic.Int64
	commands, killedCommands, slow         atomic.Int64
	watches, batches, resyncs, believed    atomic.Int64

	mu    sync.Mutex
	lines []string
}

func (c *counters) add(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, fmt.Sprintf(format, args...))
}

func (c *counters) String() string {
	return fmt.Sprintf("%d changes acknowledged, %d unsure, %d refused by a full disk; %d reads compared; %d servers started: %d killed, %d stopped and continued, %d terminated, %d with a full disk; %d compactions, %d of them killed; %d commands, %d of them killed; %d slow clients; %d watches got %d batches, %d of them Resync, and believed %d Pods at the end\n%s",
		c.changes.Load(), c.unsure.Load(), c.full.Load(), c.reads.Load(), c.starts.Load(), c.kills.Load(), c.stops.Load(), c.terms.Load(), c.fullDisks.Load(), c.compactions.Load(), c.killedCompactions.Load(), c.commands.Load(), c.killedCommands.Load(), c.slow.Load(), c.watches.Load(), c.batches.Load(), c.resyncs.Load(), c.believed.Load(), strings.Join(c.lines, "\n"))
}

func newPlace(t *testing.T, seed uint64) *place {
	dir, err := os.MkdirTemp("", "soak") // a short name, for the socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what is left is in %s", dir)
		} else {
			os.RemoveAll(dir)
		}
	})
	build := exec.Command("go", "build", "-o", dir+"/", "./cmd/podstore-migrate", "./examples/supervisor")
	build.Dir = filepath.Join("..", "..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p := &place{T: t, bin: dir, db: filepath.Join(dir, "data", "pods.db"), socket: filepath.Join(dir, "s"), seeds: rand.New(rand.NewPCG(seed, 0))}
	p.tree, p.copies = filepath.Join(dir, "tree"), filepath.Join(dir, "copies")
	if err := os.Mkdir(p.copies, 0o700); err != nil {
		t.Fatal(err)
	}
	return p
}

// wrong fails the soak and ends it.
func (p *place) wrong(format string, args ...any) {
	p.Errorf("%s: %s", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
	p.cancel()
}

func (p *place) random() *rand.Rand {
	p.mu.Lock()
	defer p.mu.Unlock()
	return rand.New(rand.NewPCG(p.seeds.Uint64(), 1))
}

// program is a command line of one of the programs.
func (p *place) program(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, name), args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+p.copies)
	return cmd
}

// dial returns a client that waits for the next server.
func (p *place) dial(ctx context.Context) (*socketstore.Client, error) {
	return socketstore.Dial(ctx, p.socket, &socketstore.Options{Patience: 2 * time.Minute})
}

// checkFile checks the file while nobody has it open.
func (p *place) checkFile() {
	_, err := boltstore.Check(context.Background(), p.db, nil, func(f boltstore.Finding) { p.wrong("check finds %s: %s", f.Pod, f.Reason) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, store.ErrNotFound) {
		p.wrong("check: %v", err)
	}
}

// compareAll compares the database with the models.
func (p *place) compareAll(workers []*worker) {
	p.checkFile()
	s, err := boltstore.Open(p.db, &boltstore.Options{MustExist: true, FullCheck: true})
	if err != nil {
		p.wrong("at the end: %v", err)
		return
	}
	defer s.Close()
	names, err := s.List(context.Background())
	if err != nil {
		p.wrong("at the end: %v", err)
	}
	pods := 0
	for _, w := range workers {
		w.compareAll(s)
		for _, name := range names {
			if strings.HasPrefix(name, w.name+"-") && w.pods[name] == nil {
				p.wrong("at the end there is %q, which was never made or was deleted", name)
			}
		}
		pods += len(w.pods)
	}
	info, err := os.Stat(p.db)
	if err != nil {
		p.wrong("%v", err)
		return
	}
	left, err := os.ReadDir(p.copies)
	if err != nil || len(left) > 0 {
		p.wrong("commands left %v in TMPDIR (%v)", left, err)
	}
	p.count.add("at the end %d Pods of the workers are as their models, among %d in a file of %d KiB; the largest server had %d KiB of memory of its own", pods, len(names), info.Size()>>10, p.mostMemory)
}

// watchServer watches through the socket, by clients of its own.
func (p *place) watchServer(ctx context.Context) (end func()) {
	var ends []func()
	for i := range 2 {
		c, err := p.dial(ctx)
		if err != nil {
			p.wrong("dial: %v", err)
			break
		}
		watched := p.watch("through the socket", c, fmt.Sprintf("w%d-0", i))
		ends = append(ends, func() { watched(); c.Close() })
	}
	return func() {
		for _, end := range ends {
			end()
		}
	}
}

// histories checks histories through the socket.
func (p *place) histories(ctx context.Context) {
	var stores []store.MetadataStore
	for range 3 {
		c, err := p.dial(ctx)
		if err != nil {
			p.wrong("dial: %v", err)
			return
		}
		defer c.Close()
		stores = append(stores, c)
	}
	p.check(ctx, "through the socket", linear.Backend{Stores: stores, Call: 2 * time.Millisecond, Replays: true})
}

// check checks histories of a backend until the context ends.
func (p *place) check(ctx context.Context, what string, b linear.Backend) {
	const n = 1 << 30
	total, err := b.Run(ctx, p.random().Uint64(), n)
	for errors.Is(err, store.ErrForbidden) && ctx.Err() == nil { // it could not begin beside the supervisor
		time.Sleep(100 * time.Millisecond)
		total, err = b.Run(ctx, p.random().Uint64(), n)
	}
	if err != nil && ctx.Err() == nil {
		p.wrong("%s: %v", what, err)
	}
	p.count.add("%s: %v", what, total)
}

// others checks histories of the backends that need no server, each for the same time.
// Those that can be watched have watchers and a worker too.
func (p *place) others(ctx context.Context) {
	file, err := boltstore.Open(filepath.Join(p.TempDir(), "pods.db"), nil)
	if err != nil {
		p.wrong("%v", err)
		return
	}
	defer file.Close()
	dir, err := jsonexport.OpenDir(p.TempDir(), nil)
	if err != nil {
		p.wrong("%v", err)
		return
	}
	logs, err := jsonlstore.Open(p.TempDir(), nil)
	if err != nil {
		p.wrong("%v", err)
		return
	}
	all := []struct {
		what string
		s    store.MetadataStore
		call time.Duration
	}{
		{"in memory", memstore.New(), 5 * time.Microsecond},
		{"one file in this process", file, time.Millisecond},
		{"directory", dir, time.Millisecond},
		{"combined", store.NewCombined(logs, memstore.New()), 5 * time.Microsecond},
	}
	deadline, _ := ctx.Deadline()
	each := time.Until(deadline) / time.Duration(len(all))
	for _, b := range all {
		ctx, cancel := context.WithTimeout(ctx, each)
		end := func() {}
		if _, ok := b.s.(store.Watcher); ok {
			w := p.worker(len(all))
			var working sync.WaitGroup
			working.Go(func() { w.run(ctx, b.s) })
			endWatches := p.watch(b.what, b.s, w.name+"-0")
			end = func() { working.Wait(); endWatches() }
		}
		p.check(ctx, b.what, linear.Backend{Stores: []store.MetadataStore{b.s}, Call: b.call})
		end()
		cancel()
	}
}

// commands read through the socket, and some are killed.
func (p *place) commands(ctx context.Context) {
	r := p.random()
	for n := 0; ctx.Err() == nil; n++ {
		live := "unix:" + p.socket
		snapshot := filepath.Join(p.bin, fmt.Sprint("snapshot-", n, ".db"))
		args := [][]string{
			{"list", live}, {"list", "--json", live}, {"check", live}, {"stats", live}, {"tree", live}, {"show", live, "w0-0"},
			{"snapshot", live, snapshot}, {"export", "--prune", live, p.tree}, {"verify", live, p.tree},
		}[r.IntN(9)]
		cmd := p.program("podstore-migrate", args...)
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = io.Discard, &out
		if err := cmd.Start(); err != nil {
			p.wrong("%v", err)
			return
		}
		p.count.commands.Add(1)
		killed := r.IntN(3) == 0
		if killed {
			time.Sleep(time.Duration(r.IntN(60)) * time.Millisecond)
			_ = cmd.Process.Kill()
			p.count.killedCommands.Add(1)
		}
		_ = cmd.Wait()
		// 1: the server was killed, or is stopped or unusable. 4: verify ran beside changes.
		// 10: there is no such Pod, or no tree yet, or nobody listens. Nothing ever finds damage.
		switch code := cmd.ProcessState.ExitCode(); {
		case slices.Contains([]int{0, 1, 4, 10}, code), killed && code == -1:
		case code == 3 && args[0] == "export": // another one was killed: its lock, or a Pod gone meanwhile
		default:
			p.wrong("%v ends with %d: %s", args, code, &out)
		}
		os.Remove(snapshot)
		time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
	}
}

// slowClients ask for everything and read nothing.
func (p *place) slowClients(ctx context.Context) {
	r := p.random()
	for ctx.Err() == nil {
		for range r.IntN(40) {
			c, err := net.Dial("unix", p.socket)
			if err != nil {
				break
			}
			request := []string{"GET /v2/pods HTTP/1.1\r\nHost: p\r\n\r\n", "GET /v2/snapshot HTTP/1.1\r\nHost: p\r\n\r\n", "POST /v2/changes HTTP/1.1\r\nHost: p\r\nContent-Length: 100000\r\n\r\n{"}[r.IntN(3)]
			_, _ = io.WriteString(c, request)
			p.count.slow.Add(1)
			time.AfterFunc(time.Duration(r.IntN(10_000))*time.Millisecond, func() { c.Close() })
		}
		select {
		case <-time.After(time.Duration(r.IntN(2000)) * time.Millisecond):
		case <-ctx.Done():
		}
	}
}
