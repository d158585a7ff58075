package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"time"
)

// What is measured runs in a process of its own: what a candidate left in Go's heap and
// its runtime made the next one's collections take twice as long.

// job is what such a process is told.
type job struct {
	Part          string // one of jobs
	Dir           string
	Short         bool
	Copies        int
	Span, Reading time.Duration
	Began         time.Time

	// Of a turn, or of a process among several that write.
	Candidate string
	Set       set
	Round     int
	Writers   []int
	Peers     []byte // what the candidate's files hold: see expected

	// Of a process among several: the first of its writers, and how many there are
	// altogether.
	First, Altogether int
}

// done is what it answers.
type done struct {
	Results results
	Peers   []byte

	Latencies []time.Duration // of a process among several
	Seconds   float64
}

// jobs are what a process can be started for. Each may talk with who started it.
var jobs = map[string]func(b *bench, j job, talk conversation) (done, error){
	"turn": turnJob, "write": writeJob, "serve": serveJob, "limit": limitJob,
	"history": historyJob, "watch": watchJob, "remove": removeJob, "mirror": mirrorJob,
	"abuse": abuseJob,
}

// conversation is one value after the other, both ways.
type conversation struct {
	*json.Encoder
	*json.Decoder
}

// child is a process of this program that does a job.
type child struct {
	conversation
	cmd *exec.Cmd
	in  io.Closer
}

// start starts a job in a process of its own.
func (b *bench) start(j job, env ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if j.Dir == "" {
		j.Dir = b.dir
	}
	j.Short, j.Copies, j.Span, j.Reading, j.Began = b.short, b.copies, b.span, b.reading, b.began
	cmd := exec.Command(self, "-job-child")
	cmd.Stderr, cmd.Env = os.Stderr, append(os.Environ(), env...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{conversation{json.NewEncoder(in), json.NewDecoder(out)}, cmd, in}
	if err := c.Encode(j); err != nil {
		return nil, errors.Join(err, c.end())
	}
	return c, nil
}

// end tells a child that there is no more, and waits for it.
func (c *child) end() error { return errors.Join(c.in.Close(), c.cmd.Wait()) }

// finish waits for what a child has done.
func (c *child) finish() (d done, err error) {
	err = c.Decode(&d)
	return d, errors.Join(err, c.end())
}

// do does a job in a process of its own.
func (b *bench) do(j job, env ...string) (done, error) {
	c, err := b.start(j, env...)
	if err != nil {
		return done{}, err
	}
	return c.finish()
}

// jobInThisProcess does the job that standard input tells.
func jobInThisProcess() error {
	talk := conversation{json.NewEncoder(os.Stdout), json.NewDecoder(os.Stdin)}
	var j job
	if err := talk.Decode(&j); err != nil {
		return err
	}
	do := jobs[j.Part]
	if do == nil {
		return fmt.Errorf("there is no job %q", j.Part)
	}
	b := &bench{plan: fullPlan(), dir: j.Dir, began: j.Began}
	if j.Short {
		b.plan = shortPlan()
	}
	b.copies, b.span, b.reading = j.Copies, j.Span, j.Reading
	d, err := do(b, j, talk)
	if err != nil {
		return fmt.Errorf("%s: %w", j.Part, err)
	}
	return talk.Encode(d)
}

// rareName is podstore in a process whose garbage is collected a quarter as often. With
// so small a heap as that of a process that does nothing else, Go's least of 4 MB, that
// is otherwise a hundred times a second, which the slowest hundredth of changes meets.
const rareName = "podstore, GOGC=400"

// takeTurn lets a candidate take its turn.
func (b *bench) takeTurn(c *candidate, of set, round int, writers []int, truth *expected) error {
	if b.oneProcess {
		return (&turn{bench: b, c: c, of: of, round: round, writers: writers, truth: truth}).run()
	}
	done, err := b.turnChild(c, of, round, truth, writers)
	if err != nil {
		return err
	}
	for _, r := range done {
		b.add(r)
	}
	b.progress("%s, round %d: %-16s%s", of, round+1, c.name, rates(done))
	return nil
}

// rareTurn measures the latency of ours once more, where garbage is collected rarely.
func (b *bench) rareTurn(c *candidate, of set, round int, truth *expected) error {
	if b.oneProcess || !slices.Contains(b.writers, rareWriters) {
		return nil
	}
	// After one writer, as in the turn that it is compared with.
	done, err := b.turnChild(c, of, round, truth, []int{1, rareWriters}, "GOGC=400")
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
func (b *bench) turnChild(c *candidate, of set, round int, truth *expected, writers []int, env ...string) (results, error) {
	d, err := b.do(job{Part: "turn", Candidate: c.name, Set: of, Round: round, Writers: writers, Peers: truth.peers}, env...)
	if err == nil {
		truth.peers = d.Peers
	}
	return d.Results, err
}

// turnJob takes a turn.
func turnJob(b *bench, j job, _ conversation) (done, error) {
	c, err := candidateOf(j.Candidate)
	if err != nil {
		return done{}, err
	}
	truth := newExpected(j.Set)
	truth.peers = j.Peers
	err = (&turn{bench: b, c: c, of: j.Set, round: j.Round, writers: j.Writers, truth: truth}).run()
	return done{Results: b.results, Peers: truth.peers}, err
}

func candidateOf(name string) (*candidate, error) {
	for _, c := range candidates() {
		if c.name == name {
			return c, nil
		}
	}
	return nil, fmt.Errorf("there is no candidate %q", name)
}
