package socketstore

import (
	"errors"

	"golang.org/x/sys/unix"
)

// callerOf is the process at the other end of a Unix socket.
func callerOf(fd int) (Caller, error) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return Caller{}, err
	}
	return Caller{UID: cred.Uid, GID: cred.Gid, PID: int(cred.Pid)}, nil
}

// holdPeer gives a descriptor of the process at the other end, or -1 where the
// kernel is older than that (6.5). Of a process that was waited for already there is
// none.
func holdPeer(fd int) (int, error) {
	pidfd, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	switch {
	case errors.Is(err, unix.ENOPROTOOPT):
		return -1, nil
	case err != nil:
		return -1, err
	}
	unix.CloseOnExec(pidfd)
	return pidfd, nil
}

// ended reports whether the process has ended, as far as the kernel tells.
func (p *peer) ended() bool {
	if p.pidfd < 0 {
		return false
	}
	fds := []unix.PollFd{{Fd: int32(p.pidfd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 0)
		if err != unix.EINTR {
			return n > 0 || err != nil
		}
	}
}

func (p *peer) close() {
	if p.pidfd >= 0 {
		unix.Close(p.pidfd)
	}
}
