package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
)

// WriteTo writes the database file as it is at one moment: a database that can be
// opened. Writers go on meanwhile, but the pages they replace are kept until it
// returns, so w should not be slow. While there are writers it rests now
// and then, so that they get a processor.
func (s *Store) WriteTo(w io.Writer) (n int64, err error) {
	err = s.view("snapshot", "", func(tx *bolt.Tx) error {
		metas := &metaOrder{w: w, pageSize: tx.DB().Info().PageSize, txid: uint64(tx.ID()), disturbs: s.watchWriters()}
		n, err = tx.WriteTo(metas)
		return err
	})
	if err != nil && !errors.As(err, new(*store.Error)) {
		err = &store.Error{Op: "snapshot", Path: s.path, Kind: kindOf(err), Err: err}
	}
	return n, err
}

// Backup writes the database file as it is at one moment to dst, for keeping:
// synced, checked whole as [Check] does, and only then given its name. What
// stands at dst is left alone and gives store.ErrExists. A store with damage is
// not backed up, so that no rotation of backups replaces the last good one:
// store.ErrCorrupt. Any error leaves nothing. Writers go on meanwhile.
func (s *Store) Backup(ctx context.Context, dst string) (Summary, error) {
	var sum Summary
	err := publish(dst, func(tmp string) error {
		f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		err = private(tmp, filepath.Dir(tmp), 0o600)
		if err == nil {
			_, err = s.WriteTo(f)
		}
		if err == nil {
			err = f.Sync()
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		var first Finding
		sum, err = Check(ctx, tmp, nil, func(f Finding) {
			if first.Reason == "" {
				first = f
			}
		})
		if err == nil && sum.Findings > 0 {
			err = &store.Error{Pod: first.Pod, Path: s.path, Kind: store.ErrCorrupt, Err: fmt.Errorf("no backup was made: %s", first.Reason)}
		}
		return err
	})
	return sum, opError("backup", dst, err)
}

// metaOrder passes on what bbolt copies. bbolt puts the newer meta first
// whichever its transaction is; here each goes where its transaction id selects,
// as in every file that bbolt itself writes, because a file in which they do not
// stand so is taken to be damaged.
type metaOrder struct {
	w         io.Writer
	pageSize  int
	txid      uint64
	disturbs  func() bool // whether there are writers
	head      []byte
	done      bool
	sinceRest int // bytes
}

// A goroutine that makes one short system call after another keeps its processor (the
// runtime's, a P), and while the writers' leader waits for the disk in a system call,
// those it has woken may wait in the queue of the leader's until the runtime takes
// that away from it. With two processors that
// made the slowest hundredth of changes wait three times as long. When the copying
// goroutine sleeps, its processor takes them over. Where nobody writes it does not: a
// process with nothing to do sleeps ten times as long as it was told.
const (
	restEvery = 256 << 10 // bytes
	rest      = 100 * time.Microsecond
)

// watchWriters returns a function that tells whether anybody writes, or has written
// since it was last called.
func (s *Store) watchWriters() func() bool {
	before := s.stats.commits.Load()
	return func() bool {
		last := before
		before = s.stats.commits.Load()
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.leading || before != last
	}
}

func (m *metaOrder) Write(p []byte) (int, error) {
	if m.done {
		if m.sinceRest += len(p); m.sinceRest >= restEvery {
			m.sinceRest = 0
			if m.disturbs() {
				time.Sleep(rest)
			}
		}
		return m.w.Write(p)
	}
	m.head = append(m.head, p...)
	if len(m.head) < 2*m.pageSize {
		return len(p), nil
	}
	m.done = true
	if m.txid%2 == 1 {
		first, second := m.head[:m.pageSize], m.head[m.pageSize:2*m.pageSize]
		swapped := append(bytes.Clone(second), first...)
		copy(m.head, swapped)
		// The page's own number leads its header and is not in the meta's checksum.
		binary.NativeEndian.PutUint64(m.head, 0)
		binary.NativeEndian.PutUint64(m.head[m.pageSize:], 1)
	}
	if _, err := m.w.Write(m.head); err != nil {
		return 0, err
	}
	m.head = nil
	return len(p), nil
}

// Snapshot freezes one moment of the whole store: see [store.Snapshotter]. Opened
// for reading, a Store is its own snapshot. Otherwise the file is copied to a
// temporary one beside it, which needs as much space until the closer is closed.
func (s *Store) Snapshot(ctx context.Context) (store.MetadataStore, io.Closer, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if err := s.usable("snapshot", ""); err != nil {
		return nil, nil, err
	}
	if s.readOnly {
		return s, io.NopCloser(nil), nil
	}
	f, err := s.newCopy()
	if err != nil {
		return nil, nil, err
	}
	_, err = s.WriteTo(f.File)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	frozen, err := openCopy(f.path, s.path, &Options{ReadOnly: true})
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("snapshot: %w", err), f.Close())
	}
	return frozen, &snapshotFile{frozen, f}, nil
}

// newCopy creates the file for a copy of the store: beside it, where there is room for
// it if anywhere, or where that directory is not to be written, in the system's.
func (s *Store) newCopy() (*tempFile, error) {
	f, err := newTempFile(filepath.Dir(s.absPath), "."+filepath.Base(s.absPath)+".snapshot-*")
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		f, err = newTempFile("", "podstore-snapshot-*.db")
	}
	if err != nil {
		return nil, &store.Error{Op: "snapshot", Path: s.path, Kind: kindOf(err), Err: err}
	}
	return f, nil
}

// OpenCopy opens a copy of a store's file for reading, such as a snapshot that is
// fetched from elsewhere: fetch writes it. All its pages are checked; a damaged value
// is an error of its Pod when that is read. It is kept in a temporary file in tempDir
// ("" for the system's), which Close of the returned closer removes. Errors name what
// it is a copy of.
//
// Errors: those of fetch, and store.ErrCorrupt when what it wrote is damaged.
func OpenCopy(of, tempDir string, fetch func(io.Writer) error) (*Store, io.Closer, error) {
	f, err := newTempFile(tempDir, "podstore-live-*.db")
	if err != nil {
		// The missing directory is not the store that was to be opened.
		var kind error
		if isNoSpace(err) {
			kind = store.ErrNoSpace
		}
		return nil, nil, &store.Error{Op: "open", Path: of, Kind: kind, Err: fmt.Errorf("a copy cannot be kept in the directory for temporary files, which TMPDIR names: %w", err)}
	}
	err = fetch(f.File)
	var s *Store
	if err == nil {
		s, err = openCopy(f.path, of, &Options{ReadOnly: true, FullCheck: true})
	}
	if err != nil {
		return nil, nil, opError("open", of, errors.Join(err, f.Close()))
	}
	return s, &snapshotFile{s, f}, nil
}

// openCopy opens a copy of a store, whose errors name what it is a copy of.
func openCopy(path, of string, opts *Options) (*Store, error) {
	s, err := Open(path, opts)
	if err != nil {
		return nil, renamed(err, path, of)
	}
	s.path = of
	return s, nil
}

// renamed makes an error about a temporary file one about the path that the caller
// gave.
func renamed(err error, tmp, path string) error {
	isTmp := func(p string) bool {
		return p == tmp || strings.Contains(filepath.Base(p), filepath.Base(tmp)) && !isDescriptor(tmp)
	}
	if e, ok := errors.AsType[*store.Error](err); ok && isTmp(e.Path) {
		e.Path = path
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok && isTmp(e.Path) {
		e.Path = path
	}
	return err
}

// snapshotFile closes a snapshot and removes its file.
type snapshotFile struct {
	s *Store
	f *tempFile
}

func (f *snapshotFile) Close() error { return errors.Join(f.s.Close(), f.f.Close()) }

// tempFile is a file that goes with the process, as far as the system allows: where an
// open file can be named, it has no name of its own.
type tempFile struct {
	*os.File
	path  string // by which it can be opened
	named bool   // path is its name
}

// newTempFile creates one in dir, "" for the system's directory of temporary files.
func newTempFile(dir, pattern string) (*tempFile, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	if f := createUnnamed(dir, pattern); f != nil {
		if path := descriptorPath(f); path != "" && f.Chmod(0o600) == nil {
			return &tempFile{f, path, false}, nil
		}
		f.Close()
	}
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return nil, err
	}
	t := &tempFile{f, f.Name(), true}
	if err := f.Chmod(0o600); err != nil { // the umask may have taken of it
		return nil, errors.Join(err, t.Close())
	}
	if path := descriptorPath(f); path != "" && os.Remove(f.Name()) == nil {
		t.path, t.named = path, false
	}
	return t, nil
}

// Close closes and removes it.
func (t *tempFile) Close() error {
	err := t.File.Close()
	if t.named {
		err = errors.Join(err, os.Remove(t.path))
	}
	return err
}
