package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"time"
)

// turn is one candidate's turn in one round: it is opened, read, written and
// closed.
type turn struct {
	*bench
	c     *candidate
	n     int
	round int
	truth *expected
	p     pods
}

func (t *turn) result(workload string, writers int) result {
	return result{Workload: workload, Candidate: t.c.name, Pods: t.n, Writers: writers, Round: t.round}
}

func (t *turn) run() (err error) {
	dir := t.files(t.c, t.n)
	if t.p, err = t.c.open(dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.p.close(), settle(dir)) }()
	if t.c.inMemory {
		if err := t.p.all(func(any) error { return nil }); err != nil {
			return err
		}
	}
	runtime.GC()
	if err := t.reads(); err != nil {
		return err
	}
	if err := t.lists(); err != nil {
		return err
	}
	if t.round == 0 {
		if err := t.allocations(); err != nil {
			return err
		}
	}
	for _, writers := range t.writers {
		r, err := t.writing(writers)
		if err != nil {
			return fmt.Errorf("%d writers: %w", writers, err)
		}
		t.add(r)
	}
	return t.truth.verifyTouched(t.p)
}

// rates are those of writing, for a line of progress.
func rates(rs results) string {
	var line strings.Builder
	for _, r := range rs {
		if r.Workload == addPeer && r.Writers > 0 {
			fmt.Fprintf(&line, " %6.0f/s", rate(r))
		}
	}
	return line.String()
}

// reads reads random Pods, one after the other.
func (t *turn) reads() error {
	rng := rand.New(rand.NewPCG(uint64(t.round), 7))
	names := make([]string, t.n)
	for i := range names {
		names[i] = podName(i)
	}
	ops, cpu, start := 0, cpuTime(), time.Now()
	for ; ops%16 != 0 || time.Since(start) < t.reading; ops++ {
		if _, err := t.p.read(names[rng.IntN(t.n)]); err != nil {
			return err
		}
	}
	r := t.result(readOne, 0)
	r.Ops, r.Seconds = ops, time.Since(start).Seconds()
	r.CPU = micros(cpuTime()-cpu) / float64(ops)
	t.add(r)
	return nil
}

// lists lists names and contents, each at least once.
func (t *turn) lists() error {
	names := func() error {
		names, err := t.p.list()
		if err == nil && len(names) != t.n {
			err = fmt.Errorf("list gave %d of %d names", len(names), t.n)
		}
		return err
	}
	contents := func() error {
		count := 0
		err := t.p.all(func(any) error { count++; return nil })
		if err == nil && count != t.n {
			err = fmt.Errorf("list with contents gave %d of %d Pods", count, t.n)
		}
		return err
	}
	for _, w := range []struct {
		workload string
		do       func() error
	}{{listNames, names}, {listContents, contents}} {
		if t.n >= 100_000 && t.round > 0 {
			break // a minute for the directories
		}
		r := t.result(w.workload, 0)
		start := time.Now()
		for r.Ops == 0 || time.Since(start) < t.reading/2 {
			if err := w.do(); err != nil {
				return err
			}
			r.Ops++
		}
		r.Seconds = time.Since(start).Seconds()
		t.add(r)
	}
	return nil
}

// allocations counts what one reader and one writer allocate, in Go: SQLite's
// own memory is not in it.
func (t *turn) allocations() error {
	const ops = 200
	count := func(workload string, do func() error) error {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range ops {
			if err := do(); err != nil {
				return err
			}
		}
		runtime.ReadMemStats(&after)
		r := t.result(workload+"-allocs", 0)
		r.Allocs = float64(after.Mallocs-before.Mallocs) / ops
		r.AllocSize = float64(after.TotalAlloc-before.TotalAlloc) / ops
		t.add(r)
		return nil
	}
	rng := rand.New(rand.NewPCG(uint64(t.n), 11))
	if err := count(readOne, func() error {
		_, err := t.p.read(podName(rng.IntN(t.n)))
		return err
	}); err != nil {
		return err
	}
	return count(addPeer, func() error {
		pod, k := rng.IntN(t.n), rng.IntN(len(peerNames))
		err := t.p.toggle(podName(pod), peerNames[k])
		if err == nil {
			t.truth.toggled(pod, k)
		}
		return err
	})
}

// edit is one that a writer made.
type edit struct {
	pod  uint32
	peer uint8
}

// writing lets some writers toggle peers of random Pods.
func (t *turn) writing(writers int) (result, error) {
	type log struct {
		sample
		edits []edit
		err   error
	}
	logs := make([]log, writers)
	var wg sync.WaitGroup
	ready := make(chan struct{})
	var start time.Time
	for w := range logs {
		l := &logs[w]
		rng := rand.New(rand.NewPCG(uint64(t.n)<<32|uint64(t.round), uint64(writers)<<32|uint64(w)))
		wg.Go(func() {
			<-ready
			for last := start; last.Sub(start) < t.span; {
				e := edit{uint32(rng.IntN(t.n)), uint8(rng.IntN(len(peerNames)))}
				if l.err = t.p.toggle(podName(int(e.pod)), peerNames[e.peer]); l.err != nil {
					return
				}
				now := time.Now()
				l.latencies = append(l.latencies, now.Sub(last))
				l.edits = append(l.edits, e)
				last = now
			}
		})
	}
	runtime.GC()
	cpu := cpuTime()
	start = time.Now()
	close(ready)
	wg.Wait()
	all := sample{elapsed: time.Since(start)}
	cpu = cpuTime() - cpu
	for _, l := range logs {
		if l.err != nil {
			return result{}, l.err
		}
		all.latencies = append(all.latencies, l.latencies...)
		for _, e := range l.edits {
			t.truth.toggled(int(e.pod), int(e.peer))
		}
	}
	r := all.result(t.result(addPeer, writers))
	r.CPU = micros(cpu) / float64(r.Ops)
	return r, nil
}
