package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"time"
)

// turn is one candidate's turn in one round: it is opened, read, written and
// closed.
type turn struct {
	*bench
	c       *candidate
	of      set
	round   int
	writers []int
	truth   *expected
	p       pods
}

func (t *turn) result(workload string, writers int) result {
	return result{Workload: t.of.workload(workload), Candidate: t.c.name, Pods: t.of.Pods, Writers: writers, Round: t.round}
}

func (t *turn) run() (err error) {
	dir := t.files(t.c, t.of)
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
	if t.of.Manifest == manifestSize {
		if err := t.lists(); err != nil {
			return err
		}
		if t.round == 0 {
			if err := t.allocations(); err != nil {
				return err
			}
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
		if r.Writers > 0 {
			fmt.Fprintf(&line, " %6.0f/s", rate(r))
		}
	}
	return line.String()
}

// reads reads random Pods, one after the other.
func (t *turn) reads() error {
	rng := rand.New(rand.NewPCG(uint64(t.round), 7))
	names := make([]string, t.of.Pods)
	for i := range names {
		names[i] = podName(i)
	}
	ops, start := 0, time.Now()
	for ; ops%16 != 0 || time.Since(start) < t.reading; ops++ {
		if _, err := t.p.read(names[rng.IntN(t.of.Pods)]); err != nil {
			return err
		}
	}
	r := t.result(readOne, 0)
	r.Ops, r.Seconds = ops, time.Since(start).Seconds()
	t.add(r)
	return nil
}

// lists lists names and contents, each at least once.
func (t *turn) lists() error {
	names := func() error {
		names, err := t.p.list()
		if err == nil && len(names) != t.of.Pods {
			err = fmt.Errorf("list gave %d of %d names", len(names), t.of.Pods)
		}
		return err
	}
	contents := func() error {
		count := 0
		err := t.p.all(func(any) error { count++; return nil })
		if err == nil && count != t.of.Pods {
			err = fmt.Errorf("list with contents gave %d of %d Pods", count, t.of.Pods)
		}
		return err
	}
	for _, w := range []struct {
		workload string
		do       func() error
	}{{listNames, names}, {listContents, contents}} {
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
	rng := rand.New(rand.NewPCG(uint64(t.of.Pods), 11))
	if err := count(readOne, func() error {
		_, err := t.p.read(podName(rng.IntN(t.of.Pods)))
		return err
	}); err != nil {
		return err
	}
	return count(addPeer, func() error {
		return t.truth.writeOne(rng.IntN(len(t.truth.peers)), t.p.setPeer)
	})
}

// writing lets some writers set peers of random Pods.
func (t *turn) writing(writers int) (result, error) {
	s, err := t.truth.write(t.span, 0, writers, writers, uint64(t.of.Pods)<<32|uint64(t.round), t.p.setPeer)
	if err != nil {
		return result{}, err
	}
	return s.result(t.result(addPeer, writers)), nil
}
