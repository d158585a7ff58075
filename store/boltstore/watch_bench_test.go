package boltstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"podstore/store"
)

// told has, by number, the times when changes were acknowledged and when watchers got
// them.
type told struct {
	mu    sync.Mutex
	acked map[uint64]time.Time
	given []delivery
}

type delivery struct {
	number uint64
	at     time.Time
}

// p99 returns the time from acknowledgement to delivery, in milliseconds.
func (d *told) p99() float64 {
	var took []time.Duration
	for _, g := range d.given {
		if at, ok := d.acked[g.number]; ok {
			took = append(took, max(0, g.at.Sub(at)))
		}
	}
	return quantile(took, 0.99)
}

func quantile(took []time.Duration, q float64) float64 {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return float64(took[int(float64(len(took)-1)*q)]) / float64(time.Millisecond)
}

// watched begins watches of all Pods, one for each element of sizes that is 0, and of
// as many Pods as the element says otherwise. It returns when all are synced.
func watched(b *testing.B, s *Store, pods int, sizes []int, d *told) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all, synced sync.WaitGroup
	synced.Add(len(sizes))
	for _, size := range sizes {
		opts := store.WatchOptions{OmitManifest: true}
		for range size {
			if name := podName(rand.IntN(pods)); !slices.Contains(opts.Pods, name) {
				opts.Pods = append(opts.Pods, name)
			}
		}
		all.Go(func() {
			first := true
			for batch, err := range s.Watch(ctx, opts) {
				switch {
				case err != nil:
					if ctx.Err() == nil {
						b.Error(err)
					}
					return
				case first:
					if batch.Synced {
						first = false
						synced.Done()
					}
					continue
				}
				now := time.Now()
				d.mu.Lock()
				for _, e := range batch.Events {
					d.given = append(d.given, delivery{e.Metadata.Version.Revision.Number, now})
				}
				d.mu.Unlock()
			}
		})
	}
	synced.Wait()
	return func() { cancel(); all.Wait() }
}

// change makes n changes with 64 writers and returns the time that took.
func change(b *testing.B, s *Store, pods, n int, d *told) time.Duration {
	var writers sync.WaitGroup
	start := time.Now()
	for w := range 64 {
		writers.Go(func() {
			for i := range n / 64 {
				value := fmt.Appendf(nil, `"%d.%d.%d"`, start.UnixNano(), w, i)
				applied, err := s.Apply(context.Background(), []store.Change{{Pod: podName(rand.IntN(pods)), Op: store.SetField{Field: "n", Value: value}}}, nil)
				if err != nil {
					b.Error(err)
					return
				}
				now := time.Now()
				d.mu.Lock()
				d.acked[applied[0].Version.Revision.Number] = now
				d.mu.Unlock()
			}
		})
	}
	writers.Wait()
	return time.Since(start)
}

// BenchmarkWatchers measures what watchers cost 64 writers, in turns with writers that
// nobody watches. rate/unwatched must be at least 0.9, and p99-ms, from the
// acknowledgement of a change to its delivery, at most 10.
func BenchmarkWatchers(b *testing.B) {
	for _, c := range []struct {
		name  string
		sizes []int
	}{
		{"one of all", []int{0}},
		{"100 of 10", slices.Repeat([]int{10}, 100)},
	} {
		b.Run(c.name, func(b *testing.B) {
			const pods, turn = 1000, 64 * 64
			s := filled(b, pods)
			var unwatched, beside time.Duration
			d := &told{acked: map[uint64]time.Time{}}
			for b.Loop() {
				nobody := &told{acked: map[uint64]time.Time{}}
				unwatched += change(b, s, pods, turn, nobody)
				stop := watched(b, s, pods, c.sizes, d)
				beside += change(b, s, pods, turn, d)
				stop()
			}
			b.ReportMetric(float64(unwatched)/float64(beside), "rate/unwatched")
			b.ReportMetric(d.p99(), "p99-ms")
			b.ReportMetric(float64(b.N*turn)/beside.Seconds(), "changes/s")
		})
	}
}

// BenchmarkRemove removes a Pod with its references among 10,000. In every second turn,
// 8 writers change other Pods. alone-ms must be at most 60, and p99/unmolested of the
// other writers at most 2.
func BenchmarkRemove(b *testing.B) {
	const pods = 10_000
	s := filled(b, pods)
	ctx := context.Background()
	remove := func(i int) time.Duration {
		hub := fmt.Sprint("hub-", i)
		if err := store.Do(ctx, s, hub, store.SetPeers{}); err != nil {
			b.Fatal(err)
		}
		for k := range 10 {
			if err := store.LinkPeers(ctx, s, hub, podName(i*10+k)); err != nil {
				b.Fatal(err)
			}
		}
		start := time.Now()
		if err := store.Do(ctx, s, hub, store.Remove{}); err != nil {
			b.Fatal(err)
		}
		return time.Since(start)
	}
	// beside runs f beside writers, and returns how long their changes took.
	beside := func(f func()) (took []time.Duration) {
		var mu sync.Mutex
		var writers sync.WaitGroup
		done := make(chan struct{})
		for w := range 8 {
			writers.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-done:
						return
					default:
					}
					start := time.Now()
					if err := store.Do(ctx, s, podName(rand.IntN(pods)), store.SetField{Field: "n", Value: fmt.Appendf(nil, `"%d.%d"`, w, start.UnixNano())}); err != nil {
						b.Error(err)
						return
					}
					mu.Lock()
					took = append(took, time.Since(start))
					mu.Unlock()
				}
			})
		}
		f()
		close(done)
		writers.Wait()
		return took
	}
	var alone, busy, unmolested, others []time.Duration
	i := 0
	for b.Loop() {
		alone = append(alone, remove(i%900))
		unmolested = append(unmolested, beside(func() { time.Sleep(200 * time.Millisecond) })...)
		others = append(others, beside(func() {
			for until := time.Now().Add(200 * time.Millisecond); time.Now().Before(until); i++ {
				busy = append(busy, remove(i%900))
			}
		})...)
	}
	b.ReportMetric(quantile(alone, 0.5), "alone-ms")
	b.ReportMetric(quantile(busy, 0.5), "beside-ms")
	b.ReportMetric(quantile(others, 0.99)/quantile(unmolested, 0.99), "p99/unmolested")
	b.ReportMetric(quantile(unmolested, 0.99), "unmolested-p99-ms")
}
