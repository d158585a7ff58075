package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
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

// readErr turns what load, metadata or view returned into the caller's error.
func (s *Store) readErr(op, name string, err error) error {
	var e *store.Error
	switch {
	case errors.Is(err, errMissing):
		if s.recordErr != nil {
			return s.maybeLost(op, name)
		}
		return &store.Error{Op: op, Pod: name, Kind: store.ErrNotFound}
	case errors.Is(err, store.ErrFormat):
		return newer(name, withOp(op, err))
	case errors.As(err, &e):
		return err
	case kindOf(err) == store.ErrClosed:
		return &store.Error{Op: op, Pod: name, Path: s.path, Kind: store.ErrClosed}
	}
	return damaged(op, name, err)
}

// maybeLost is the error for a Pod that is not there, in a file from which Pods
// have vanished.
func (s *Store) maybeLost(op, name string) error {
	return &store.Error{Op: op, Pod: name, Path: s.path, Kind: store.ErrCorrupt,
		Err: fmt.Errorf("not found, and the file has lost Pods: %w", s.recordErr)}
}

// damaged is the error for a Pod that could not be read.
func damaged(op, name string, err error) error {
	return &store.Error{Op: op, Pod: name, Kind: store.ErrCorrupt,
		Err: fmt.Errorf("%w; the others are not affected; write or import it again, or delete it", err)}
}

// newer names the Pod that a newer version wrote.
func newer(name string, err error) error {
	var e *store.Error
	if errors.As(err, &e) {
		e.Pod = name
	}
	return err
}

// Update edits one Pod: see [store.MetadataStore]. Only the sub-keys that edit
// changed are written, and when it changed nothing there is no commit.
func (s *Store) Update(ctx context.Context, name string, edit func(*store.Metadata) error) (*store.Metadata, error) {
	pods, err := s.UpdatePods(ctx, []string{name}, func(pods []*store.Metadata) error {
		if pods[0] == nil {
			if s.recordErr != nil {
				return s.maybeLost("update", name)
			}
			pods[0] = &store.Metadata{PodName: name}
		}
		return edit(pods[0])
	})
	if err != nil {
		return nil, err
	}
	return pods[0], nil
}

// UpdatePods edits several Pods in one transaction: see [store.PodUpdater].
func (s *Store) UpdatePods(ctx context.Context, names []string, edit func(pods []*store.Metadata) error) ([]*store.Metadata, error) {
	const op = "update"
	if err := store.ValidateNames(op, names); err != nil {
		return nil, err
	}
	names = slices.Clone(names)
	var pods []*store.Metadata
	err := s.submit(ctx, op, names[0], func(g *txn, r *request) (err error) {
		pods, err = g.edit(r, names, edit)
		return withOp(op, err)
	})
	if err != nil {
		return nil, err
	}
	return pods, nil
}

// edit runs one edit: read, edit, compare, and only then change.
func (g *txn) edit(r *request, names []string, edit func([]*store.Metadata) error) ([]*store.Metadata, error) {
	pods := make([]*store.Metadata, len(names))
	given := make([]*store.Metadata, len(names))
	st := &staging{g: g}
	for i, name := range names {
		p, err := st.pod(name)
		switch {
		case err != nil:
			return nil, err
		case p.damage != nil:
			return nil, p.damage
		case p.there:
			err := guard(func() (err error) {
				pods[i], err = p.metadata(g.tx, name, store.ReadOptions{})
				return err
			})
			if err != nil {
				return nil, damaged("", name, err)
			}
			given[i] = pods[i]
		}
	}
	if err := r.edit(g.s, func() error { return edit(pods) }); err != nil {
		return nil, err
	}
	for i, name := range names {
		p := st.find(name)
		m := pods[i]
		if m == nil {
			p.delete()
			continue
		}
		if m != given[i] {
			m = m.Clone() // it may stand in another place too
			pods[i] = m
		}
		m.PodName = name
		if err := p.normalize(m); err != nil {
			return nil, err
		}
		p.exists, p.m = true, m
		p.replace(store.AllFields)
	}
	if err := st.commit(codec.MadeID{}); err != nil {
		return nil, err
	}
	for i, name := range names {
		if pods[i] != nil {
			pods[i].Version = st.find(name).version
		}
	}
	return pods, nil
}

// normalize is Metadata.Normalize, which leaves out the manifest when it is the
// one that is stored: that one was made canonical when it was written.
func (p *staged) normalize(m *store.Metadata) error {
	if err := m.NormalizeLists(); err != nil {
		return err
	}
	if !codec.SameBinary(codec.Payload(p.values[codec.Manifest]), m.Manifest) {
		if err := m.NormalizeManifest(); err != nil {
			return err
		}
	}
	return m.NormalizeExtra()
}

// withOp puts the operation on an error that lacks it.
func withOp(op string, err error) error {
	var e *store.Error
	if errors.As(err, &e) && e.Op == "" {
		e.Op = op
	}
	return err
}
