package boltstore

import (
	"log/slog"
	"time"
)

// DefaultLockTimeout is how long Open waits for a locked file by default.
const DefaultLockTimeout = 5 * time.Second

// Options change how [Open] opens a file. The zero value, and nil, suit a supervisor.
type Options struct {
	// ReadOnly opens an existing file for reading and never changes it. Several readers
	// can share the file, but not with a writer: each waits for the other, and fails with
	// store.ErrLocked after LockTimeout.
	ReadOnly bool
	// MustExist makes Open fail with store.ErrNotFound instead of creating the file.
	MustExist bool
	// LockTimeout is how long to wait for a file that another handle has open. 0 means
	// DefaultLockTimeout. Open always waits; 1 ns makes the wait nearly zero.
	LockTimeout time.Duration
	// FullCheck makes Open read every page first and fail with store.ErrCorrupt if any is
	// damaged. Without it, Open checks only what all Pods share and, for writing, that no
	// two of them claim the same page; each Pod is checked when it is read.
	FullCheck bool
	// AllowNetworkFS permits writing a file on a file system that several machines may
	// share, such as NFS, SMB, 9p, CephFS or most of FUSE. Locks may hang or not hold
	// there, so Open otherwise refuses it with a [*NetworkFSError]. Reading, as of a
	// backup, needs no permission.
	AllowNetworkFS bool
	// Logger receives what an operator should know, such as why a handle became
	// unusable. Nil logs nothing.
	Logger *slog.Logger
	// [Check], [Salvage] and [Compact] call Progress, from one goroutine at a time,
	// with the number of Pods that they have read and how many the file should have, or
	// 0 while that is not known. Nil reports nothing. Open does not use it.
	Progress func(done, total int)
}

// progress returns a function to call for each Pod read. It reports *total, which the
// caller sets, as the number of all Pods.
func (o *Options) progress() (read func(), total *int) {
	done := 0
	total = new(int)
	if o == nil || o.Progress == nil {
		return func() {}, total
	}
	return func() {
		done++
		o.Progress(done, *total)
	}, total
}
