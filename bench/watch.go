package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"podstore/store"
)

// watchedBy are the watchers beside 64 writers.
var watchedBy = []struct {
	name     string
	watchers int
	pods     int // that each watches, 0 for all
}{{"nobody", 0, 0}, {"one watcher of everything", 1, 0}, {"100 watchers of 10 Pods each", 100, 10}, {byReading, 0, 0}}

const (
	watchedWriters = 64
	// byReading is the least that one watcher costs: a goroutine reads each Pod after its
	// change.
	byReading = "a goroutine that only reads each changed Pod"
)

// inFile does a job in a process of its own, on a file of ours with so many Pods.
func (b *bench) inFile(part string, n int) error {
	if len(b.named(ours)) == 0 {
		return nil
	}
	c, of := podstoreCandidate(), podsOf(n)
	if err := b.fill(c, of); err != nil {
		return err
	}
	d, err := b.do(job{Part: part, Dir: b.files(c, of), Set: of})
	b.results = append(b.results, d.Results...)
	return errors.Join(err, os.RemoveAll(filepath.Dir(b.files(c, of))))
}

func (b *bench) watch() error { return b.inFile("watch", b.sizes[0]) }

// watchJob lets writers write while nobody watches and while somebody does, by turns.
func watchJob(b *bench, j job, _ conversation) (d done, err error) {
	p, err := openPodstore(j.Dir)
	if err != nil {
		return done{}, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	truth := newExpected(j.Set)
	for round := range b.copies {
		for _, i := range []int{0, 1, 3, 0, 2} {
			by := watchedBy[i]
			t := &told{acked: map[uint64]time.Time{}}
			changed, read := make(chan string, 1024), make(chan error, 1)
			go func() { read <- readEach(p.s, changed) }()
			stop, err := watchers(p.s, j.Set, by.watchers, by.pods, t)
			if err != nil {
				return done{}, err
			}
			s, err := truth.write(b.watching, 0, watchedWriters, watchedWriters, uint64(round*4+i), func(pod, peer string, there bool) error {
				applied, err := p.s.Apply(context.Background(), []store.Change{{Pod: pod, Op: peerOp(peer, there)}}, nil)
				if err == nil {
					t.ack(applied[0].Version.Revision.Number)
				}
				if by.name == byReading {
					changed <- pod
				}
				return err
			})
			close(changed)
			time.Sleep(b.watching / 10) // for the last of them
			if err := errors.Join(err, <-read, stop()); err != nil {
				return done{}, err
			}
			r := s.result(result{Workload: watchWriters, Candidate: by.name, Pods: j.Set.Pods, Writers: watchedWriters, Round: round})
			d.Results = append(d.Results, r)
			b.progress("watch, round %d: %-28s %8.0f/s", round+1, by.name, rate(r))
			if by.watchers == 0 {
				continue
			}
			delays := t.delays()
			if len(delays) == 0 {
				return done{}, fmt.Errorf("%s: nobody was told anything", by.name)
			}
			d.Results = append(d.Results, sample{latencies: delays, elapsed: s.elapsed}.result(
				result{Workload: watchDelivery, Candidate: by.name, Pods: j.Set.Pods, Writers: watchedWriters, Round: round}))
		}
	}
	return d, truth.verifyTouched(p)
}

// readEach reads each Pod that is named, without its manifest, as the watchers do.
func readEach(s store.MetadataStore, names <-chan string) (err error) {
	for name := range names {
		if _, readErr := store.ReadPart(context.Background(), s, name, store.ReadOptions{OmitManifest: true}); readErr != nil {
			err = readErr
		}
	}
	return err
}

// told is when changes were acknowledged and when watchers were told of them, by the
// number of their revision.
type told struct {
	mu    sync.Mutex
	acked map[uint64]time.Time
	given []delivery
}

type delivery struct {
	number uint64
	at     time.Time
}

func (t *told) ack(number uint64) {
	now := time.Now()
	t.mu.Lock()
	t.acked[number] = now
	t.mu.Unlock()
}

// delays is how long after a change was acknowledged watchers were told of it; 0 where
// they were told before.
func (t *told) delays() (out []time.Duration) {
	for _, g := range t.given {
		if at, ok := t.acked[g.number]; ok {
			out = append(out, max(0, g.at.Sub(at)))
		}
	}
	return out
}

// watchers begins watches, each of some Pods at random or of all, and returns when all
// have the whole list.
func watchers(s store.MetadataStore, of set, n, pods int, t *told) (stop func() error, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	synced, ended := make(chan struct{}, n), make(chan error, n)
	for w := range n {
		opts := store.WatchOptions{OmitManifest: true}
		for _, i := range rand.New(rand.NewPCG(uint64(w), 13)).Perm(of.Pods)[:pods] {
			opts.Pods = append(opts.Pods, podName(i))
		}
		go func() { ended <- t.watch(ctx, s, opts, synced) }()
	}
	stop = func() (err error) {
		cancel()
		for range n {
			err = errors.Join(err, <-ended)
		}
		n = 0
		return err
	}
	for range n {
		select {
		case <-synced:
		case err := <-ended:
			n--
			return nil, errors.Join(err, stop())
		}
	}
	return stop, nil
}

// watch notes what it is told, until ctx ends.
func (t *told) watch(ctx context.Context, s store.MetadataStore, opts store.WatchOptions, synced chan<- struct{}) error {
	listed := false
	for batch, err := range store.Watch(ctx, s, opts) {
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case !listed:
			if listed = batch.Synced; listed {
				synced <- struct{}{}
			}
			continue
		}
		now := time.Now()
		t.mu.Lock()
		for _, e := range batch.Events {
			if e.Err != nil || e.Metadata == nil {
				t.mu.Unlock()
				return fmt.Errorf("told of %s that it is gone: %w", e.Pod, e.Err)
			}
			t.given = append(t.given, delivery{e.Metadata.Version.Revision.Number, now})
		}
		t.mu.Unlock()
	}
	return nil
}

func (b *bench) remove() error { return b.inFile("remove", b.many) }

const (
	removeWriters = 8
	removeHubs    = 32 // Pods to remove in a round, beside the writers
	hubLinks      = 10 // Pods that refer to each
)

// removeJob removes Pods with the references to them: alone, and beside writers, whose
// latency is measured before that too.
func removeJob(b *bench, j job, _ conversation) (d done, err error) {
	p, err := openPodstore(j.Dir)
	if err != nil {
		return done{}, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	ctx, truth := context.Background(), newExpected(j.Set)
	hub := func(i int) error {
		name := fmt.Sprint("hub-", i)
		if err := store.Do(ctx, p.s, name, store.SetPeers{}); err != nil {
			return err
		}
		for k := range hubLinks {
			if err := store.LinkPeers(ctx, p.s, name, podName((i*hubLinks+k)%j.Set.Pods)); err != nil {
				return err
			}
		}
		return nil
	}
	remove := func(s *sample, i int) error {
		start := time.Now()
		err := store.Do(ctx, p.s, fmt.Sprint("hub-", i), store.Remove{})
		s.latencies = append(s.latencies, time.Since(start))
		s.elapsed += time.Since(start)
		return err
	}
	of := func(workload string, writers, round int) result {
		return result{Workload: workload, Candidate: ours, Pods: j.Set.Pods, Writers: writers, Round: round}
	}
	for round := range b.copies {
		for i := range removeHubs {
			if err := hub(i); err != nil {
				return done{}, err
			}
		}
		var alone, busy sample
		const few = removeHubs / 4
		for i := range few {
			if err := remove(&alone, i); err != nil {
				return done{}, err
			}
		}
		before, err := truth.write(b.watching/2, 0, removeWriters, removeWriters, uint64(round), p.setPeer)
		if err != nil {
			return done{}, err
		}
		var meanwhile sample
		wrote := make(chan error, 1)
		go func() {
			var err error
			meanwhile, err = truth.write(b.watching/2, 0, removeWriters, removeWriters, uint64(round)+1000, p.setPeer)
			wrote <- err
		}()
		i := few
		for start := time.Now(); i < removeHubs && time.Since(start) < b.watching/2; i++ {
			if err := remove(&busy, i); err != nil {
				return done{}, err
			}
		}
		if err := <-wrote; err != nil {
			return done{}, err
		}
		for ; i < removeHubs; i++ {
			if err := remove(new(sample), i); err != nil {
				return done{}, err
			}
		}
		d.Results = append(d.Results, alone.result(of(removeOne, 0, round)), busy.result(of(removeOne, removeWriters, round)),
			before.result(of(removeBefore, removeWriters, round)), meanwhile.result(of(removeMeanwhile, removeWriters, round)))
		n := len(d.Results)
		b.progress("remove, round %d: %.1f ms; of others p99 %.2f ms, before %.2f ms", round+1,
			d.Results[n-4].P50/1000, d.Results[n-1].P99/1000, d.Results[n-2].P99/1000)
	}
	// No reference is left, and the writers lost nothing.
	names, err := p.list()
	if err == nil && len(names) != j.Set.Pods {
		err = fmt.Errorf("%d of %d Pods are left", len(names), j.Set.Pods)
	}
	if err != nil {
		return done{}, err
	}
	for i := range j.Set.Pods {
		truth.touched[i] = true
	}
	return d, truth.verifyTouched(p)
}
