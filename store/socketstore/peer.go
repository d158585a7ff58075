package socketstore

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"podstore/store"
)

// checkPeer fails unless the process at the other end of a Unix socket runs as
// one of the users that are trusted: this process's own, and root.
func checkPeer(c net.Conn) error {
	uid, err := peerUID(c)
	switch {
	case err != nil:
		return &store.Error{Op: "connect", Kind: ErrForbidden, Err: fmt.Errorf("the user at the other end is not known: %w", err)}
	case uid != 0 && int(uid) != os.Geteuid():
		return &store.Error{Op: "connect", Kind: ErrForbidden,
			Err: fmt.Errorf("the other end runs as user %d, this one as %d; run both as the same user", uid, os.Geteuid())}
	}
	return nil
}

func peerUID(c net.Conn) (uid uint32, err error) {
	sc, ok := c.(syscall.Conn)
	if !ok || c.LocalAddr().Network() != "unix" {
		return 0, errors.New("this is not a Unix socket")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0, err
	}
	ctlErr := raw.Control(func(fd uintptr) { uid, err = peerOf(int(fd)) })
	return uid, errors.Join(ctlErr, err)
}
