package socketstore

import (
	"errors"

	"golang.org/x/sys/unix"
)

func callerOf(fd int) (Caller, error) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return Caller{}, err
	}
	return Caller{UID: cred.Uid, GID: cred.Gid, PID: int(cred.Pid)}, nil
}

// holdPeer returns a descriptor of the process at the other end, or -1 on kernels
// before 6.5. It fails for a process that has ended and whose parent has waited for it.
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
