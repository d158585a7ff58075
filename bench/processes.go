package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"podstore/store/boltstore"
	"podstore/store/socketstore"
)

// throughSocket is podstore in a process of its own, through its socket.
const throughSocket = "podstore, socket"

func socketOf(dir string) string { return filepath.Join(dir, "socket") }

// serve starts a process that serves our file in dir.
func (b *bench) serve(dir string) (*child, error) {
	c, err := b.start(job{Part: "serve", Dir: dir})
	if err != nil {
		return nil, err
	}
	var ready bool
	if err := c.Decode(&ready); err != nil {
		return nil, errors.Join(err, c.end())
	}
	return c, nil
}

// serveJob serves until there is nothing more to read.
func serveJob(_ *bench, j job, talk conversation) (done, error) {
	s, err := boltstore.Open(podstoreFile(j.Dir), nil)
	if err != nil {
		return done{}, err
	}
	l, err := socketstore.Listen(socketOf(j.Dir))
	if err != nil {
		return done{}, errors.Join(err, s.Close())
	}
	server := socketstore.NewServer(s, nil)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	if err := talk.Encode(true); err != nil {
		return done{}, err
	}
	if err := talk.Decode(new(any)); !errors.Is(err, io.EOF) {
		return done{}, err
	}
	err = server.Shutdown(context.Background())
	<-served
	return done{}, errors.Join(err, s.Close())
}

func dialPodstore(dir string) (*podstorePods, error) {
	c, err := socketstore.Dial(context.Background(), socketOf(dir), nil)
	if err != nil {
		return nil, err
	}
	return &podstorePods{c}, nil
}

// crowd is processes that write to one store at the same time.
type crowd struct {
	candidate          string
	processes, writers int // writers in each
}

// crowds are measured in turns.
var crowds = []crowd{
	{ours, 1, 64}, {throughSocket, 8, 8}, {"sqlite", 8, 8}, {ours, 1, 1}, {throughSocket, 1, 1},
}

func (c crowd) workload() string { return fmt.Sprintf("%s, processes %d", addPeer, c.processes) }

// file is the candidate that has the crowd's file.
func (c crowd) file() string {
	if c.candidate == throughSocket {
		return ours
	}
	return c.candidate
}

// processes lets crowds write, in turns.
func (b *bench) processes() error {
	of, truths := podsOf(b.sizes[0]), map[string]*expected{}
	stores := b.named(ours, "sqlite")
	for _, c := range stores {
		if err := b.fill(c, of); err != nil {
			return err
		}
		truths[c.name] = newExpected(of)
	}
	for round := range b.copies {
		for i := range crowds {
			c := crowds[(i+round)%len(crowds)]
			truth := truths[c.file()]
			if truth == nil {
				continue
			}
			if err := b.write(c, truth, round); err != nil {
				return fmt.Errorf("%s: %w", c.candidate, err)
			}
		}
		if err := b.askedLimit(round); err != nil {
			return fmt.Errorf("%s: %w", limitName, err)
		}
	}
	for _, c := range stores {
		if err := verify(c, b.files(c, of), truths[c.name]); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if err := os.RemoveAll(b.files(c, of)); err != nil {
			return err
		}
	}
	return nil
}

// askedLimit measures the floor of a change through a socket, beside that of one in
// process.
func (b *bench) askedLimit(round int) error {
	for _, l := range []struct {
		workload string
		measure  func(dir string, span time.Duration) (sample, error)
	}{{ownCommit, measureLimit}, {askedCommit, b.measureAskedLimit}} {
		s, err := l.measure(b.dir, b.watching)
		if err != nil {
			return err
		}
		b.add(s.result(result{Workload: l.workload, Candidate: limitName, Round: round}))
	}
	return nil
}

// write lets a crowd write.
func (b *bench) write(c crowd, truth *expected, round int) (err error) {
	dir := b.files(&candidate{name: c.file()}, truth.set)
	if err := settle(dir); err != nil {
		return err
	}
	if c.candidate == throughSocket {
		server, err := b.serve(dir)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, server.end()) }()
	}
	var writing []*child
	for i := range c.processes {
		p, err := b.start(job{
			Part: "write", Dir: dir, Candidate: c.candidate, Set: truth.set, Round: round, Peers: truth.peers,
			First: i * c.writers, Writers: []int{c.writers}, Altogether: c.processes * c.writers,
		})
		if err != nil {
			return err
		}
		writing = append(writing, p)
		var ready bool
		if err := p.Decode(&ready); err != nil {
			return errors.Join(err, p.end())
		}
	}
	for _, p := range writing {
		if err := p.Encode(true); err != nil {
			return err
		}
	}
	var all sample
	peers := slices.Clone(truth.peers)
	for i, p := range writing {
		d, err := p.finish()
		if err != nil {
			return err
		}
		all.latencies = append(all.latencies, d.Latencies...)
		all.elapsed = max(all.elapsed, time.Duration(d.Seconds*float64(time.Second)))
		for at := range peers {
			if w := at % (c.processes * c.writers); w/c.writers == i {
				peers[at] = d.Peers[at]
			}
		}
	}
	truth.peers = peers
	r := all.result(result{Workload: c.workload(), Candidate: c.candidate, Pods: truth.Pods, Writers: c.processes * c.writers, Round: round})
	b.add(r)
	b.progress("round %d: %-16s %d × %-2d %8.0f/s, longest wait %.1f ms", round+1, c.candidate, c.processes, c.writers, rate(r), r.Max/1000)
	return nil
}

// writeJob is one process of a crowd.
func writeJob(b *bench, j job, talk conversation) (d done, err error) {
	var p pods
	if j.Candidate == throughSocket {
		p, err = dialPodstore(j.Dir)
	} else {
		var c *candidate
		if c, err = candidateOf(j.Candidate); err == nil {
			p, err = c.open(j.Dir)
		}
	}
	if err != nil {
		return done{}, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	truth := newExpected(j.Set)
	truth.peers = j.Peers
	var ready bool
	if err := errors.Join(talk.Encode(true), talk.Decode(&ready)); err != nil {
		return done{}, err
	}
	s, err := truth.write(b.watching, j.First, j.Writers[0], j.Altogether, uint64(j.Round), p.setPeer)
	return done{Peers: truth.peers, Latencies: s.latencies, Seconds: s.elapsed.Seconds()}, err
}
