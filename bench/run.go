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
	short     bool          // to see that everything runs
	sizes     []int         // numbers of Pods
	rounds    []int         // rounds for each size
	writers   []int         // numbers of concurrent writers
	span      time.Duration // of writing, for each number of writers
	reading   time.Duration // of reading
	trees     int           // Pods in the directories of import and export
	copies    int           // rounds of all that is not measured at each size
	idle      int           // which of the sizes is measured idle
	manifests []int         // sizes of manifests
	histories []int         // entries that were reclaimed
	samples   int           // changes of each, by one caller
	many      int           // Pods of mirror and remove
	watching  time.Duration // of writing beside watchers, and by many processes
	only      *regexp.Regexp
	what      *regexp.Regexp // parts of the run
}

func fullPlan() plan {
	return plan{
		sizes: []int{1000, 10_000, 100_000}, rounds: []int{7, 3, 1},
		writers: []int{1, 8, 64, 256}, span: 500 * time.Millisecond, reading: 300 * time.Millisecond,
		trees: 10_000, copies: 5, idle: 100_000,
		manifests: []int{0, realManifestSize, 16 << 10, 64 << 10},
		histories: []int{0, 10_000, 25_000, 50_000}, samples: 1000, many: 10_000,
		watching: time.Second,
	}
}

func shortPlan() plan {
	return plan{
		short: true,
		sizes: []int{50, 200}, rounds: []int{1, 1},
		writers: []int{1, 8, 64, 256}, span: 30 * time.Millisecond, reading: 10 * time.Millisecond,
		trees: 200, copies: 1, idle: 200,
		manifests: []int{0, 16 << 10},
		histories: []int{0, 1000}, samples: 5, many: 200,
		watching: 30 * time.Millisecond,
	}
}

// bench is one run.
type bench struct {
	plan
	dir        string
	oneProcess bool // takes all turns itself, for a profile
	results    results
	began      time.Time
}

func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1fs  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}

func (b *bench) add(r result) { b.results = append(b.results, r) }

// wanted are the candidates of this run.
func (b *bench) wanted() []*candidate {
	return slices.DeleteFunc(candidates(), func(c *candidate) bool { return b.only != nil && !b.only.MatchString(c.name) })
}

// named are those of the wanted that have one of these names.
func (b *bench) named(names ...string) []*candidate {
	return slices.DeleteFunc(b.wanted(), func(c *candidate) bool { return !slices.Contains(names, c.name) })
}

// files is where a candidate keeps its Pods.
func (b *bench) files(c *candidate, of set) string {
	layout := c.layout
	if layout == "" {
		layout = c.name
	}
	return filepath.Join(b.dir, fmt.Sprint(of.Pods, "-", of.Manifest), layout)
}

// run makes every part of the run.
func (b *bench) run() error {
	for _, part := range []struct {
		name string
		run  func() error
	}{
		{"pair", b.pair},
		// Import is what a new process does, so it comes before the heap has grown.
		{"trees", b.copyTrees}, {"stores", b.stores}, {"manifests", b.ofManifests},
		{"history", b.history}, {"processes", b.processes}, {"watch", b.watch},
		{"mirror", b.mirror}, {"remove", b.remove}, {"abuse", b.abuse}, {"unchanged", b.unchanged},
	} {
		if b.what != nil && part.name != "pair" && !b.what.MatchString(part.name) {
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
		turns := b.wanted()
		if n > mostDirectories {
			turns = b.named(ours, oldName, "sqlite", "sqlite-grouped", "pebble", "bbolt-update")
		}
		if err := b.compare(podsOf(n), turns, b.writers, b.rounds[i]); err != nil {
			return err
		}
	}
	return nil
}

// mostDirectories is the largest number of Pods at which everybody is measured. More
// directories take minutes to make, and who has few Pods in memory says nothing of
// growth.
const mostDirectories = 10_000

// ofManifests measures what manifests of other sizes cost.
func (b *bench) ofManifests() error {
	for _, size := range b.manifests {
		if err := b.compare(set{b.sizes[0], size}, b.named(manifestCandidates...), manifestWriters, min(b.copies, 3)); err != nil {
			return err
		}
	}
	return nil
}

var (
	manifestCandidates = []string{ours, "sqlite", "bbolt-update"}
	manifestWriters    = []int{1, 64}
)

// compare lets candidates take turns on a set of Pods.
func (b *bench) compare(of set, turns []*candidate, writers []int, rounds int) error {
	if len(turns) == 0 {
		return nil
	}
	truth := map[string]*expected{}
	for _, c := range turns {
		dir := b.files(c, of)
		if truth[dir] != nil {
			continue
		}
		truth[dir] = newExpected(of)
		if err := b.load(c, of); err != nil {
			return fmt.Errorf("%s, %s: loading: %w", of, c.name, err)
		}
	}
	order := slices.Clone(turns)
	for round := range rounds {
		// Another order, so that no candidate always follows the same one.
		rand.New(rand.NewPCG(uint64(of.Pods), uint64(round))).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		beside(order, round)
		for _, c := range order {
			if err := b.takeTurn(c, of, round, writers, truth[b.files(c, of)]); err != nil {
				return fmt.Errorf("%s, %s: %w", of, c.name, err)
			}
			if c.name != ours || of.Manifest != manifestSize {
				continue
			}
			// The machine's speed drifts: what it is compared with comes right after it.
			if err := b.limitTurn(of.Pods, round); err != nil {
				return err
			}
			if err := b.rareTurn(c, of, round, truth[b.files(c, of)]); err != nil {
				return fmt.Errorf("%s, %s: %w", of, rareName, err)
			}
		}
	}
	for _, c := range turns {
		if err := verify(c, b.files(c, of), truth[b.files(c, of)]); err != nil {
			return fmt.Errorf("%s, %s, opened again after all rounds: %w", of, c.name, err)
		}
	}
	b.progress("%s: every candidate holds what it must", of)
	if of == podsOf(b.idle) {
		if err := b.idleStores(of, turns); err != nil {
			return err
		}
	}
	return os.RemoveAll(filepath.Dir(b.files(turns[0], of)))
}

// beside moves an earlier build of ours next to ours: before it or after it, by turns.
func beside(turns []*candidate, round int) {
	is := func(name string) func(*candidate) bool {
		return func(c *candidate) bool { return c.name == name }
	}
	old := slices.IndexFunc(turns, is(oldName))
	if old < 0 {
		return
	}
	c := turns[old]
	rest := slices.Delete(slices.Clone(turns), old, old+1)
	copy(turns, slices.Insert(rest, slices.IndexFunc(rest, is(ours))+round%2, c))
}

// load fills a candidate's files and notes what they take.
func (b *bench) load(c *candidate, of set) error {
	start := time.Now()
	if err := b.fill(c, of); err != nil {
		return err
	}
	size, err := diskUsage(b.files(c, of))
	b.add(result{Workload: of.workload(onDisk), Candidate: c.name, Pods: of.Pods, Bytes: size})
	b.progress("%s: loaded %s in %.1f s, %d bytes a Pod", of, c.name, time.Since(start).Seconds(), size/int64(of.Pods))
	return err
}

// fill fills a candidate's files.
func (b *bench) fill(c *candidate, of set) error {
	dir := b.files(c, of)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	p, err := c.open(dir)
	if err != nil {
		return err
	}
	err = p.load(makePods(of))
	if cerr := p.close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return syncFS(dir)
}

// pair measures LIMIT before everything else, so that each run tells the disk of its
// day.
func (b *bench) pair() error {
	s, err := measureLimit(b.dir, 2*b.span)
	b.add(s.result(result{Workload: fsyncPair, Candidate: limitName}))
	return err
}

func (b *bench) limitTurn(n, round int) error {
	type limit struct {
		name    string
		writers int
		measure func(dir string, span time.Duration) (sample, error)
	}
	limits := []limit{{limitName, 1, measureLimit}}
	for _, g := range groupLimits {
		limits = append(limits, limit{g.String(), g.changes, g.measure})
	}
	for _, l := range limits {
		// A candidate reads before it writes, and meanwhile the disk comes to rest.
		time.Sleep(2 * b.reading)
		s, err := l.measure(b.dir, b.span)
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		r := s.result(result{Workload: addPeer, Candidate: l.name, Pods: n, Writers: l.writers, Round: round})
		b.add(r)
		b.progress("%d Pods, round %d: %-16s %.0f/s", n, round+1, l.name, rate(r))
	}
	return nil
}

// settle lets no candidate pay for what was before it.
func settle(dir string) error {
	runtime.GC()
	return syncFS(dir)
}
