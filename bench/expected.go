package main

import (
	"errors"
	"fmt"
	"slices"

	"podstore/store"
)

// expected is what a candidate's files must hold: every edit that was
// acknowledged, once.
type expected struct {
	peers   []uint8 // for each Pod, a bit for each of peerNames
	touched map[int]bool
}

func newExpected(n int) *expected {
	return &expected{peers: slices.Repeat([]uint8{initialPeers}, n), touched: map[int]bool{}}
}

func (e *expected) toggled(pod, peer int) {
	e.peers[pod] ^= 1 << peer
	e.touched[pod] = true
}

// check compares what a candidate gave with what it must hold of the i-th Pod.
func (e *expected) check(i int, got any) error {
	m, err := metadataOf(got)
	if err != nil {
		return fmt.Errorf("%s: %w", podName(i), err)
	}
	want := makePod(i)
	want.Peers = peersOf(e.peers[i])
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
	if len(names) != len(e.peers) {
		return fmt.Errorf("it has %d of %d Pods", len(names), len(e.peers))
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

// verifyStore compares a store with the first n Pods as they are made.
func verifyStore(s store.MetadataStore, n int) error {
	e, i := newExpected(n), 0
	err := visitAll(s, func(got any) error {
		i++
		if i > n {
			return errors.New("it has more Pods than it was given")
		}
		return e.check(i-1, got)
	})
	if err == nil && i != n {
		err = fmt.Errorf("it has %d of %d Pods", i, n)
	}
	return err
}
