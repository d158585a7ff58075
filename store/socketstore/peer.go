package socketstore

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"podstore/store"
)

// Caller is the process at the other end of a connection, as the kernel vouches for
// it: whoever connected. A process that was handed the connection later counts as
// that one.
type Caller struct {
	UID, GID uint32
	// PID is as this process sees it; 0 where the system does not tell, or shows no
	// such process here.
	PID int
}

// peer is the process at the other end of a Unix socket.
type peer struct {
	Caller
	pidfd int // of a process that may end; -1 where there is none
}

// peerOf says who is at the other end. Where holding is set, the system keeps the
// PID from being taken for a later process's: see ended. The peer must be closed.
func peerOf(c net.Conn, holding bool) (p peer, err error) {
	p.pidfd = -1
	sc, ok := c.(syscall.Conn)
	if !ok || c.LocalAddr().Network() != "unix" {
		return p, errors.New("this is not a Unix socket")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return p, err
	}
	ctlErr := raw.Control(func(fd uintptr) {
		if p.Caller, err = callerOf(int(fd)); err == nil && holding {
			p.pidfd, err = holdPeer(int(fd))
		}
	})
	return p, errors.Join(ctlErr, err)
}

// trusted fails unless a peer runs as one of the users who may connect: this
// process's own, and root.
func trusted(p peer, err error) error {
	switch {
	case err != nil:
		return forbidden("", fmt.Errorf("the process at the other end is not known: %w", err))
	case p.UID != 0 && int(p.UID) != os.Geteuid():
		return forbidden("", fmt.Errorf("the other end runs as user %d, this one as %d; run both as the same user", p.UID, os.Geteuid()))
	}
	return nil
}

func forbidden(pod string, err error) error {
	if e, ok := errors.AsType[*store.Error](err); ok && errors.Is(e, store.ErrForbidden) {
		return err
	}
	return &store.Error{Pod: pod, Kind: store.ErrForbidden, Err: err}
}
