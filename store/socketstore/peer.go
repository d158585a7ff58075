package socketstore

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"podstore/store"
)

// Caller is the process that connected, as the kernel vouches for it. If a
// connection is passed to another process, Caller still names the one that connected.
type Caller struct {
	UID, GID uint32
	// PID is the number as this process sees it. It is 0 if the system does not tell
	// it, or if this process cannot see the caller.
	PID int
}

type peer struct {
	Caller
	pidfd int // descriptor of the process, or -1
}

// peerOf returns the process at the other end. With holding, the system keeps the PID
// from becoming a later process's: see ended. The caller must close the peer.
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

// trusted returns an error unless the peer runs as this process's user or as root.
func trusted(p peer, err error) error {
	switch {
	case err != nil:
		return forbidden("", fmt.Errorf("the process at the other end is not known: %w", err))
	case p.UID != 0 && int(p.UID) != os.Geteuid():
		return forbidden("", fmt.Errorf("the programs at the two ends run as users %d and %d; run both as the same user", p.UID, os.Geteuid()))
	}
	return nil
}

func forbidden(pod string, err error) error {
	if e, ok := errors.AsType[*store.Error](err); ok && errors.Is(e, store.ErrForbidden) {
		return err
	}
	return &store.Error{Pod: pod, Kind: store.ErrForbidden, Err: err}
}
