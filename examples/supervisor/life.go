package main

import (
	"context"
	"errors"
	"os/exec"
	"syscall"
	"time"

	"podstore/store"
)

// runPods keeps a process running for each active Pod, old and new ones, until the context
// ends. It looks at the tree in memory, and only when that has changed.
func (s *supervisor) runPods(ctx context.Context, program, socket string) {
	for {
		changed := s.tree.Changed()
		active := map[string]bool{}
		for m, err := range s.tree.All() {
			if err == nil && m.Active != nil {
				active[m.PodName] = true
				s.start(ctx, m.PodName, program, socket)
			}
		}
		s.stopOthers(active)
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// start starts a Pod's process, once. It holds the lock until the process is in byPID, and
// authorize waits for that lock. So a process is known before it can change anything.
func (s *supervisor) start(ctx context.Context, pod, program, socket string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started[pod] || ctx.Err() != nil {
		return
	}
	s.started[pod] = true
	cmd := exec.CommandContext(ctx, program, pod, socket)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Stdout, cmd.Stderr = s.out, s.out
	if err := cmd.Start(); err != nil {
		s.say("%s cannot be started: %v", pod, err)
		return
	}
	s.byPID[cmd.Process.Pid] = process{pod, cmd.Process}
	s.all.Go(func() {
		err := cmd.Wait()
		s.mu.Lock()
		delete(s.byPID, cmd.Process.Pid)
		s.mu.Unlock()
		if err != nil || ctx.Err() != nil {
			s.say("%s has ended: %v", pod, err) // the next start restores it
			return
		}
		if err := s.retire(ctx, pod); err != nil {
			s.say("%s is done and not removed: %v", pod, err)
		}
	})
}

// stopOthers ends the processes of Pods that are no longer active.
func (s *supervisor) stopOthers(active map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.byPID {
		if !active[p.pod] {
			_ = p.Signal(syscall.SIGTERM)
		}
	}
}

// retire removes a Pod that is done. In one transaction its parents take back what they
// delegated to it, on the condition that they have not changed since they were read, and
// the Pod is removed with every reference to it. So nobody sees one without the other.
func (s *supervisor) retire(ctx context.Context, pod string) error {
	for {
		changes := []store.Change{{Pod: pod, Op: store.Remove{}}}
		for _, parent := range s.tree.Parents(pod) {
			m, err := s.pods.Read(ctx, parent)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			for _, c := range m.Children {
				if c.PodName == pod {
					back := store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: pod, ScopeDelegated: c.ScopeDelegated}}}
					changes = append([]store.Change{{Pod: parent, Op: back, If: store.AtRevision(m.Version.Revision)}}, changes...)
				}
			}
		}
		applied, err := s.pods.Apply(ctx, changes, nil)
		switch {
		case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrNotFound):
			continue
		case err != nil:
			return err
		}
		s.say("%s is done and removed", pod)
		// A new Pod may get this name. Wait until the tree no longer has the old one, or
		// runPods would start it again.
		if err := s.tree.WaitFor(ctx, applied[len(applied)-1].Version.Revision); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.started, pod)
		return nil
	}
}

// sweep deletes the sessions that no Pod is in and that have not changed for unusedFor.
func (s *supervisor) sweep(ctx context.Context, logs store.SessionLog, unusedFor time.Duration) error {
	for u, err := range store.UnreferencedSessions(ctx, s.pods, logs) {
		switch {
		case err != nil:
			return err
		case time.Since(u.Modified) < unusedFor:
			continue
		}
		if err := logs.DeleteSession(ctx, u.Session); err != nil {
			return err
		}
		s.say("deleted session %v", u.Session)
	}
	return nil
}
