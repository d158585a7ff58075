package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// report is the page of a run, in Markdown.
func (b *bench) report(env environment, raw string, drawn bool) string {
	var w strings.Builder
	w.WriteString("# Benchmarks\n\n")
	if b.short {
		w.WriteString("**A short run, to see that everything works: its figures mean nothing.**\n\n")
	}
	fmt.Fprintf(&w, "Written by the program in `bench/`; `make bench` writes it again. Trust ratios within a table, not figures across machines: "+
		"everything below is from one run, in which the candidates took turns.\n\n")
	b.machine(&w, env, raw)
	b.goalTable(&w)
	for _, c := range curves {
		if !drawn || !c.measured(b) {
			continue
		}
		fmt.Fprintf(&w, "![%s](%s)\n\n", c.title, c.file)
	}
	b.candidateTable(&w)
	for _, n := range b.sizes {
		b.writeTable(&w, n)
	}
	b.readTables(&w)
	b.growthTable(&w)
	b.manifestTable(&w)
	b.historyTable(&w)
	b.processTable(&w)
	b.abuseTable(&w)
	b.costTables(&w)
	b.method(&w)
	return w.String()
}

func (b *bench) machine(w *strings.Builder, e environment, raw string) {
	kind := "not fast"
	if b.fastDisk() {
		kind = "fast"
	}
	fmt.Fprintf(w, "| | |\n|---|---|\n| fsync pair, p50 | %s µs: the disk is %s (fast is less than %d µs) |\n| date | %s |\n| command | `%s` |\n| source | %s |\n| CPU | %s, %d cores |\n| memory | %.0f GB |\n| kernel | %s |\n| file system | %s |\n| Go | %s |\n",
		round(b.fsyncPair()), kind, fastPair, e.Date, e.Command, e.Revision, e.CPU, e.Cores, e.MemoryGB, e.Kernel, e.FS, e.Go)
	for _, v := range e.Versions {
		name, version, _ := strings.Cut(v, " ")
		fmt.Fprintf(w, "| %s | %s |\n", name, version)
	}
	fmt.Fprintf(w, "| took | %s |\n", time.Since(b.began).Round(time.Second))
	if raw != "" {
		fmt.Fprintf(w, "| every measurement | `%s` |\n", strings.TrimPrefix(raw, "../"))
	}
	if strings.HasPrefix(e.FS, "tmpfs") || strings.HasPrefix(e.FS, "overlay") {
		w.WriteString("\n**The files were on " + e.FS + ": syncs may cost nothing there, and the figures for writing say little.**\n")
	}
	w.WriteString("\n")
}

func (b *bench) candidateTable(w *strings.Builder) {
	w.WriteString("## Candidates\n\n| Name | What | When an operation returns |\n|---|---|---|\n")
	fmt.Fprintf(w, "| %s | the floor of any bbolt commit: three page writes of 4 KiB, fdatasync, one page write, fdatasync; one writer | – |\n", limitName)
	for _, g := range groupLimits {
		fmt.Fprintf(w, "| %s | the floor of a commit of %d changes to 1,000 Pods: theirs are scattered pages of 8 KiB, %d more lie together, fdatasync, one page write, fdatasync; in commits a second, not changes | – |\n", g, g.changes, g.above)
	}
	for _, c := range b.wanted() {
		fmt.Fprintf(w, "| %s | %s | %s |\n", c.name, c.what, c.promise)
	}
	w.WriteString("\n")
}

// writeTable is the table of writers at one size.
func (b *bench) writeTable(w *strings.Builder, n int) {
	rs := b.results
	if rs.median(addPeer, ours, n, b.writers[0], rate) == 0 {
		return
	}
	fmt.Fprintf(w, "## Add-peer, %s\n\nOperations a second (p50 / p99 of the latency, ms); the fastest durable one is in bold. CPU is the processor time of the process for each change, user + system, µs.\n\n| writers |", podCount(n))
	for _, writers := range b.writers {
		fmt.Fprintf(w, " %d | CPU |", writers)
	}
	w.WriteString("\n|---|" + strings.Repeat("---:|---:|", len(b.writers)) + "\n")
	best := map[int]string{}
	names := []string{limitName}
	for _, g := range groupLimits {
		names = append(names, g.String())
	}
	for _, c := range b.measured(n) {
		names = append(names, c.name)
		for _, writers := range b.writers {
			if c.name != "json-now" && c.name != oldName && rs.median(addPeer, c.name, n, writers, rate) > rs.median(addPeer, best[writers], n, writers, rate) {
				best[writers] = c.name
			}
		}
	}
	for _, name := range names {
		fmt.Fprintf(w, "| %s |", name)
		for _, writers := range b.writers {
			ops := rs.median(addPeer, name, n, writers, rate)
			if ops == 0 {
				w.WriteString(" – | – |")
				continue
			}
			text := round(ops)
			if best[writers] == name {
				text = "**" + text + "**"
			}
			fmt.Fprintf(w, " %s (%s / %s) | %s + %s |", text,
				round(rs.median(addPeer, name, n, writers, p50)/1000), round(rs.median(addPeer, name, n, writers, p99)/1000),
				round(rs.median(addPeer, name, n, writers, user)), round(rs.median(addPeer, name, n, writers, system)))
		}
		w.WriteString("\n")
	}
	w.WriteString("\n")
	b.wins(w, n)
}

// wins says where a durable peer is faster.
func (b *bench) wins(w *strings.Builder, n int) {
	var lines []string
	for _, writers := range b.writers {
		us := b.results.median(addPeer, ours, n, writers, rate)
		for _, c := range b.wanted() {
			them := b.results.median(addPeer, c.name, n, writers, rate)
			if c.durable() && them > us {
				lines = append(lines, fmt.Sprintf("%s at %s (%s ×)", c.name, plural(writers, "writer"), round(them/us)))
			}
		}
	}
	if len(lines) > 0 {
		fmt.Fprintf(w, "Faster than podstore here: %s.\n\n", strings.Join(lines, ", "))
	}
}

func (b *bench) readTables(w *strings.Builder) {
	rs := b.results
	if rs.median(readOne, ours, b.sizes[0], 0, cost) == 0 {
		return
	}
	w.WriteString("## Reading\n\nOne caller, warm; in brackets how many times as fast podstore is, so below 1 the peer wins.\n\n| |")
	type column struct {
		workload, title string
		pods            int
	}
	var columns []column
	for _, c := range []column{{workload: readOne, title: "read one"}, {workload: listNames, title: "names"}, {workload: listContents, title: "contents"}} {
		for _, n := range b.sizes {
			c.pods = n
			columns = append(columns, c)
			fmt.Fprintf(w, " %s, %s |", c.title, grouped(int64(n)))
		}
	}
	w.WriteString("\n|---|" + strings.Repeat("---:|", len(columns)) + "\n")
	for _, c := range b.wanted() {
		if slices.Contains([]string{"sqlite-grouped", "bbolt-batch"}, c.name) {
			continue // they read as those that write one at a time
		}
		fmt.Fprintf(w, "| %s |", c.name)
		for _, col := range columns {
			us, them := rs.median(col.workload, ours, col.pods, 0, cost), rs.median(col.workload, c.name, col.pods, 0, cost)
			if them == 0 {
				w.WriteString(" – |")
			} else if c.name == ours {
				fmt.Fprintf(w, " %s |", duration(them))
			} else {
				fmt.Fprintf(w, " %s (%s) |", duration(them), round(them/us))
			}
		}
		w.WriteString("\n")
	}
	w.WriteString("\n")
}

func (b *bench) growthTable(w *strings.Builder) {
	rs := b.results
	if len(b.sizes) < 2 || rs.median(readOne, ours, b.sizes[0], 0, cost) == 0 {
		return
	}
	w.WriteString("## Growth of podstore\n\n| Pods | commit, 1 writer, p50 | of LIMIT's p50 | 64 writers | read one | names, a Pod | contents, a Pod |\n|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, n := range b.sizes {
		commit := rs.median(addPeer, ours, n, 1, p50)
		fmt.Fprintf(w, "| %s | %s | %s | %s/s | %s | %s | %s |\n", grouped(int64(n)), duration(commit), round(commit/rs.median(addPeer, limitName, n, 1, p50)),
			round(rs.median(addPeer, ours, n, 64, rate)), duration(rs.median(readOne, ours, n, 0, cost)),
			duration(rs.median(listNames, ours, n, 0, cost)/float64(n)), duration(rs.median(listContents, ours, n, 0, cost)/float64(n)))
	}
	w.WriteString("\n")
}

// measured are the candidates that were, with so many Pods.
func (b *bench) measured(n int) []*candidate {
	return slices.DeleteFunc(b.wanted(), func(c *candidate) bool {
		return b.results.median(addPeer, c.name, n, b.writers[0], rate) == 0
	})
}

// manifestTable is what manifests of other sizes cost.
func (b *bench) manifestTable(w *strings.Builder) {
	rs, n := b.results, b.sizes[0]
	of := func(size int, workload, name string, writers int, figure func(result) float64) float64 {
		return rs.median(set{n, size}.workload(workload), name, n, writers, figure)
	}
	if of(b.manifests[0], readOne, ours, 0, cost) == 0 {
		return
	}
	fmt.Fprintf(w, "## Size of the manifest, %s\n\nReal Pods have %s, with plugins 16 to 54.\n\n| manifest | | add-peer, 1 writer | add-peer, 64 writers | read one | bytes a Pod |\n|---:|---|---:|---:|---:|---:|\n",
		podCount(n), kilobytes(realManifestSize))
	for _, size := range b.manifests {
		for _, name := range manifestCandidates {
			label := "none"
			if size > 0 {
				label = kilobytes(size)
			}
			fmt.Fprintf(w, "| %s | %s |", label, name)
			for _, writers := range manifestWriters {
				fmt.Fprintf(w, " %s/s |", round(of(size, addPeer, name, writers, rate)))
			}
			fmt.Fprintf(w, " %s | %s |\n", duration(of(size, readOne, name, 0, cost)), round(of(size, onDisk, name, 0, perPod)))
		}
	}
	w.WriteString("\n")
}

// historyTable is growth by history.
func (b *bench) historyTable(w *strings.Builder) {
	rs, n := b.results, b.sizes[0]
	if rs.median(historyOf(addPeer, b.histories[0]), ours, n, 0, p50) == 0 {
		return
	}
	w.WriteString("## History of a Pod\n\nOne change or read at a time, p50, by how many children the Pod has reclaimed. The read leaves the history out.\n\n| reclaimed |")
	for _, name := range []string{ours, throughSocket} {
		for _, work := range historyWork {
			fmt.Fprintf(w, " %s: %s |", name, work.name)
		}
	}
	w.WriteString("\n|---:|" + strings.Repeat("---:|", 2*len(historyWork)) + "\n")
	for _, entries := range b.histories {
		fmt.Fprintf(w, "| %s |", grouped(int64(entries)))
		for _, name := range []string{ours, throughSocket} {
			for _, work := range historyWork {
				fmt.Fprintf(w, " %s |", duration(rs.median(historyOf(work.name, entries), name, n, 0, p50)))
			}
		}
		w.WriteString("\n")
	}
	w.WriteString("\n")
}

// abuseTable is what honest clients get, and what the server takes, while others
// misuse it.
func (b *bench) abuseTable(w *strings.Builder) {
	rs, n := b.results, b.sizes[0]
	if rs.median(besideAbuses, quietAbuse, n, honestWriters, rate) == 0 {
		return
	}
	fmt.Fprintf(w, "## Misuse of a socket, %s and %d of 8 MiB\n\n%d honest writers, add-peer, while others …\n\n| others | connections | changes a second | p50 | p99 | RssAnon of the server at most |\n|---|---:|---:|---:|---:|---:|\n",
		podCount(n), largePods, honestWriters)
	row := func(name string, conns int) {
		of := func(figure func(result) float64) float64 {
			return rs.median(besideAbuses, name, n, honestWriters, figure)
		}
		fmt.Fprintf(w, "| %s | %d | %s | %s | %s | %.0f MiB |\n", name, conns, round(of(rate)), duration(of(p50)), duration(of(p99)), of(anonymousMiB))
	}
	row(quietAbuse, 0)
	for _, a := range abuses {
		row(a.name, a.conns)
	}
	w.WriteString("\n")
}

// processTable is what several processes get of one store.
func (b *bench) processTable(w *strings.Builder) {
	rs, n := b.results, b.sizes[0]
	if rs.median(crowds[0].workload(), ours, n, crowds[0].writers, rate) == 0 {
		return
	}
	fmt.Fprintf(w, "## Processes, %s\n\nAdd-peer by all at the same time.\n\n| | processes × writers | changes a second | p50 | p99 | longest wait of any round |\n|---|---:|---:|---:|---:|---:|\n", podCount(n))
	for _, c := range crowds {
		of := func(figure func(result) float64) []float64 {
			return rs.pick(c.workload(), c.candidate, n, c.processes*c.writers, figure)
		}
		if len(of(rate)) == 0 {
			continue
		}
		fmt.Fprintf(w, "| %s | %d × %d | %s | %s | %s | %s |\n", c.candidate, c.processes, c.writers, round(medianOf(of(rate))),
			duration(medianOf(of(p50))), duration(medianOf(of(p99))), duration(slices.Max(of(func(r result) float64 { return r.Max }))))
	}
	w.WriteString("\n")
}

func (b *bench) costTables(w *strings.Builder) {
	rs := b.results
	n := b.sizes[0]
	allocs := func(r result) float64 { return r.Allocs }
	bytes := func(r result) float64 { return r.AllocSize }
	if rs.median(readOne+"-allocs", ours, n, 0, allocs) > 0 {
		fmt.Fprintf(w, "## Allocations an operation\n\n%s, one caller; memory that SQLite takes in C is not counted.\n\n| | read one | bytes | add-peer | bytes |\n|---|---:|---:|---:|---:|\n", podCount(n))
		for _, c := range b.wanted() {
			fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", c.name,
				round(rs.median(readOne+"-allocs", c.name, n, 0, allocs)), round(rs.median(readOne+"-allocs", c.name, n, 0, bytes)),
				round(rs.median(addPeer+"-allocs", c.name, n, 0, allocs)), round(rs.median(addPeer+"-allocs", c.name, n, 0, bytes)))
		}
		w.WriteString("\n")
	}
	w.WriteString("## Space\n\nBytes a Pod on disk after loading; the manifest of each has " +
		fmt.Sprintf("%d", len(makePod(0, manifestSize).Manifest)) + " bytes. Pebble and Badger compress, and Pebble reserves space for its log.\n\n| |")
	for _, n := range b.sizes {
		fmt.Fprintf(w, " %s |", podCount(n))
	}
	w.WriteString("\n|---|" + strings.Repeat("---:|", len(b.sizes)) + "\n")
	for _, c := range b.wanted() {
		if rs.median(onDisk, c.name, n, 0, perPod) == 0 {
			continue
		}
		fmt.Fprintf(w, "| %s |", c.name)
		for _, n := range b.sizes {
			fmt.Fprintf(w, " %s |", round(rs.median(onDisk, c.name, n, 0, perPod)))
		}
		w.WriteString("\n")
	}
	w.WriteString("\n")
	mb := func(v float64) string { return round(v/1e6) + " MB" }
	base := rs.median(idleMemory, "none", b.idle, 0, func(r result) float64 { return float64(r.Bytes) })
	if base == 0 {
		return
	}
	fmt.Fprintf(w, "## Memory of an idle store, %s\n\nA process of its own that opens the store and does nothing; this program without a store is the first row.\n\n| | resident | anonymous |\n|---|---:|---:|\n", podCount(b.idle))
	for _, r := range rs {
		if r.Workload == idleMemory {
			fmt.Fprintf(w, "| %s | %s | %s |\n", r.Candidate, mb(float64(r.Bytes)), mb(float64(r.Anonymous)))
		}
	}
	w.WriteString("\n")
}

// roundsOf says how many rounds there were.
func (b *bench) roundsOf() string {
	var out []string
	for i, n := range b.sizes {
		out = append(out, fmt.Sprintf("%d at %s", b.rounds[i], podCount(n)))
	}
	return strings.Join(out, ", ")
}

func (b *bench) method(w *strings.Builder) {
	fmt.Fprintf(w, `## Method

- Every Pod has an active segment, two children, a reclaimed one, peers, and a manifest of %d bytes where nothing else is said. Add-peer reads, changes and writes a random Pod: it adds one of eight peers, or removes it where it is there. A writer has peers that no other one touches, so it knows which; every operation changes something and no list grows. podstore makes it as an operation (`+"`store.AddPeer`, `store.RemovePeer`"+`), who has none as a read-modify-write in a transaction.
- A turn is a process of its own, with Go's defaults. It opens a candidate, fills its caches by reading everything (the directories have the page cache alone), measures reading, then each number of writers for %s, then compares every Pod that was edited with what it must hold. After all rounds each candidate is opened again and compared: all names, and the contents of up to 10,000 Pods.
- Processor time is what getrusage says of that process between the first and the last change, divided by the changes: the writers themselves are in it, what the kernel does elsewhere for the disk is not.
- Rounds: %s. Above 10,000 Pods the directories and those that differ only in how they group commits are left out. The order of the candidates changes with each round; LIMIT is measured right after podstore, once the disk has been at rest for as long as a candidate reads. Between turns the file system is synced, outside of what is timed. Figures are medians of the rounds, percentiles too, of two rounds their mean; allocations, space, idle memory and unchanged updates are measured once.
- `+"`make bench-old`"+` measures %s too: the commit's sources are unpacked, called podstore-old as a module, and given to the benchmark by a go.mod of its own. That build takes its turn right before podstore or right after it, by turns.
- The peers' values have a plain binary form without reflection, checksums or validation: cheaper than podstore's own. SQLite, Pebble and Badger keep the manifest apart, so that an edit does not write it again. Nothing but podstore and json-safe validates what it is given.
- json-now is Go's encoding/json with the manifest as a tree of values, which is how the incumbent holds it; the incumbent's own parser is faster than that one, its system calls are the same. json-safe reads with podstore's scanner.
- An fsync pair is the p50 of LIMIT, over the whole run. Where it is less than %d µs the processor is the floor, and the bound of p99 is 2.5 × LIMIT-8 instead of 1.5. LIMIT-8 and LIMIT have the disk at rest before them, podstore's eight writers come after one writer.
- The bounds hold for the sizes for which they were set: one writer and reading at 1,000 and 10,000 Pods, many writers at 1,000, lists and trees at 10,000. What has none shows growth.
- podstore's pages of 8 KiB were chosen for manifests of this size, of which one fits a page; plain bbolt has its default of 4 KiB, of which such a Pod takes four. SQLite has a cache of 64 MiB and maps nothing.
- History: Pods that differ in nothing but how many children they have reclaimed take turns, %d changes and reads of each. Every sixteenth time the history is cut to what it was, which is not timed.
- Processes: all begin together and write for %s, each with its own part of the peers; a round of each kind, %d rounds, the order rotates. The server of the socket is a process of its own and is not counted among the eight. Each SQLite process has one connection that writes (BEGIN IMMEDIATE) and waits for the lock by SQLite's busy timeout. Afterwards the file is compared with what all were told.
- Watchers are in the process of the writers and leave manifests out. Rounds with and without them alternate. From commit to delivery is from when a writer was told that its change is made to when the watcher has it, 0 where the watcher was first.
- The mirror is of a file of that many Pods, in the same process; parents are those of a random child. Remove takes Pods that have ten links each, first while nothing else is done, then beside eight writers, who had the same time for themselves just before.
- Import and export come first, in turn with cat and cp, always in the same order. Their manifests have %s, as those of real Pods. They use two workers, cat and cp one. Between rounds the page cache lets go of what a round made. It is removed at the end of the run: ext4 is up to ten times as slow to create files where many were removed in the last minutes (so wait some before running this again). Memory that a virtual machine has not used yet is used once before.
- cat is `+"`find … -print0 | xargs -0 cat > /dev/null`"+`, warm; cp is `+"`cp -r … && sync -f …`"+`. Import and export open the database too, as the command does, and are durable when they return; the exported tree is compared with the source by `+"`diff -r`"+`. What makes the same files from memory has two workers too, and writes nothing but them.
`, manifestSize, b.span, b.roundsOf(), oldName, fastPair, b.samples, b.watching, b.copies, kilobytes(realManifestSize))
}
