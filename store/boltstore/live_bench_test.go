package boltstore

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"podstore/store"
)

// fetcherSocket names the socket for a child process of the benchmark below.
const fetcherSocket = "PODSTORE_FETCHER_SOCKET"

// TestFetcher is no test, but that child: for each line on standard input it
// opens the store that is served, as podstore-migrate does, and answers.
func TestFetcher(t *testing.T) {
	socket := os.Getenv(fetcherSocket)
	if socket == "" {
		t.Skip("a part of BenchmarkWritersWhileFetched")
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		_, c, err := OpenLive(context.Background(), socket, t.TempDir())
		if err == nil {
			err = c.Close()
		}
		fmt.Printf("fetched %v\n", err)
	}
}

// BenchmarkWritersWhileFetched compares how long 8 writers wait for their changes
// while another process fetches snapshots one after the other, and while nobody
// does. Both take turns, so that both meet the same noise.
func BenchmarkWritersWhileFetched(b *testing.B) {
	for _, pods := range []int{1000, 10000} {
		b.Run(fmt.Sprintf("pods=%d", pods), func(b *testing.B) {
			s := filled(b, pods)
			fetch := startFetcher(b, s)
			var quiet, fetched []time.Duration
			fetches := 0
			const turns = 10
			b.ResetTimer()
			for range turns {
				n := (b.N + turns - 1) / turns
				quiet = append(quiet, latencies(b, s, pods, n)...)
				stop := make(chan struct{})
				var fetching sync.WaitGroup
				fetching.Go(func() {
					for {
						fetch()
						fetches++
						select {
						case <-stop:
							return
						default:
						}
					}
				})
				fetched = append(fetched, latencies(b, s, pods, n)...)
				close(stop)
				fetching.Wait()
			}
			slices.Sort(quiet)
			slices.Sort(fetched)
			for _, p := range []int{50, 99} {
				q, f := quiet[len(quiet)*p/100], fetched[len(fetched)*p/100]
				b.ReportMetric(q.Seconds()*1e3, fmt.Sprintf("ms-p%d-quiet", p))
				b.ReportMetric(f.Seconds()*1e3, fmt.Sprintf("ms-p%d-fetched", p))
				b.ReportMetric(float64(f)/float64(q), fmt.Sprintf("p%d-ratio", p))
			}
			b.ReportMetric(float64(fetches), "fetches")
		})
	}
}

// latencies makes n changes with 8 writers and returns how long each took.
func latencies(b *testing.B, s *Store, pods, n int) []time.Duration {
	took := make([]time.Duration, n)
	var next atomic.Int64
	var writing sync.WaitGroup
	for range 8 {
		writing.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				start := time.Now()
				err := store.Do(context.Background(), s, podName(rand.IntN(pods)), store.AddPeer{PodName: fmt.Sprint("peer-", rand.IntN(50))})
				took[i] = time.Since(start)
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	writing.Wait()
	return took
}

// startFetcher serves a store, and starts a process that fetches it when asked.
func startFetcher(b *testing.B, s *Store) (fetch func()) {
	b.Helper()
	dir := b.TempDir()
	l, err := ListenUnix(filepath.Join(dir, "s"))
	if err != nil {
		b.Fatal(err)
	}
	server := NewServer(s.Handler())
	go func() { _ = server.Serve(l) }()
	b.Cleanup(func() { _ = server.Close() })
	cmd := exec.Command(os.Args[0], "-test.run=^TestFetcher$")
	cmd.Env = append(os.Environ(), fetcherSocket+"="+filepath.Join(dir, "s"))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	answers := bufio.NewReader(stdout)
	return func() {
		fmt.Fprintln(stdin)
		if line, err := answers.ReadString('\n'); line != "fetched <nil>\n" {
			b.Errorf("%q %v", line, err)
		}
	}
}
