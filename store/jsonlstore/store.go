package jsonlstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	"podstore/store"
	"podstore/store/internal/osfs"
)

// DefaultMaxEntrySize is the limit of one entry where [Options] sets none.
const DefaultMaxEntrySize = 64 << 20

// SyncMode decides when a change is on the disk.
type SyncMode int

const (
	// SyncEach: when the method returns nil, the change survives a loss of
	// power. An append costs one fdatasync, a Store's first one to a segment also
	// a sync of two directories.
	SyncEach SyncMode = iota
	// SyncNever leaves it to the system, which writes within about half a
	// minute. A change survives the end of the process, but not a loss of power. That
	// may also leave damaged lines at the end of a segment.
	SyncNever
)

// Options are the options of [Open]. The zero value is the default.
type Options struct {
	// Sync is SyncEach by default: an agent is restored from its session log, so an
	// entry that was acknowledged must be there afterwards.
	Sync SyncMode
	// MaxEntrySize limits one line without its newline, in bytes. 0 means
	// [DefaultMaxEntrySize]. A larger entry is refused when it is appended. For one in a
	// file ReadAll yields an error. It bounds the memory of every operation, to a small
	// multiple of it.
	MaxEntrySize int
	// ReadOnly refuses every change with store.ErrReadOnly, and a root that does
	// not exist with store.ErrNotFound.
	ReadOnly bool
}

// Store is a [store.SessionLog] below one directory. It keeps the last 64 files to which
// it appended open, but not locked; Close closes them. It is safe for concurrent use, by
// any number of Stores and processes on the same root.
type Store struct {
	root     string
	sync     bool
	readOnly bool
	max      int
	gates    gates
	undone   undone
	named    named
	kept     kept
	swept    atomic.Bool // the remains of interrupted deletions were removed
	notifier notifier
}

var _ store.SessionLog = (*Store)(nil)

// Open returns the store below the directory root. It creates root, and missing
// directories above it, with mode 0700. nil options are the default. The error matches
// store.ErrFormat for a root in the aggregate layout, and store.ErrInvalid for one that
// holds Pods, or the segments of one session, instead of sessions.
func Open(root string, opts *Options) (*Store, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.MaxEntrySize == 0 {
		o.MaxEntrySize = DefaultMaxEntrySize
	}
	fail := func(kind, err error) (*Store, error) {
		return nil, &store.Error{Op: "open session logs", Path: root, Kind: kind, Err: err}
	}
	if root == "" {
		return fail(store.ErrInvalid, errors.New("no root directory is named"))
	}
	if o.MaxEntrySize < 0 || o.Sync < SyncEach || o.Sync > SyncNever {
		return fail(store.ErrInvalid, fmt.Errorf("unknown options: %+v", o))
	}
	abs, err := filepath.Abs(root)
	if err != nil {
		return fail(nil, err)
	}
	s := &Store{root: abs, sync: o.Sync == SyncEach, readOnly: o.ReadOnly, max: o.MaxEntrySize}
	info, err := os.Stat(abs)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !o.ReadOnly:
		err = osfs.MkdirAll(abs, s.sync)
	case errors.Is(err, fs.ErrNotExist):
		return fail(store.ErrNotFound, errors.New("there is no such directory"))
	case err == nil && !info.IsDir():
		return fail(store.ErrInvalid, errors.New("it is not a directory"))
	}
	if err == nil {
		err = checkLayout(abs)
	}
	if err != nil {
		return fail(kindOf(err), stripPath(err))
	}
	return s, nil
}

// Append implements [store.SessionLog].
func (s *Store) Append(ctx context.Context, session store.SessionID, segment store.SegmentID, entry json.RawMessage) error {
	return s.append(ctx, s.target("append", session, logName(segment)), entry)
}

// AppendTrace implements [store.SessionLog].
func (s *Store) AppendTrace(ctx context.Context, session store.SessionID, segment store.SegmentID, trace json.RawMessage) error {
	return s.append(ctx, s.target("append trace", session, traceName(segment)), trace)
}

func logName(segment store.SegmentID) string   { return segment.String() + logSuffix }
func traceName(segment store.SegmentID) string { return segment.String() + traceSuffix }

const (
	logSuffix   = ".jsonl"
	traceSuffix = ".trace.jsonl"
)

// target is the file of one operation.
type target struct {
	store   *Store
	op      string
	session store.SessionID
	name    string // "" for an operation on a whole session
}

func (s *Store) target(op string, session store.SessionID, name string) target {
	return target{s, op, session, name}
}

func (s *Store) sessionPath(session store.SessionID) string {
	return s.root + string(filepath.Separator) + session.String()
}

func (t target) path() string { return filepath.Join(t.store.sessionPath(t.session), t.name) }

// writable fails if the store may not be changed or the context has ended.
func (t target) writable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return t.fail(err)
	}
	if t.store.readOnly {
		return t.fail(store.ErrReadOnly)
	}
	return nil
}

// fail adds the operation, the file and one of the store's sentinels to err.
func (t target) fail(err error) error {
	if err == nil {
		return nil
	}
	var e *store.Error
	if errors.As(err, &e) {
		return err
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New("there is no such segment")
		return &store.Error{Op: t.op, Path: t.path(), Kind: store.ErrNotFound, Err: err}
	}
	return &store.Error{Op: t.op, Path: t.path(), Kind: kindOf(err), Err: stripPath(err)}
}

// invalid is the error for a bad argument.
func (t target) invalid(format string, args ...any) error {
	return &store.Error{Op: t.op, Path: t.path(), Kind: store.ErrInvalid, Err: fmt.Errorf(format, args...)}
}

func kindOf(err error) error {
	var layout *layoutError
	switch {
	case errors.As(err, &layout):
		return layout.kind
	case errors.Is(err, fs.ErrNotExist):
		return store.ErrNotFound
	}
	return osfs.Kind(err)
}

// stripPath drops the path from errors of package os: a store.Error names it already.
func stripPath(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) && err == error(pe) {
		return fmt.Errorf("%s: %w", pe.Op, pe.Err)
	}
	return err
}
