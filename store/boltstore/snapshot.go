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

// WriteTo writes the database file as it is at one moment. The result is a database
// that Open can open. Writers go on meanwhile, but bbolt keeps the pages that they
// replace until WriteTo returns, so w should not be slow. While anybody writes, WriteTo
// sleeps now and then, so that writers get a processor.
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

// metaOrder passes on what bbolt copies, with the two meta pages in the right order.
// bbolt always puts the newer meta first. In a file that bbolt itself writes, the
// transaction id selects the place of a meta; podstore takes a file with the other
// order to be damaged.
type metaOrder struct {
	w         io.Writer
	pageSize  int
	txid      uint64
	writing   func() bool // reports whether anybody writes
	head      []byte
	done      bool
	sinceRest int // bytes since the last sleep
}

// A goroutine that makes one short system call after another keeps its processor, a P
// of the Go runtime. Meanwhile the writers' leader waits for the disk in a system call,
// and the goroutines it has woken stay in the queue of its processor until the runtime
// takes that processor away. With two processors, the slowest hundredth of changes
// waited three times as long. When the copying goroutine sleeps, its processor takes
// over those goroutines. Without writers it does not sleep: in an idle process a sleep
// takes ten times as long as asked.
const (
	restEvery = 256 << 10 // bytes
	rest      = 100 * time.Microsecond
)

// writersActive returns a function that reports whether anybody writes, or has written
// since its last call.
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
		// Each page begins with its own number, which the meta's checksum does not cover.
		binary.NativeEndian.PutUint64(m.head, 0)
		binary.NativeEndian.PutUint64(m.head[m.pageSize:], 1)
	}
	if _, err := m.w.Write(m.head); err != nil {
		return 0, err
	}
	m.head = nil
	return len(p), nil
}

// Snapshot freezes one moment of the whole store: see [store.Snapshotter]. Snapshot
// copies the file to a temporary one beside it, which takes as much space until the
// closer is closed. It can be read until then, also after the Store is closed. For a
// Store that is open for reading, Snapshot makes no copy and returns the Store itself.
// The closer then does nothing, and the snapshot ends when the Store is closed.
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

// newCopy creates the file for a copy of the store. It stands beside the store, where
// there is most likely room for it. If that directory is not writable, it stands in the
// system's directory for temporary files.
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

// OpenCopy opens a copy of a store's file for reading, such as a snapshot from
// elsewhere. fetch writes the copy. OpenCopy checks all its pages; a damaged value is
// an error of its Pod when that is read. The copy is a temporary file in tempDir (""
// for the system's directory). Close of the returned closer removes it. original is the
// name that errors have for it.
//
// Errors: those of fetch, and store.ErrCorrupt if what fetch wrote is damaged.
func OpenCopy(original, tempDir string, fetch func(io.Writer) error) (*Store, io.Closer, error) {
	noRoom := func(err error) error {
		// Not ErrNotFound: the directory is missing, not the store.
		var kind error
		if isNoSpace(err) {
			kind = store.ErrNoSpace
		}
		return &store.Error{Op: "open", Path: original, Kind: kind, Err: fmt.Errorf("a copy cannot be kept in the directory for temporary files, which TMPDIR names: %w", err)}
	}
	f, err := osfs.NewTempFile(tempDir, "podstore-live-*.db")
	if err != nil {
		return nil, nil, noRoom(err)
	}
	err = fetch(f.File)
	if e, ok := errors.AsType[*fs.PathError](err); ok && isNoSpace(err) {
		return nil, nil, errors.Join(noRoom(e.Err), f.Close()) // the file has no name
	}
	var s *Store
	if err == nil {
		s, err = openCopy(f.Path, original, &Options{ReadOnly: true, FullCheck: true})
	}
	if err != nil {
		return nil, nil, opError("open", original, errors.Join(err, f.Close()))
	}
	return s, &snapshotFile{s, f}, nil
}

// openCopy opens a copy of a store. Errors name the original.
func openCopy(path, original string, opts *Options) (*Store, error) {
	s, err := Open(path, opts)
	if err != nil {
		return nil, renamed(err, path, original)
	}
	s.path = original
	return s, nil
}

type snapshotFile struct {
	s *Store
	f *osfs.TempFile
}

func (f *snapshotFile) Close() error { return errors.Join(f.s.Close(), f.f.Close()) }
