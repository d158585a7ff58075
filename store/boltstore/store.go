package boltstore

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
	"podstore/store/internal/codec"
	"podstore/store/internal/osfs"
)

// Store is Pod metadata in one bbolt file. It implements [store.MetadataStore]
// and the optional abilities [store.Lister], [store.PodUpdater] and
// [store.Snapshotter]. All methods are safe for concurrent use.
//
// A Store holds the lock on its file until Close. After an I/O error of a commit,
// or a panic of bbolt while it changed something, it is unusable: everything
// returns an error that matches [store.ErrUnusable] and wraps the cause, until it
// is closed and the file opened again. Whether the change that failed is there
// then is not known, all others are as acknowledged. Where a full disk or quota is
// met before anything was written, when the file is to grow, the changes of that
// commit fail with [store.ErrNoSpace] alone, nothing was changed, and the store goes on.
//
// An edit given to Update or UpdatePods is called exactly once, in the goroutine
// of any of the callers that share a commit, and sees the successful edits that
// came before it. It must return: one that calls [runtime.Goexit] ends the
// goroutine of another caller. A change, or Close, that an edit calls itself is
// refused with [store.ErrInvalid]; an edit that runs for more than a second is named
// in the log, with the calls that wait for it.
type Store struct {
	path     string   // what the caller named, for messages
	filePath string   // the file, as given to Open: another one for a copy of the store
	absPath  string   // the same, whatever the working directory becomes
	file     *os.File // bbolt's own descriptor
	identity fs.FileInfo
	db       *bolt.DB
	readOnly bool
	log      *slog.Logger
	stats    counters

	base    uint64       // what revision numbers are counted from
	highest uint64       // that was given, or may have been; the leader's
	format  atomic.Int64 // version of the file's format

	// recordErr is why the record of Pod names did not match when the file was
	// opened, or nil. It then never will again.
	recordErr error

	// broken are the Pods whose buckets bbolt must not enter, and why, as found
	// when the file was opened: it would follow, or free, whatever pages they name.
	// It is not changed after that.
	broken map[string]error

	closed    atomic.Bool
	cause     atomic.Pointer[error] // why the handle is unusable
	abandoned atomic.Bool           // bbolt must not be called any more
	gone      chan struct{}         // closed when it is abandoned
	txMu      sync.Mutex            // see transact

	mu        sync.Mutex
	idle      sync.Cond // leading became false, or views 0
	queue     []*request
	leading   bool
	lastGroup int
	editing   atomic.Pointer[runningEdit]
	views     int // read transactions that are open, or about to be
	waiting   int // those that wait for a commit to be durable

	durable atomic.Int64 // the last transaction that is
	changes changelog

	enc *codec.Encoder // the leader's
}

var (
	_ store.MetadataStore = (*Store)(nil)
	_ store.PartReader    = (*Store)(nil)
	_ store.Lister        = (*Store)(nil)
	_ store.PodUpdater    = (*Store)(nil)
	_ store.Watcher       = (*Store)(nil)
	_ store.Snapshotter   = (*Store)(nil)
)

// Path is the path of the database file, as it was given to Open. Of a store from
// OpenCopy or Snapshot it is the copy; errors name what was copied instead.
func (s *Store) Path() string { return s.filePath }

// Close waits for the commit and the reads that are under way, if any, and releases
// the file. Changes that still wait to begin fail with [store.ErrClosed], and so
// does what is called later. It can be called again, and then does nothing. It does
// not hang on a handle that is unusable.
func (s *Store) Close() error {
	if err := s.nested("close", ""); err != nil {
		return err
	}
	s.mu.Lock()
	first := !s.closed.Swap(true)
	s.changes.wake()
	for (s.leading || s.views > 0) && !s.abandoned.Load() {
		s.idle.Wait()
	}
	s.mu.Unlock()
	if !first {
		return nil
	}
	if s.abandoned.Load() {
		return errors.Join(osfs.Unlock(s.file), s.file.Close())
	}
	if err := guard(s.db.Close); err != nil {
		return &store.Error{Op: "close", Path: s.path, Kind: kindOf(err), Err: err}
	}
	return nil
}

// Read returns one Pod: see [store.MetadataStore].
func (s *Store) Read(ctx context.Context, name string) (*store.Metadata, error) {
	return s.ReadPart(ctx, name, store.ReadOptions{})
}

// ReadPart reads a part of one Pod: see [store.PartReader]. What is left out is not
// read from the file, and damage of its bytes not noticed.
func (s *Store) ReadPart(ctx context.Context, name string, opts store.ReadOptions) (*store.Metadata, error) {
	const op = "read"
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := store.ValidateNames(op, []string{name}); err != nil {
		return nil, err
	}
	var m *store.Metadata
	err := s.view(op, name, func(tx *bolt.Tx) error {
		var p stored
		err := s.load(tx, name, &p)
		if err == nil {
			m, err = p.metadata(tx, name, opts)
		}
		return err
	})
	s.stats.reads.Add(1)
	if err != nil {
		return nil, s.readErr(op, name, err)
	}
	return m, nil
}
