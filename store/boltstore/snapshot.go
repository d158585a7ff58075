package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
	"podstore/store/internal/osfs"
)

// WriteTo writes the database file as it is at one moment: a database that can be
// opened. Writers go on meanwhile, but the pages they replace are kept until it
// returns, so w should not be slow. While there are writers it rests now
// and then, so that they get a processor.
func (s *Store) WriteTo(w io.Writer) (n int64, err error) {
	err = s.view("snapshot", "", func(tx *bolt.Tx) error {
		metas := &metaOrder{w: w, pageSize: tx.DB().Info().PageSize, txid: uint64(tx.ID()), writing: s.writersActive()}
		n, err = tx.WriteTo(metas)
		return err
	})
	if err != nil && !errors.As(err, new(*store.Error)) {
		err = &store.Error{Op: "snapshot", Path: s.path, Kind: kindOf(err), Err: err}
	}
	return n, err
}

// metaOrder passes on what bbolt copies. bbolt puts the newer meta first
// whichever its transaction is; here each goes where its transaction id selects,
// as in every file that bbolt itself writes, because a file in which they do not
// stand so is taken to be damaged.
type metaOrder struct {
	w         io.Writer
	pageSize  int
	txid      uint64
	writing   func() bool // whether there are writers
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

// writersActive returns a function that tells whether anybody writes, or has written
// since it was last called.
func (s *Store) writersActive() func() bool {
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
			if m.writing() {
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
	frozen, err := openCopy(f.Path, s.path, &Options{ReadOnly: true})
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("snapshot: %w", err), f.Close())
	}
	return frozen, &snapshotFile{frozen, f}, nil
}

// newCopy creates the file for a copy of the store: beside it, where there is room for
// it if anywhere, or where that directory is not to be written, in the system's.
func (s *Store) newCopy() (*osfs.TempFile, error) {
	f, err := osfs.NewTempFile(filepath.Dir(s.absPath), "."+filepath.Base(s.absPath)+".snapshot-*")
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		f, err = osfs.NewTempFile("", "podstore-snapshot-*.db")
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
	f, err := osfs.NewTempFile(tempDir, "podstore-live-*.db")
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
		s, err = openCopy(f.Path, of, &Options{ReadOnly: true, FullCheck: true})
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

// snapshotFile closes a snapshot and removes its file.
type snapshotFile struct {
	s *Store
	f *osfs.TempFile
}

func (f *snapshotFile) Close() error { return errors.Join(f.s.Close(), f.f.Close()) }
