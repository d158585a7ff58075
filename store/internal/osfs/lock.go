package osfs

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A lock is advisory (flock). It belongs to the open file, not to the process: a file
// that is opened twice excludes itself. The lock ends with Unlock, with the last close,
// or with the process.

// TryLock locks a file, exclusively or shared, if that is possible at once.
func TryLock(f *os.File, exclusive bool) (bool, error) {
	how := unix.LOCK_SH
	if exclusive {
		how = unix.LOCK_EX
	}
	return flock(int(f.Fd()), how)
}

// Lock locks a file, exclusively or shared. If ctx ends first, it returns the context's
// error.
func Lock(ctx context.Context, f *os.File, exclusive bool) error {
	return wait(ctx, func() (bool, error) { return TryLock(f, exclusive) })
}

// Unlock frees the lock of a file.
func Unlock(f *os.File) error {
	_, err := flock(int(f.Fd()), unix.LOCK_UN)
	return err
}

// TryLock locks a directory exclusively, if that is possible at once.
func (d Dir) TryLock() (bool, error) { return flock(d.fd, unix.LOCK_EX) }

// Lock locks a directory exclusively. If ctx ends first, it returns the context's
// error.
func (d Dir) Lock(ctx context.Context) error { return wait(ctx, d.TryLock) }

// Unlock frees the lock of a directory.
func (d Dir) Unlock() error {
	_, err := flock(d.fd, unix.LOCK_UN)
	return err
}

func flock(fd, how int) (bool, error) {
	err := uninterrupted(func() error { return unix.Flock(fd, how|unix.LOCK_NB) })
	if err == unix.EWOULDBLOCK {
		return false, nil
	}
	return err == nil, err
}

// Most callers hold a lock for one small change, so try again soon. Some hold it for
// longer.
const (
	firstRetry = time.Millisecond
	lastRetry  = 16 * time.Millisecond
)

// wait calls try until it has the lock. No system call waits for both a lock and a
// context, so wait polls.
func wait(ctx context.Context, try func() (bool, error)) error {
	var timer *time.Timer
	for retry := firstRetry; ; retry = min(2*retry, lastRetry) {
		if ok, err := try(); ok || err != nil {
			return err
		}
		if timer == nil {
			timer = time.NewTimer(retry)
			defer timer.Stop()
		} else {
			timer.Reset(retry)
		}
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
