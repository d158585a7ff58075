package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"

	"podstore/store"
	"podstore/store/socketstore"
)

// right reports whether a Pod may make a change.
//
// A Pod does what a model says, so it may try anything. This program trusts the store
// when it restores Pods and when it looks up what was delegated. So a Pod may only change
// facts about itself that give nobody more rights: where it writes (its segment), how it
// is found (its fields), and its links, both sides, since a peer carries no scope.
//
// It may not set its manifest, which names the tools and the scope with which it is
// restored. It may not change children or history, even its own: they record what was
// delegated, and it could pass on more than it has. It may not put a document, which
// contains all of these, and may not delete. It may not create a Pod by naming it: a late
// message must not bring a removed Pod back. A process that this supervisor did not start
// may only read, so a Pod gains nothing by starting another process.
func right(pod string, c store.Change) bool {
	if c.If == (store.Condition{}) || c.If == store.Missing {
		return false // it could create a Pod
	}
	own := c.Pod == pod
	switch op := c.Op.(type) {
	case store.SetSegment, store.SetField, store.ClearField:
		return own
	case store.AddPeer:
		return own || op.PodName == pod
	case store.RemovePeer:
		return own || op.PodName == pod
	}
	return c.Op == nil
}

// authorize refuses changes that the connected process may not make: see right.
func (r *running) authorize(_ context.Context, who socketstore.Caller, changes []store.Change) error {
	pod, ok := r.podOf(who.PID)
	if !ok {
		return fmt.Errorf("process %d is not a Pod that this supervisor has started, and may only read", who.PID)
	}
	for _, c := range changes {
		if !right(pod, c) {
			return fmt.Errorf("%q may not do that to Pod %q", pod, c.Pod)
		}
	}
	return nil
}

// running has the Pods that run as processes.
type running struct {
	mu      sync.Mutex
	byPID   map[int]process
	started map[string]bool // by Pod: those that run, or failed
	all     sync.WaitGroup
}

type process struct {
	pod string
	*os.Process
}

// podOf returns the Pod of a process. It checks that the process it started still lives, so
// the PID cannot belong to another one. The server has checked that the caller lives.
func (r *running) podOf(pid int) (pod string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, ok := r.byPID[pid]
	if !ok || p.Signal(syscall.Signal(0)) != nil {
		return "", false
	}
	return p.pod, true
}
