package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"time"
)

// plan says how much is measured.
type plan struct {
	short   bool          // to see that everything runs
	sizes   []int         // numbers of Pods
	rounds  []int         // rounds for each size
	writers []int         // numbers of concurrent writers
	span    time.Duration // of writing, for each number of writers
	reading time.Duration // of reading
	trees   int           // Pods in the directories of import and export
	copies  int           // rounds of import and export
	idle    int           // which of the sizes is measured idle
	only    *regexp.Regexp
	what    *regexp.Regexp // parts of the run
}

func fullPlan() plan {
	return plan{
		sizes: []int{1000, 10_000, 100_000}, rounds: []int{7, 3, 2},
		writers: []int{1, 8, 64, 256}, span: 500 * time.Millisecond, reading: 300 * time.Millisecond,
		trees: 10_000, copies: 5, idle: 100_000,
	}
}

func shortPlan() plan {
	return plan{
		short: true,
		sizes: []int{50, 200}, rounds: []int{1, 1},
		writers: []int{1, 8, 64, 256}, span: 30 * time.Millisecond, reading: 10 * time.Millisecond,
		trees: 200, copies: 1, idle: 200,
	}
}

// bench is one run.
type bench struct {
	plan
	dir        string
	oneProcess bool // takes all turns itself, for a profile
	results    results
	start      time.Time
}

func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1fs  %s\n", time.Since(b.start).Seconds(), fmt.Sprintf(format, args...))
}

func (b *bench) add(r result) { b.results = append(b.results, r) }

// wanted are the candidates of this run.
func (b *bench) wanted() []*candidate {
	return slices.DeleteFunc(candidates(), func(c *candidate) bool { return b.only != nil && !b.only.MatchString(c.name) })
}

// files is where a candidate keeps n Pods.
func (b *bench) files(c *candidate, n int) string {
	layout := c.layout
	if layout == "" {
		layout = c.name
	}
	return filepath.Join(b.dir, fmt.Sprint(n), layout)
}

// run makes every part of the run.
func (b *bench) run() error {
	for _, part := range []struct {
		name string
		run  func() error
	}{
		// Import is what a new process does, so it comes before the heap has grown.
		{"trees", b.copyTrees}, {"stores", b.stores}, {"unchanged", b.unchanged},
	} {
		if b.what != nil && !b.what.MatchString(part.name) {
			continue
		}
		if err := part.run(); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// stores measures reading and writing at every size.
func (b *bench) stores() error {
	for i, n := range b.sizes {
		if err := b.storesOf(n, b.rounds[i]); err != nil {
			return fmt.Errorf("%d Pods: %w", n, err)
		}
		if err := os.RemoveAll(filepath.Join(b.dir, fmt.Sprint(n))); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) storesOf(n, rounds int) error {
	truth := map[string]*expected{}
	for _, c := range b.wanted() {
		dir := b.files(c, n)
		if truth[dir] != nil {
			continue
		}
		truth[dir] = newExpected(n)
		if err := b.load(c, n); err != nil {
			return fmt.Errorf("%s: loading: %w", c.name, err)
		}
	}
	turns := b.wanted()
	for round := range rounds {
		// Another order, so that no candidate always follows the same one.
		rand.New(rand.NewPCG(uint64(n), uint64(round))).Shuffle(len(turns), func(i, j int) { turns[i], turns[j] = turns[j], turns[i] })
		for _, c := range turns {
			if err := b.takeTurn(c, n, round, truth[b.files(c, n)]); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if c.name != ours {
				continue
			}
			// The machine's speed drifts: what it is compared with comes right after it.
			if err := b.limitTurn(n, round); err != nil {
				return err
			}
			if err := b.rareTurn(c, n, round, truth[b.files(c, n)]); err != nil {
				return fmt.Errorf("%s: %w", rareName, err)
			}
		}
	}
	for _, c := range b.wanted() {
		if err := verify(c, b.files(c, n), truth[b.files(c, n)]); err != nil {
			return fmt.Errorf("%s, opened again after all rounds: %w", c.name, err)
		}
	}
	b.progress("%d Pods: every candidate holds what it must", n)
	if n == b.idle {
		return b.idleStores(n)
	}
	return nil
}

// load fills a candidate's files.
func (b *bench) load(c *candidate, n int) error {
	dir := b.files(c, n)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	p, err := c.open(dir)
	if err != nil {
		return err
	}
	start := time.Now()
	err = p.load(makePods(n))
	if cerr := p.close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := syncFS(dir); err != nil {
		return err
	}
	size, err := diskUsage(dir)
	b.add(result{Workload: onDisk, Candidate: c.name, Pods: n, Bytes: size})
	b.progress("%d Pods: loaded %s in %.1f s, %d bytes a Pod", n, c.name, time.Since(start).Seconds(), size/int64(n))
	return err
}

func (b *bench) limitTurn(n, round int) error {
	for _, l := range []struct {
		name    string
		writers int
		measure func(dir string, span time.Duration) (sample, error)
	}{{limitName, 1, measureLimit}, {groupLimitName, 8, measureGroupLimit}} {
		// A candidate reads before it writes, and meanwhile the disk comes to rest.
		time.Sleep(2 * b.reading)
		s, err := l.measure(b.dir, b.span)
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		r := s.result(result{Workload: addPeer, Candidate: l.name, Pods: n, Writers: l.writers, Round: round})
		b.add(r)
		b.progress("%d Pods, round %d: %-14s %.0f/s", n, round+1, l.name, rate(r))
	}
	return nil
}

// settle lets no candidate pay for what was before it.
func settle(dir string) error {
	runtime.GC()
	return syncFS(dir)
}
