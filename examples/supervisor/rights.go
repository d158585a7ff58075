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

// What a Pod may change, and why no more:
//
// A Pod does what a model says, so expect it to try anything. This program believes
// what is stored when it restores Pods and when it asks what was delegated to whom.
// So a Pod may say what only it knows and what gives nobody more: where it writes (its
// segment), how it is found (its fields), whom it talks to (its links, both sides: a
// peer carries no scope). It may not set its manifest, which names the tools and the
// scope that it is restored with, nor anybody's children or history, which say what
// was delegated: its own could pass on more than it has. It may not put a document,
// which holds all of these, nor delete, nor make a Pod by naming it: a late message
// of a Pod that was removed must not bring it back. A process that this one did not
// start may read. So a Pod wins nothing by starting another process.
func right(pod string, c store.Change) bool {
	if c.If == (store.Condition{}) || c.If == store.Missing {
		return false // it could make a Pod
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

// authorize says whether the process that has connected may make changes: see right.
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

// running is the Pods that run as processes.
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

// podOf gives the Pod that a process is. It lives yet, so the PID is not another's;
// that the caller lives too the server has made sure of.
func (r *running) podOf(pid int) (pod string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, ok := r.byPID[pid]
	if !ok || p.Signal(syscall.Signal(0)) != nil {
		return "", false
	}
	return p.pod, true
}
