//go:build unix

package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"podstore/store"
)

// openNoFollow opens a file that exists, without following a link in its last
// component and without waiting for the other end of a FIFO.
func openNoFollow(path string, readOnly bool) (*os.File, error) {
	flag := os.O_RDWR
	if readOnly {
		flag = os.O_RDONLY
	}
	f, err := os.OpenFile(path, flag|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, &store.Error{Kind: store.ErrInvalid, Err: errors.New("this is a symbolic link; give the path of the file itself")}
	}
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.ENXIO) {
		return nil, &store.Error{Kind: store.ErrInvalid, Err: fmt.Errorf("this is not a regular file: %w", err)}
	}
	return f, err
}

// judgeFile refuses a file in which others may meddle.
func judgeFile(f *os.File, info fs.FileInfo, o *Options) error {
	refuse := func(format string, args ...any) error {
		return &store.Error{Kind: store.ErrInvalid, Err: fmt.Errorf(format, args...)}
	}
	if !info.Mode().IsRegular() {
		return refuse("this is not a regular file (%v)", info.Mode().Type())
	}
	if perm := info.Mode().Perm(); perm&0o022 != 0 {
		return refuse("group or others may write it (mode %04o); run chmod go-w on it", perm)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		if me := os.Geteuid(); me != 0 && st.Uid != 0 && int(st.Uid) != me {
			return refuse("it belongs to user %d, and this is user %d", st.Uid, me)
		}
	}
	if name := networkFS(f); name != "" && !o.AllowNetworkFS {
		return refuse("it is on a network file system (%s), where locks cannot be relied on; move it to a local disk", name)
	}
	return nil
}

// lockPoll is the longest pause between two tries for a lock.
const lockPoll = 50 * time.Millisecond

// lock takes the lock that bbolt takes. Taken here, before bbolt, it covers the
// checks of the file too; bbolt then finds that this descriptor has it already.
func lock(f *os.File, exclusive bool, deadline time.Time) error {
	how := unix.LOCK_SH
	if exclusive {
		how = unix.LOCK_EX
	}
	for pause := time.Millisecond; ; pause = min(2*pause, lockPoll) {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case err == unix.EINTR:
		case err != unix.EWOULDBLOCK:
			return fmt.Errorf("flock: %w", err)
		case time.Now().After(deadline):
			return &store.Error{Kind: store.ErrLocked, Err: errors.New(holder(f) + " has it open; stop it, or ask it for a snapshot")}
		default:
			time.Sleep(pause)
		}
	}
}

func unlock(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = conn.Control(func(fd uintptr) { result = unix.Flock(int(fd), unix.LOCK_UN) })
	return errors.Join(err, result)
}

// syncDir makes what was created or renamed in a directory durable.
func syncDir(dir string) error {
	if mutant == "nosync" || mutant == "nodirsync" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
