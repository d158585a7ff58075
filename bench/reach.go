package main

import (
	"fmt"
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
		add(goal{
			what:     fmt.Sprintf("durable add-peer, %s, %s", plural(writers, "writer"), podCount(n)),
			measured: fmt.Sprintf("%s/s; %s %s/s", round(us), c, round(them)),
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
		versusLimit := ops(limitName, n, 1)
		add(goal{
			what:     "durable add-peer, 1 writer, " + podCount(n),
			measured: fmt.Sprintf("%s/s; LIMIT %s/s", round(ops(ours, n, 1)), round(versusLimit)),
			ratio:    ops(ours, n, 1) / versusLimit, least: true, bound: goalIf(0.85), unit: "× LIMIT",
		}, versusLimit > 0)
		versus("json-safe", n, 1, goalIf(2))
		versus("sqlite", n, 1, 0)
		for _, w := range []struct {
			writers             int
			batch, sqlite, safe float64
		}{{8, 20, 0, 0}, {64, 6, 5, 10}, {256, 3, 5, 10}} {
			versus("bbolt-batch", n, w.writers, goalOfMany(w.batch))
			versus("sqlite", n, w.writers, goalOfMany(w.sqlite))
			versus("json-safe", n, w.writers, goalOfMany(w.safe))
			if c := b.fastest(n, w.writers); c != nil && c.name != "sqlite" {
				versus(c.name, n, w.writers, 0)
			}
		}
		pair := rs.median(addPeer, limitName, n, 1, p50)
		tail := rs.median(addPeer, ours, n, 8, p99)
		add(goal{
			what:     "latency, 8 writers, p99, " + podCount(n),
			measured: fmt.Sprintf("%s µs, p50 %s µs; fsync pair %s µs", round(tail), round(rs.median(addPeer, ours, n, 8, p50)), round(pair)),
			ratio:    tail / pair, bound: goalOfMany(3), unit: "fsync pairs",
		}, pair > 0)
		rare := rs.median(addPeer, rareName, n, 8, p99)
		add(goal{
			what:     "the same where Go collects garbage a quarter as often (GOGC=400)",
			measured: fmt.Sprintf("%s µs, p50 %s µs", round(rare), round(rs.median(addPeer, rareName, n, 8, p50))),
			ratio:    rare / pair, unit: "fsync pairs",
		}, pair > 0 && rare > 0)
		if c := b.leastTail(n); c != nil {
			least := rs.median(addPeer, c.name, n, 8, p99)
			add(goal{
				what:     "the least of any other durable candidate",
				measured: fmt.Sprintf("%s %s µs, p50 %s µs", c.name, round(least), round(rs.median(addPeer, c.name, n, 8, p50))),
				ratio:    least / pair, unit: "fsync pairs",
			}, pair > 0)
		}
		add(goal{
			what:     "LIMIT-8, p99",
			measured: fmt.Sprintf("%s µs, p50 %s µs", round(rs.median(addPeer, groupLimitName, n, 8, p99)), round(rs.median(addPeer, groupLimitName, n, 8, p50))),
			ratio:    rs.median(addPeer, groupLimitName, n, 8, p99) / pair, unit: "fsync pairs",
		}, pair > 0 && n == b.sizes[0])
		for _, r := range []struct {
			what, workload string
			bound          float64
		}{
			{"read one Pod, warm", readOne, map[int]float64{1000: 20, 10_000: 15}[n]},
			{"list names", listNames, map[int]float64{10_000: 10}[n]},
			{"list with contents", listContents, map[int]float64{10_000: 10}[n]},
		} {
			us, them := rs.median(r.workload, ours, n, 0, cost), rs.median(r.workload, "json-now", n, 0, cost)
			add(goal{
				what:     r.what + ", " + podCount(n),
				measured: fmt.Sprintf("%s; json-now %s", duration(us), duration(them)),
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
	add(goal{
		what: "export " + directories(n), ratio: cp / exported, least: true, bound: 1.5, unit: "× as fast as cp -r and one sync",
		measured: fmt.Sprintf("%s; cp %s", duration(exported*all), duration(cp*all)),
	}, cp > 0)
	live := rs.median(exportLive, ours, n, 0, cost)
	add(goal{
		what: "export " + directories(n) + " while the store is open for writing", ratio: cp / live, least: true, unit: "× as fast as cp -r and one sync",
		measured: fmt.Sprintf("%s; cp %s", duration(live*all), duration(cp*all)),
	}, live > 0)
	size := rs.median(onDisk, "imported", n, 0, perPod) / 1000
	add(goal{
		what: "bytes a Pod after import", ratio: size, bound: 8.5, unit: "KB",
		measured: fmt.Sprintf("file of %s bytes", grouped(int64(size*1000*all))),
	}, size > 0)
	same := rs.median(unchanged, ours, b.sizes[0], 0, cost)
	add(goal{
		what: "unchanged update", ratio: same / rs.median(addPeer, limitName, b.sizes[0], 1, p50), bound: 1, unit: "fsync pairs",
		measured: duration(same) + "; the file's bytes stay as they are, so nothing was committed",
	}, same > 0)
	return out
}

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
