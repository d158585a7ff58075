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

// Store is Pod metadata in one bbolt file. It implements [store.MetadataStore] and the
// optional abilities [store.PartReader], [store.Lister], [store.PodUpdater],
// [store.Watcher] and [store.Snapshotter]. All methods are safe for concurrent use.
//
// A Store holds the lock on its file until Close. After an I/O error in a commit, a
// panic of bbolt during a change, or a change after the file was moved, removed or
// replaced, the Store is unusable: every call that reads or changes Pods returns an error
// that matches [store.ErrUnusable] and wraps the cause. Close it and open the file again,
// with MustExist. All changes of the commit that failed may then be there, or none of
// them. Every earlier change is as its call reported.
//
// bbolt grows the file before it writes. If a full disk or quota stops that, only the
// changes of that commit fail, with [store.ErrNoSpace]. They changed nothing, and the
// store goes on to serve reads and changes.
//
// Update and UpdatePods call an edit at most once, in the goroutine of one of the
// callers that share a commit, not always your own. The edit sees the successful edits
// before it. It must return: one that calls [runtime.Goexit] ends the goroutine of
// another caller. If an edit calls a change or Close of its own Store, that call fails
// with [store.ErrInvalid]. The log names an edit that runs for more than a second, and
// the calls that wait for it.
type Store struct {
	path     string   // as the caller named it, for messages
	filePath string   // as given to Open; for a copy of a store not the same as path
	absPath  string   // filePath, independent of the working directory
	file     *os.File // bbolt's own descriptor
	identity fs.FileInfo
	db       *bolt.DB
	readOnly bool
	log      *slog.Logger
	stats    counters

	base    uint64       // revision numbers count from here
	highest uint64       // no revision number is higher; only the leader uses it
	format  atomic.Int64 // the file's format version

	// recordErr says why the record of Pod names did not match when the file was
	// opened. It is nil if they matched. A record that does not match never will again.
	recordErr error

	// broken holds the Pods whose buckets bbolt must not enter, and why: it would
	// follow or free whatever pages they name. Open fills it in; nothing changes it
	// later.
	broken map[string]error

	closed    atomic.Bool
	cause     atomic.Pointer[error] // why the handle is unusable, or nil
	abandoned atomic.Bool           // nothing may call bbolt any more
	gone      chan struct{}         // closed once abandoned is set
	txMu      sync.Mutex            // see transact

	mu        sync.Mutex // guards the fields from here to waiting
	idle      sync.Cond  // signals that leading is false, views is 0 or a commit is durable
	queue     []*request
	leading   bool
	lastGroup int
	editing   atomic.Pointer[runningEdit]
	views     int // open read transactions, including those about to open
	waiting   int // readers that wait until a commit is durable

	durable atomic.Int64 // the last durable transaction
	changes changelog

	enc     *codec.Encoder // only the leader uses it
	staging staging        // only the leader uses it
	resent  resent         // only the leader uses it
}

var (
	_ store.MetadataStore = (*Store)(nil)
	_ store.PartReader    = (*Store)(nil)
	_ store.Lister        = (*Store)(nil)
	_ store.PodUpdater    = (*Store)(nil)
	_ store.Watcher       = (*Store)(nil)
	_ store.Snapshotter   = (*Store)(nil)
)

// Path returns the path of the database file, as it was given to Open. For a store from
// OpenCopy or Snapshot it is the path of the copy; errors name the original instead.
func (s *Store) Path() string { return s.filePath }

// Close waits for the commit and the reads under way and releases the file. Changes that
// have not begun fail with [store.ErrClosed], and so do later calls. A loop over
// [Store.All] or [Store.Watch] ends with ErrClosed; before that, All may yield Pods that
// it has already read. A second Close does nothing. Close does not hang on an unusable
// handle.
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

// ReadPart reads a part of one Pod: see [store.PartReader]. It does not read from the
// file what opts leave out, so it does not notice damage there.
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
