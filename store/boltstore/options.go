package boltstore

import (
	"log/slog"
	"time"
)

// DefaultLockTimeout is how long Open waits for a locked file.
const DefaultLockTimeout = 5 * time.Second

// Options change how [Open] opens. The zero value, like nil, is what a
// supervisor wants.
type Options struct {
	// ReadOnly opens an existing file for reading, never changes it, and shares
	// it with other readers, but not with a writer.
	ReadOnly bool
	// MustExist fails with store.ErrNotFound where Open would create the file.
	MustExist bool
	// LockTimeout is how long to wait for a file that another handle has open; 0
	// means DefaultLockTimeout. It cannot be switched off.
	LockTimeout time.Duration
	// FullCheck reads every page of the file before it is opened and fails with
	// store.ErrCorrupt if any is damaged. Without it, only what all Pods have in
	// common is checked, and each Pod when it is read.
	FullCheck bool
	// AllowNetworkFS permits to write a file on a file system that several machines may
	// share, such as NFS, SMB, 9p, CephFS or most of FUSE, where locks may hang or not
	// hold. Open refuses them otherwise, with a [*NetworkFSError]. Reading, as of a
	// backup, needs no permission.
	AllowNetworkFS bool
	// Logger receives what an operator should know, such as why a handle became
	// unusable. Nil: nothing is logged.
	Logger *slog.Logger
	// Progress is called by [Check], [Salvage] and [Compact], from one goroutine at
	// a time, with how many Pods they have read and how many the file records, or 0
	// while that is not known. Nil: nobody is told. Open does not use it.
	Progress func(done, total int)
}

// progress returns a function to call for each Pod that was read, and total, which
// it tells with each.
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
