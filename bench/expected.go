package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"podstore/store"
)

// expected is what a candidate's files must hold: every edit that was
// acknowledged, once.
type expected struct {
	set
	peers   []uint8 // for each Pod and each of peerNames 1 where it is there, else 0
	touched map[int]bool
}

func newExpected(of set) *expected {
	return &expected{set: of, peers: slices.Repeat(initialPeers(), of.Pods), touched: map[int]bool{}}
}

// edit is a candidate's setPeer.
type edit func(pod, peer string, there bool) error

// write lets writers set peers of random Pods for a while. Each has an equal part of
// all Pods' peers: these are the writers from first on, of altogether so many.
func (e *expected) write(span time.Duration, first, writers, altogether int, seed uint64, do edit) (sample, error) {
	if altogether > len(e.peers) {
		return sample{}, fmt.Errorf("%s are too few for %d writers", e.set, altogether)
	}
	type log struct {
		sample
		pods []int
		err  error
	}
	logs := make([]log, writers)
	var wg sync.WaitGroup
	ready := make(chan struct{})
	var start time.Time
	for i := range logs {
		l, w := &logs[i], first+i
		owned := (len(e.peers) - w + altogether - 1) / altogether
		rng := rand.New(rand.NewPCG(seed, uint64(altogether)<<32|uint64(w)))
		wg.Go(func() {
			<-ready
			for last := start; last.Sub(start) < span; {
				at := rng.IntN(owned)*altogether + w
				if l.err = e.flip(at, do); l.err != nil {
					return
				}
				now := time.Now()
				l.latencies = append(l.latencies, now.Sub(last))
				l.pods = append(l.pods, at/len(peerNames))
				last = now
			}
		})
	}
	runtime.GC()
	user, system := cpuTime()
	start = time.Now()
	close(ready)
	wg.Wait()
	all := sample{elapsed: time.Since(start)}
	all.user, all.system = cpuTime()
	all.user, all.system = all.user-user, all.system-system
	for _, l := range logs {
		if l.err != nil {
			return sample{}, l.err
		}
		all.latencies = append(all.latencies, l.latencies...)
		for _, pod := range l.pods {
			e.touched[pod] = true
		}
	}
	return all, nil
}

// writeOne is a change of a caller that is alone.
func (e *expected) writeOne(at int, do edit) error {
	e.touched[at/len(peerNames)] = true
	return e.flip(at, do)
}

// flip sets the peer at a place of peers if it is not there, else removes it.
func (e *expected) flip(at int, do edit) error {
	there := 1 - e.peers[at]
	err := do(podName(at/len(peerNames)), peerNames[at%len(peerNames)], there == 1)
	if err == nil {
		e.peers[at] = there
	}
	return err
}

// check compares what a candidate gave with what it must hold of the i-th Pod.
func (e *expected) check(i int, got any) error {
	m, err := metadataOf(got)
	if err != nil {
		return fmt.Errorf("%s: %w", podName(i), err)
	}
	want := makePod(i, e.Manifest)
	want.Peers = peersOf(e.peers[i*len(peerNames):])
	if field := m.Diff(want); field != "" {
		return fmt.Errorf("%s differs from what was acknowledged, in %s", podName(i), field)
	}
	return nil
}

// verifyTouched reads every Pod that was edited since the last time.
func (e *expected) verifyTouched(p pods) error {
	for i := range e.touched {
		got, err := p.read(podName(i))
		if err == nil {
			err = e.check(i, got)
		}
		if err != nil {
			return err
		}
	}
	clear(e.touched)
	return nil
}

// verifyAtMost is how many Pods verify compares whole.
const verifyAtMost = 10_000

// verify opens a candidate's files again and compares the names, and the
// contents of all Pods or, of many, of a part that is spread evenly. Those that
// were edited have been compared before.
func verify(c *candidate, dir string, e *expected) (err error) {
	p, err := c.open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	names, err := p.list()
	if err != nil {
		return err
	}
	if len(names) != e.Pods {
		return fmt.Errorf("it has %d of %d Pods", len(names), e.Pods)
	}
	step := max(1, len(names)/verifyAtMost)
	for i, name := range names {
		if name != podName(i) {
			return fmt.Errorf("it has %q in the place of %q", name, podName(i))
		}
		if i%step != 0 {
			continue
		}
		got, err := p.read(name)
		if err == nil {
			err = e.check(i, got)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// verifyStore compares a store with the Pods of a set as they are made.
func verifyStore(s store.MetadataStore, of set) error {
	e, i := newExpected(of), 0
	err := visitAll(s, func(got any) error {
		i++
		if i > of.Pods {
			return errors.New("it has more Pods than it was given")
		}
		return e.check(i-1, got)
	})
	if err == nil && i != of.Pods {
		err = fmt.Errorf("it has %d of %d Pods", i, of.Pods)
	}
	return err
}
