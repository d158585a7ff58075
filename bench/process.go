package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
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

// takeTurn lets a candidate take its turn.
func (b *bench) takeTurn(c *candidate, n, round int, truth *expected) error {
	if b.oneProcess {
		return (&turn{bench: b, c: c, n: n, round: round, truth: truth}).run()
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	job, err := json.Marshal(turnJob{
		Dir: b.dir, Candidate: c.name, Pods: n, Round: round,
		Writers: b.writers, Span: b.span, Reading: b.reading, Peers: truth.peers,
	})
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "-turn-child")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(job), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return err
	}
	var done turnDone
	if err := json.Unmarshal(out, &done); err != nil {
		return err
	}
	truth.peers = done.Peers
	for _, r := range done.Results {
		b.add(r)
	}
	b.progress("%d Pods, round %d: %-14s%s", n, round+1, c.name, rates(done.Results))
	return nil
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
