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
)

// Store is Pod metadata in one bbolt file. It implements [store.MetadataStore]
// and the optional abilities [store.Lister], [store.PodUpdater] and
// [store.Snapshotter]. All methods are safe for concurrent use.
//
// A Store holds the lock on its file until Close. After an I/O error of a commit,
// or a panic of bbolt while it changed something, it is unusable: everything
// returns an error that matches [store.ErrUnusable] and wraps the cause, until it
// is closed and the file opened again. Whether the change that failed is there
// then is not known, all others are as acknowledged.
//
// An edit given to Update or UpdatePods is called exactly once, in the goroutine
// of any of the callers that share a commit, and sees the successful edits that
// came before it. It must return: one that calls [runtime.Goexit] ends the
// goroutine of another caller.
type Store struct {
	path     string   // what the caller named, for messages
	filePath string   // the file, as given to Open: another one for a copy of the store
	absPath  string   // the same, whatever the working directory becomes
	file     *os.File // bbolt's own descriptor
	identity fs.FileInfo
	db       *bolt.DB
	early    *earlyWriter // what bbolt writes by, or nil
	readOnly bool
	log      *slog.Logger
	stats    counters

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
	views     int // read transactions that are open, or about to be

	enc *codec.Encoder // the leader's
}

var (
	_ store.MetadataStore = (*Store)(nil)
	_ store.Lister        = (*Store)(nil)
	_ store.PodUpdater    = (*Store)(nil)
	_ store.Snapshotter   = (*Store)(nil)
)

// Path is the path of the database file, as it was given to Open. Of a store from
// OpenLive or Snapshot it is the temporary copy, which closing removes; errors
// name the socket or the database instead.
func (s *Store) Path() string { return s.filePath }

// Close waits for the commit and the reads that are under way, if any, and releases
// the file. Changes that still wait to begin fail with [store.ErrClosed], and so
// does what is called later. It can be called again, and then does nothing. It does
// not hang on a handle that is unusable.
func (s *Store) Close() error {
	s.mu.Lock()
	first := !s.closed.Swap(true)
	for (s.leading || s.views > 0) && !s.abandoned.Load() {
		s.idle.Wait()
	}
	s.mu.Unlock()
	if !first {
		return nil
	}
	if s.abandoned.Load() {
		return errors.Join(unlock(s.file), s.file.Close())
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

// ReadPart is Read for a caller that does not need everything. A manifest that
// is omitted is not read from the file, and damage of its bytes not noticed.
func (s *Store) ReadPart(ctx context.Context, name string, opts store.ReadOptions) (*store.Metadata, error) {
	const op = "read"
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.judge(op, name); err != nil {
		return nil, err
	}
	var m *store.Metadata
	err := s.view(op, name, func(tx *bolt.Tx) error {
		var p stored
		err := s.load(tx, name, &p)
		if err == nil {
			m, err = p.metadata(name, opts.OmitManifest)
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

// judge is ValidateName with the operation on the error.
func (s *Store) judge(op, name string) error {
	if err := store.ValidateName(name); err != nil {
		return withOp(op, err)
	}
	return nil
}

// Write creates or replaces one Pod: see [store.MetadataStore].
func (s *Store) Write(ctx context.Context, m *store.Metadata) error {
	const op = "write"
	m = m.Clone()
	if err := m.Normalize(); err != nil {
		return withOp(op, err)
	}
	return s.submit(ctx, op, m.PodName, func(g *group, _ *request) error {
		old := new(stored)
		was, err := g.load(op, m.PodName, old)
		if err != nil {
			return g.heal(op, m)
		}
		if was == nil {
			old = nil
		}
		st, err := s.stageOf(old, m)
		if err != nil || st == nil {
			return withOp(op, err)
		}
		return g.apply([]*stage{st})
	})
}

// heal replaces a Pod that is damaged.
func (g *group) heal(op string, m *store.Metadata) error {
	if err := g.removable(op, m.PodName); err != nil {
		return err
	}
	st, err := g.s.stageOf(nil, m)
	if err != nil {
		return withOp(op, err)
	}
	st.remove = true
	return g.apply([]*stage{st})
}

// removable makes sure that bbolt can free the pages of a Pod that may be
// damaged, without taking those of others with them.
func (g *group) removable(op, name string) error {
	err := guard(func() error {
		if err := g.s.broken[name]; err != nil {
			return err
		}
		b, err := podBucket(g.tx, []byte(name))
		if err != nil {
			return err
		}
		if _, err := checkPodPages(g.tx, b); err != nil {
			return err
		}
		return b.ForEachBucket(func(k []byte) error {
			return fmt.Errorf("it has a bucket %.32q inside", k)
		})
	})
	if err != nil {
		return &store.Error{Op: op, Pod: name, Path: g.s.path, Kind: store.ErrCorrupt,
			Err: fmt.Errorf("its pages are damaged and cannot be freed: %w; %s", err, adviceSalvage)}
	}
	return nil
}

// Delete removes one Pod: see [store.MetadataStore].
func (s *Store) Delete(ctx context.Context, name string) error {
	const op = "delete"
	if err := s.judge(op, name); err != nil {
		return err
	}
	return s.submit(ctx, op, name, func(g *group, _ *request) error {
		err := guard(func() error {
			if s.broken[name] != nil {
				return nil
			}
			_, err := podBucket(g.tx, []byte(name))
			return err
		})
		switch {
		case errors.Is(err, errMissing):
			return nil
		case err != nil:
			return damaged(op, name, err)
		}
		if err := g.removable(op, name); err != nil {
			return err
		}
		return g.apply([]*stage{{key: []byte(name), remove: true}})
	})
}

// Update edits one Pod: see [store.MetadataStore]. Only the sub-keys that edit
// changed are written, and when it changed nothing there is no commit.
func (s *Store) Update(ctx context.Context, name string, edit func(*store.Metadata) error) (*store.Metadata, error) {
	pods, err := s.update(ctx, "update", []string{name}, func(pods []*store.Metadata) error {
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
	return s.update(ctx, "update", slices.Clone(names), edit)
}

func (s *Store) update(ctx context.Context, op string, names []string, edit func(pods []*store.Metadata) error) ([]*store.Metadata, error) {
	if err := s.judgeAll(op, names); err != nil {
		return nil, err
	}
	var pods []*store.Metadata
	err := s.submit(ctx, op, names[0], func(g *group, r *request) (err error) {
		pods, err = g.update(r, op, names, edit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return pods, nil
}

func (s *Store) judgeAll(op string, names []string) error {
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		if err := s.judge(op, name); err != nil {
			return err
		}
		if len(names) > 1 && seen[name] {
			return &store.Error{Op: op, Pod: name, Kind: store.ErrInvalid, Err: errors.New("the Pod is named twice")}
		}
		seen[name] = true
	}
	if len(names) == 0 {
		return &store.Error{Op: op, Kind: store.ErrInvalid, Err: errors.New("no Pod is named")}
	}
	return nil
}

// update runs one edit: read, edit, compare, and only then change.
func (g *group) update(r *request, op string, names []string, edit func([]*store.Metadata) error) ([]*store.Metadata, error) {
	pods := make([]*store.Metadata, len(names))
	was := make([]struct {
		stored
		m *store.Metadata // what the edit was given; nil: there is no such Pod
	}, len(names))
	for i, name := range names {
		var err error
		if pods[i], err = g.load(op, name, &was[i].stored); err != nil {
			return nil, err
		}
		was[i].m = pods[i]
	}
	if err := r.edit(func() error { return edit(pods) }); err != nil {
		return nil, err
	}
	stages := make([]*stage, 0, len(names))
	for i, name := range names {
		old := &was[i].stored
		if was[i].m == nil {
			old = nil
		}
		if m := pods[i]; m != nil {
			if m != was[i].m {
				m = m.Clone() // it may stand in another place too
				pods[i] = m
			}
			m.PodName = name
			if err := normalize(m, old); err != nil {
				return nil, withOp(op, err)
			}
		}
		st, err := g.s.stageOf(old, pods[i])
		if err != nil {
			return nil, withOp(op, err)
		}
		if st != nil {
			stages = append(stages, st)
		}
	}
	if err := g.apply(stages); err != nil {
		return nil, err
	}
	return pods, nil
}

// normalize is Metadata.Normalize, which leaves out the manifest when it is the
// one that is stored: that one was made canonical when it was written.
func normalize(m *store.Metadata, old *stored) error {
	if err := m.NormalizeLists(); err != nil {
		return err
	}
	if old == nil || !codec.SameBinary(codec.Payload(old.values[codec.Manifest]), m.Manifest) {
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
