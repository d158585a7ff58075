package socketstore

import (
	"context"
	"fmt"

	"podstore/store"
)

// authorize asks the hook whether the caller may make changes.
func (s *Server) authorize(ctx context.Context, c *conn, changes []store.Change) error {
	if s.opts.Authorize == nil {
		return nil
	}
	return s.verdict(c, changes[0].Pod, s.opts.Authorize(ctx, c.peer.Caller, changes))
}

// authorizeRead asks the hook whether the caller may read Pods, or everything.
func (s *Server) authorizeRead(ctx context.Context, c *conn, pods ...string) error {
	if s.opts.AuthorizeRead == nil {
		return nil
	}
	pod := ""
	if len(pods) == 1 {
		pod = pods[0]
	}
	return s.verdict(c, pod, s.opts.AuthorizeRead(ctx, c.peer.Caller, pods))
}

// verdict turns the answer of a hook into the error to return. The peer must still
// live: otherwise another process may have its PID by now, and the hook was asked about
// that one.
func (s *Server) verdict(c *conn, pod string, err error) error {
	if err == nil && c.peerEnded() {
		err = fmt.Errorf("process %d, which connected, has ended", c.peer.PID)
	}
	if err == nil {
		return nil
	}
	s.counters.refused.Add(1)
	s.log.Warn("podstore: a caller was refused", "uid", c.peer.UID, "pid", c.peer.PID, "pod", pod, "cause", err)
	return forbidden(pod, err)
}
