package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// goal is one row of what podstore has to reach.
type goal struct {
	what     string
	measured string
	ratio    float64
	least    bool    // the ratio has to be at least the bound, otherwise at most
	bound    float64 // 0: nothing to reach, shown because it belongs there
	unit     string  // what the ratio is of
}

func (g goal) reached() bool {
	if g.least {
		return g.ratio >= g.bound
	}
	return g.ratio > 0 && g.ratio <= g.bound
}

func (g goal) row() string {
	sign, verdict := "≤", "**no**"
	if g.least {
		sign = "≥"
	}
	if g.reached() {
		verdict = "yes"
	}
	reach := fmt.Sprintf("%s %g %s", sign, g.bound, g.unit)
	if g.bound == 0 {
		reach, verdict = "–", "–"
	}
	return fmt.Sprintf("| %s | %s | %s %s | %s | %s |\n", g.what, g.measured, round(g.ratio), g.unit, reach, verdict)
}

// goals judges every row of the contract that this run measured.
func (b *bench) goals() []goal {
	var out []goal
	rs := b.results
	add := func(g goal, measured bool) {
		if measured && g.ratio > 0 {
			out = append(out, g)
		}
	}
	ops := func(c string, n, writers int) float64 { return rs.median(addPeer, c, n, writers, rate) }
	versus := func(c string, n, writers int, bound float64) {
		us, them := ops(ours, n, writers), ops(c, n, writers)
		measured := fmt.Sprintf("%s/s; %s %s/s", round(us), c, round(them))
		if floor := float64(writers) * b.raw(n, writers, rate); bound > 0 && us < bound*them && floor > 0 {
			measured += fmt.Sprintf("; the raw writes of such commits %s/s, %s ×", round(floor), round(floor/them))
		}
		add(goal{
			what:     fmt.Sprintf("durable add-peer, %s, %s", plural(writers, "writer"), podCount(n)),
			measured: measured,
			ratio:    us / them, least: true, bound: bound, unit: "× " + c,
		}, us > 0 && them > 0)
	}
	for _, n := range b.sizes {
		// What is to be reached was measured with one writer at these sizes, and
		// with many at 1,000 Pods; the rest shows growth.
		goalIf := func(bound float64) float64 {
			if n == 1000 || n == 10_000 {
				return bound
			}
			return 0
		}
		goalOfMany := func(bound float64) float64 {
			if n == 1000 {
				return bound
			}
			return 0
		}
		versus("bbolt-update", n, 1, goalIf(1.2))
		versus("json-safe", n, 1, goalIf(2))
		versus("sqlite", n, 1, 0)
		for _, w := range []struct {
			writers             int
			batch, safe, pebble float64
		}{{8, 22, 0, 0}, {64, 8, 10, 0.6}, {256, 4, 10, 0}} {
			versus("bbolt-batch", n, w.writers, goalOfMany(w.batch))
			versus("json-safe", n, w.writers, goalOfMany(w.safe))
			versus("sqlite", n, w.writers, 0)
			versus("pebble", n, w.writers, goalOfMany(w.pebble))
			if c := b.fastest(n, w.writers); c != nil && c.name != "sqlite" && c.name != "pebble" {
				versus(c.name, n, w.writers, 0)
			}
		}
		for _, w := range []struct {
			writers         int
			faster, cheaper float64
		}{{1, 1.1, 0.85}, {64, 1.35, 0.7}} {
			versus(oldName, n, w.writers, goalOfMany(w.faster))
			us, old := rs.median(addPeer, ours, n, w.writers, cpu), rs.median(addPeer, oldName, n, w.writers, cpu)
			measured := fmt.Sprintf("%s µs; %s %s µs", round(us), oldName, round(old))
			if floor := b.raw(n, w.writers, cpu); us > goalOfMany(w.cheaper)*old && floor > 0 {
				floor /= float64(w.writers)
				measured += fmt.Sprintf("; the raw writes of such commits %s µs, %s ×", round(floor), round(floor/old))
			}
			add(goal{
				what:     fmt.Sprintf("processor time of a change, %s, %s", plural(w.writers, "writer"), podCount(n)),
				measured: measured,
				ratio:    us / old, bound: goalOfMany(w.cheaper), unit: "× " + oldName,
			}, us > 0 && old > 0)
		}
		raw := rs.median(addPeer, groupLimitName, n, 8, p99)
		tail := func(what, of, name string, bound float64) {
			us := rs.median(addPeer, name, n, 8, p99)
			add(goal{
				what:     what,
				measured: fmt.Sprintf("%s%s µs, p50 %s µs; %s %s µs, p50 %s µs", of, round(us), round(rs.median(addPeer, name, n, 8, p50)), groupLimitName, round(raw), round(rs.median(addPeer, groupLimitName, n, 8, p50))),
				ratio:    us / raw, bound: bound, unit: "× " + groupLimitName,
			}, us > 0 && raw > 0)
		}
		most := 1.5
		if b.fastDisk() {
			most = 2.5
		}
		tail("latency, 8 writers, p99, "+podCount(n), "", ours, goalOfMany(most))
		tail("the same where Go collects garbage a quarter as often (GOGC=400)", "", rareName, 0)
		if c := b.leastTail(n); c != nil {
			tail("the least of any other durable candidate", c.name+" ", c.name, 0)
		}
		for _, r := range []struct {
			what, workload string
			bound          float64
		}{
			{"read one Pod, warm", readOne, map[int]float64{1000: 20, 10_000: 15}[n]},
			{"list names", listNames, map[int]float64{10_000: 10}[n]},
			{"list with contents", listContents, map[int]float64{10_000: 10}[n]},
		} {
			us, them := rs.median(r.workload, ours, n, 0, cost), rs.median(r.workload, "json-now", n, 0, cost)
			measured := fmt.Sprintf("%s; json-now %s", duration(us), duration(them))
			if plain := rs.median(r.workload, "bbolt-update", n, 0, cost); them < r.bound*us && plain > 0 {
				measured += fmt.Sprintf("; plain bbolt without checksums %s, %s ×", duration(plain), round(them/plain))
			}
			add(goal{
				what:     r.what + ", " + podCount(n),
				measured: measured,
				ratio:    them / us, least: true, bound: r.bound, unit: "× as fast",
			}, us > 0)
		}
	}
	n := b.trees
	imported, cat := rs.median(importDirs, ours, n, 0, cost), rs.median(catFiles, "cat", n, 0, cost)
	all := float64(n)
	add(goal{
		what: "import " + directories(n) + ", all synced", ratio: imported / cat, bound: 1.5, unit: "× cat",
		measured: fmt.Sprintf("%s; cat %s", duration(imported*all), duration(cat*all)),
	}, cat > 0)
	exported, cp := rs.median(exportDirs, ours, n, 0, cost), rs.median(copyDirs, "cp", n, 0, cost)
	raw := rs.median(makeDirs, "raw", n, 0, cost)
	add(goal{
		what: "export " + directories(n), ratio: cp / exported, least: true, bound: 1.5, unit: "× as fast as cp -r and one sync",
		measured: fmt.Sprintf("%s; cp %s; the same files made from memory and one sync %s, %s ×", duration(exported*all), duration(cp*all), duration(raw*all), round(cp/raw)),
	}, cp > 0)
	live := rs.median(exportLive, ours, n, 0, cost)
	add(goal{
		what: "export " + directories(n) + " while the store is open for writing", ratio: cp / live, least: true, unit: "× as fast as cp -r and one sync",
		measured: fmt.Sprintf("%s; cp %s", duration(live*all), duration(cp*all)),
	}, live > 0)
	size := rs.median(onDisk, "imported", n, 0, perPod) / 1000
	add(goal{
		what: fmt.Sprintf("bytes a Pod after import, manifests of %s", kilobytes(realManifestSize)), ratio: size, bound: 8.5, unit: "KB",
		measured: fmt.Sprintf("file of %s bytes", grouped(int64(size*1000*all))),
	}, size > 0)
	same := rs.median(unchanged, ours, b.sizes[0], 0, cost)
	add(goal{
		what: "unchanged update", ratio: same / b.fsyncPair(), bound: 1, unit: "fsync pairs",
		measured: duration(same) + "; the file's bytes stay as they are, so nothing was committed",
	}, same > 0)
	return append(out, b.moreGoals()...)
}

// moreGoals are those of history, processes, watchers, mirror and remove.
func (b *bench) moreGoals() []goal {
	var out []goal
	rs, n := b.results, b.sizes[0]
	add := func(g goal) {
		if g.ratio > 0 && !math.IsInf(g.ratio, 0) {
			out = append(out, g)
		}
	}
	longest := b.histories[len(b.histories)-1]
	for _, c := range []struct {
		name  string
		bound float64
	}{{ours, 1.5}, {throughSocket, 2}} {
		for _, work := range historyWork {
			with, without := rs.median(historyOf(work.name, longest), c.name, n, 0, p50), rs.median(historyOf(work.name, 0), c.name, n, 0, p50)
			what := work.name
			if what == readOne {
				what = "read without history"
			}
			add(goal{
				what:     fmt.Sprintf("%s, Pod with %s reclaimed entries (%s)", what, grouped(int64(longest)), c.name),
				measured: fmt.Sprintf("%s; with none %s", duration(with), duration(without)),
				ratio:    with / without, bound: c.bound, unit: "× a Pod with none",
			})
		}
	}
	of := func(c crowd, figure func(result) float64) float64 {
		return rs.median(c.workload(), c.candidate, n, c.processes*c.writers, figure)
	}
	alone, shared, sqlite, one, oneShared := crowds[0], crowds[1], crowds[2], crowds[3], crowds[4]
	worst := func(c crowd) float64 {
		waits := rs.pick(c.workload(), c.candidate, n, c.processes*c.writers, func(r result) float64 { return r.Max })
		return slices.Max(append(waits, 0))
	}
	const eight = "8 processes × 8 goroutines through one socket"
	add(goal{
		what: eight + ", against the same 64 in one process", ratio: of(shared, rate) / of(alone, rate), least: true, bound: 0.4, unit: "× in process",
		measured: fmt.Sprintf("%s/s; %s/s", round(of(shared, rate)), round(of(alone, rate))),
	})
	add(goal{
		what: eight + ", against one SQLite file that all have open", ratio: of(shared, rate) / of(sqlite, rate), least: true, bound: 2.5, unit: "× sqlite",
		measured: fmt.Sprintf("%s/s; %s/s", round(of(shared, rate)), round(of(sqlite, rate))),
	})
	add(goal{
		what: eight + ", longest wait", ratio: worst(shared) / 1000, bound: 100, unit: "ms",
		measured: fmt.Sprintf("%s; sqlite %s", duration(worst(shared)), duration(worst(sqlite))),
	})
	add(goal{
		what: "one client, one change at a time, through the socket", ratio: of(oneShared, p50) / of(one, p50), bound: 1.3, unit: "× the time in process",
		measured: fmt.Sprintf("p50 %s; %s. %s that another process asks for: %s; own: %s", duration(of(oneShared, p50)), duration(of(one, p50)),
			limitName, duration(rs.median(askedCommit, limitName, 0, 0, p50)), duration(rs.median(ownCommit, limitName, 0, 0, p50))),
	})
	quiet := rs.median(besideAbuses, quietAbuse, n, honestWriters, p99)
	for _, a := range abuses {
		beside := func(figure func(result) float64) float64 {
			return rs.median(besideAbuses, a.name, n, honestWriters, figure)
		}
		add(goal{
			what: fmt.Sprintf("server of a socket while %d others %s: RssAnon", a.conns, a.name), ratio: beside(anonymousMiB), bound: 512, unit: "MiB",
			measured: fmt.Sprintf("%.0f MiB", beside(anonymousMiB)),
		})
		add(goal{
			what: "honest clients beside these, p99", ratio: beside(p99) / quiet, bound: 5, unit: "× undisturbed",
			measured: fmt.Sprintf("%s; %s", duration(beside(p99)), duration(quiet)),
		})
	}
	nobody := rs.median(watchWriters, watchedBy[0].name, n, watchedWriters, rate)
	for _, by := range watchedBy[1:] {
		watched := rs.median(watchWriters, by.name, n, watchedWriters, rate)
		g := goal{
			what: fmt.Sprintf("%d writers beside %s", watchedWriters, by.name), ratio: watched / nobody, least: true, unit: "× unwatched",
			measured: fmt.Sprintf("%s/s; %s/s", round(watched), round(nobody)),
		}
		if by.watchers > 0 {
			g.bound = 0.9
		}
		add(g)
		if by.watchers == 0 {
			continue
		}
		late := rs.median(watchDelivery, by.name, n, watchedWriters, p99)
		add(goal{
			what: "from commit to delivery, p99, " + by.name, ratio: late / 1000, bound: 10, unit: "ms",
			measured: fmt.Sprintf("%s; p50 %.2f ms", duration(late), rs.median(watchDelivery, by.name, n, watchedWriters, p50)/1000),
		})
	}
	for _, m := range []struct {
		what, workload string
		bound          float64
	}{{"mirror: read one", mirrorRead, 1}, {"mirror: parents of one", mirrorParents, 5}} {
		took := rs.median(m.workload, ours, b.many, 0, cost)
		add(goal{what: m.what + " among " + podCount(b.many), ratio: took, bound: m.bound, unit: "µs", measured: duration(took)})
	}
	took, beside := rs.median(removeOne, ours, b.many, 0, p50), rs.median(removeOne, ours, b.many, removeWriters, p50)
	add(goal{
		what: fmt.Sprintf("remove a Pod with its %d references among %s", hubLinks, podCount(b.many)), ratio: took / 1000, bound: 60, unit: "ms",
		measured: fmt.Sprintf("%s; beside %s %s", duration(took), plural(removeWriters, "writer"), duration(beside)),
	})
	before, meanwhile := rs.median(removeBefore, ours, b.many, removeWriters, p99), rs.median(removeMeanwhile, ours, b.many, removeWriters, p99)
	add(goal{
		what: plural(removeWriters, "other writer") + " meanwhile, p99", ratio: meanwhile / before, bound: 2, unit: "× before",
		measured: fmt.Sprintf("%s; before %s", duration(meanwhile), duration(before)),
	})
	return out
}

// fastPair is the longest fsync pair of a disk that counts as fast, in µs. There the
// processor is the floor, and some bounds are others.
const fastPair = 150

// fsyncPair is the pair of the day: the p50 of LIMIT, in µs.
func (b *bench) fsyncPair() float64 {
	var all []float64
	for _, r := range b.results {
		if r.Candidate == limitName {
			all = append(all, r.P50)
		}
	}
	return medianOf(all)
}

// raw is what the raw writes of a commit took that has a change of each writer.
func (b *bench) raw(n, writers int, of func(result) float64) float64 {
	name := limitName
	for _, g := range groupLimits {
		if g.changes == writers {
			name = g.String()
		}
	}
	return b.results.median(addPeer, name, n, writers, of)
}

func (b *bench) fastDisk() bool { return b.fsyncPair() < fastPair }

// fastest is the durable candidate with the most changes a second, but for ours.
func (b *bench) fastest(n, writers int) (fastest *candidate) {
	ops := func(c *candidate) float64 { return b.results.median(addPeer, c.name, n, writers, rate) }
	for _, c := range b.wanted() {
		if c.durable() && ops(c) > 0 && (fastest == nil || ops(c) > ops(fastest)) {
			fastest = c
		}
	}
	return fastest
}

// leastTail is the candidate with the lowest p99 of eight writers of those that are
// durable, but for ours.
func (b *bench) leastTail(n int) (least *candidate) {
	tail := func(c *candidate) float64 { return b.results.median(addPeer, c.name, n, 8, p99) }
	for _, c := range b.wanted() {
		if c.durable() && tail(c) > 0 && (least == nil || tail(c) < tail(least)) {
			least = c
		}
	}
	return least
}

func (b *bench) goalTable(w *strings.Builder) {
	goals := b.goals()
	missed := 0
	for i := range goals {
		if b.short {
			goals[i].bound = 0
		}
		if g := goals[i]; g.bound > 0 && !g.reached() {
			missed++
		}
	}
	fmt.Fprintf(w, "## What is to be reached\n\nEach row is a ratio of medians within this run. ")
	switch {
	case b.short:
		w.WriteString("A short run judges nothing.\n\n")
	case missed == 0:
		w.WriteString("All bounds are reached.\n\n")
	default:
		fmt.Fprintf(w, "**Bounds below that are not reached: %d.**\n\n", missed)
	}
	w.WriteString("| What | Measured | Ratio | Reach | Reached |\n|---|---|---|---|---|\n")
	for _, g := range goals {
		w.WriteString(g.row())
	}
	w.WriteString("\n")
}
