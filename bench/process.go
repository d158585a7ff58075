package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"
)

// A turn is taken in a process of its own: what a candidate left in Go's heap and its
// runtime made the next one's collections take twice as long.

// turnJob is what that process is told.
type turnJob struct {
	Dir           string
	Candidate     string
	Pods, Round   int
	Writers       []int
	Span, Reading time.Duration
	Peers         []byte // what the candidate's files hold: see expected
}

// turnDone is what it answers.
type turnDone struct {
	Results results
	Peers   []byte
}

// rareName is podstore in a process whose garbage is collected a quarter as often. With
// so small a heap as that of a process that does nothing else, Go's least of 4 MB, that
// is otherwise a hundred times a second, which the slowest hundredth of changes meets.
const rareName = "podstore, GOGC=400"

// takeTurn lets a candidate take its turn.
func (b *bench) takeTurn(c *candidate, n, round int, truth *expected) error {
	if b.oneProcess {
		return (&turn{bench: b, c: c, n: n, round: round, truth: truth}).run()
	}
	done, err := b.turnChild(c, n, round, truth, b.writers)
	if err != nil {
		return err
	}
	for _, r := range done {
		b.add(r)
	}
	b.progress("%d Pods, round %d: %-14s%s", n, round+1, c.name, rates(done))
	return nil
}

// rareTurn measures the latency of ours once more, where garbage is collected rarely.
func (b *bench) rareTurn(c *candidate, n, round int, truth *expected) error {
	if b.oneProcess || !slices.Contains(b.writers, rareWriters) {
		return nil
	}
	// After one writer, as in the turn that it is compared with.
	done, err := b.turnChild(c, n, round, truth, []int{1, rareWriters}, "GOGC=400")
	for _, r := range done {
		if r.Workload == addPeer && r.Writers == rareWriters {
			r.Candidate = rareName
			b.add(r)
		}
	}
	return err
}

const rareWriters = 8

// turnChild takes a turn in a process of its own, and returns its results.
func (b *bench) turnChild(c *candidate, n, round int, truth *expected, writers []int, env ...string) (results, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	job, err := json.Marshal(turnJob{
		Dir: b.dir, Candidate: c.name, Pods: n, Round: round,
		Writers: writers, Span: b.span, Reading: b.reading, Peers: truth.peers,
	})
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "-turn-child")
	cmd.Stdin, cmd.Stderr, cmd.Env = bytes.NewReader(job), os.Stderr, append(os.Environ(), env...)
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var done turnDone
	if err := json.Unmarshal(out, &done); err != nil {
		return nil, err
	}
	truth.peers = done.Peers
	return done.Results, nil
}

// turnInThisProcess takes the turn that standard input tells.
func turnInThisProcess() error {
	var job turnJob
	if err := json.NewDecoder(os.Stdin).Decode(&job); err != nil {
		return err
	}
	b := &bench{plan: plan{writers: job.Writers, span: job.Span, reading: job.Reading}, dir: job.Dir, start: time.Now()}
	for _, c := range candidates() {
		if c.name != job.Candidate {
			continue
		}
		truth := newExpected(0)
		truth.peers = job.Peers
		t := &turn{bench: b, c: c, n: job.Pods, round: job.Round, truth: truth}
		if err := t.run(); err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(turnDone{b.results, truth.peers})
	}
	return fmt.Errorf("there is no candidate %q", job.Candidate)
}
