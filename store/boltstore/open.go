package boltstore

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/bits"
	"os"
	"path/filepath"
	"runtime"
	"time"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
	"podstore/store/boltstore/internal/boltfile"
	"podstore/store/internal/codec"
	"podstore/store/internal/osfs"
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

// Open opens the database file at path, or creates it, mode 0600, along with
// missing directories above it, mode 0700, whatever the umask; what root creates gets
// the owner of the directory it is in. Creating is atomic: after a crash the
// file is there, whole, or not there.
//
// The last component of path is not followed if it is a symbolic link. A file
// that is not regular, that belongs to another user (unless that is root, or root
// opens it), or that others may write, is refused with store.ErrInvalid; one that its
// group may write is a warning in the log.
//
// Errors: store.ErrLocked when another handle has it open, in this process or
// another, after LockTimeout; store.ErrFormat when it is not a podstore
// database, or of a newer version; store.ErrCorrupt when it is damaged where all
// Pods depend on it: salvage copies what is whole; store.ErrNotFound when it does
// not exist and is not to be created.
func Open(path string, opts *Options) (*Store, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	o.LockTimeout = cmp.Or(max(o.LockTimeout, 0), DefaultLockTimeout)
	s := &Store{path: path, filePath: path, readOnly: o.ReadOnly, log: o.Logger, enc: codec.NewEncoder(), gone: make(chan struct{}), broken: make(map[string]error)}
	s.idle.L = &s.mu
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if err := s.open(&o); err != nil {
		var e *store.Error
		if !errors.As(err, &e) {
			err = &store.Error{Kind: kindOf(err), Err: err}
			errors.As(err, &e)
		}
		e.Op, e.Path = "open", path
		return nil, e
	}
	return s, nil
}

func (s *Store) open(o *Options) (err error) {
	if s.absPath, err = filepath.Abs(s.path); err != nil {
		return err
	}
	created := false
	_, err = os.Lstat(s.path)
	if errors.Is(err, fs.ErrNotExist) && !o.ReadOnly && !o.MustExist {
		created, err = s.create(o)
	}
	if err != nil {
		return err
	}
	if !created {
		if err := s.openFile(o); err != nil {
			return err
		}
	}
	if !o.ReadOnly {
		// Whoever created or renamed the file, or committed to it, may have been killed
		// before this: what is read from now on must not be lost with the power.
		if err := errors.Join(s.file.Sync(), osfs.SyncNames(filepath.Dir(s.path))); err != nil {
			if created {
				s.removeCreated()
			}
			return errors.Join(err, s.file.Close())
		}
	}
	if err := s.openBolt(o); err != nil {
		// bbolt closed the file if it returned an error, but not if it panicked;
		// then its mapping keeps the lock alive after the descriptor.
		if created {
			s.removeCreated()
		}
		_ = osfs.Unlock(s.file)
		_ = s.file.Close()
		return err
	}
	if s.recordErr != nil {
		s.log.Warn("podstore: the file has lost Pods, or has some that nobody created", "path", s.path, "cause", s.recordErr)
	}
	return nil
}

// openFile opens and locks the file, and makes sure that it is the one at path
// then: whoever held the lock may have replaced it.
func (s *Store) openFile(o *Options) error {
	deadline := time.Now().Add(o.LockTimeout)
	for {
		f, err := openRegular(s.path, o.ReadOnly)
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err == nil {
			err = s.judgeFile(f, info, o)
		}
		if err == nil {
			err = lock(f, !o.ReadOnly, deadline)
		}
		if err != nil {
			return errors.Join(err, f.Close())
		}
		now, err := osfs.LookAt(s.path)
		if err == nil && os.SameFile(info, now) {
			s.file, s.identity = f, info
			return nil
		}
		if err := f.Close(); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return &store.Error{Kind: store.ErrLocked, Err: errors.New("the file is being replaced again and again")}
		}
	}
}

// openBolt checks the file and gives it to bbolt.
func (s *Store) openBolt(o *Options) error {
	names, err := s.checkFile(o)
	if err != nil {
		return err
	}
	given := false
	err = guard(func() (err error) {
		s.db, err = bolt.Open(s.path, 0o600, &bolt.Options{
			ReadOnly:        o.ReadOnly,
			Timeout:         o.LockTimeout,
			NoSync:          mutant == "nosync",
			InitialMmapSize: initialMapping,
			OpenFile: func(path string, flag int, mode os.FileMode) (*os.File, error) {
				if given {
					return nil, errors.New("bbolt opens the file a second time")
				}
				given = true
				return s.file, nil
			},
		})
		return err
	})
	if err != nil {
		return err
	}
	err = guard(func() error {
		return s.db.View(func(tx *bolt.Tx) error {
			version, err := checkFormat(tx)
			if err != nil {
				return err
			}
			s.format.Store(version)
			s.durable.Store(int64(tx.ID()))
			if s.base, err = readBase(tx.Bucket([]byte(bookkeeping)).Get([]byte(keyBase))); err != nil {
				return err
			}
			s.highest = s.numberOf(int64(tx.ID()))
			record, err := readRecord(tx)
			if err == nil {
				err = record.compare(names)
			}
			s.recordErr = err
			return nil
		})
	})
	if err != nil {
		if panicked(err) {
			return err
		}
		return errors.Join(err, guard(s.db.Close))
	}
	return nil
}

// allocSize is the step by which a file grows, once it is larger than that; a
// smaller one is doubled.
const allocSize = 1 << 20

// initialMapping is address space, not memory. When a file outgrows its mapping
// bbolt waits for all readers and copies what the transaction has changed so far,
// which made an import a fifth slower. On Windows the file itself would grow to
// that size.
var initialMapping = func() int {
	if runtime.GOOS == "windows" || bits.UintSize == 32 {
		return 0
	}
	return 256 << 20
}()

// checkFile reads what all Pods have in common, to write also where each page
// belongs, or everything, before bbolt maps the file, and returns the Pod names it
// found.
func (s *Store) checkFile(o *Options) (names nameRecord, _ error) {
	info, err := s.file.Stat()
	if err != nil {
		return names, err
	}
	bf, err := boltfile.Open(s.file, info.Size())
	if err != nil {
		return names, fileError(err)
	}
	report := bf.WalkTop(func(name []byte, damage error) {
		if damage != nil {
			s.broken[string(name)] = damage
		}
		if string(name) != bookkeeping {
			names.add(name)
		}
	})
	if damage := s.broken[bookkeeping]; damage != nil {
		return names, fileError(damage)
	}
	if o.FullCheck && len(report.Problems) == 0 {
		if report, err = bf.Walk(func(*boltfile.Bucket) error { return nil }); err != nil {
			return names, err
		}
	}
	if len(report.Problems) > 0 {
		return names, fileError(&report.Problems[0])
	}
	if o.ReadOnly || mutant == "noowners" {
		return names, nil
	}
	if err := s.checkOwners(bf); err != nil {
		return names, fileError(err)
	}
	return names, nil
}

// checkOwners looks for pages that are in use twice, or in use and free. Where a
// pointer of a Pod was damaged, that Pod is not whole: bbolt must not enter it, or
// it would free or overwrite the pages of others. A Pod that is whole although a
// page of it is free means that the freelist was damaged, and then any commit
// might overwrite what is in use.
func (s *Store) checkOwners(bf *boltfile.File) error {
	var inUse error
	err := bf.Shared(func(b *boltfile.Bucket, free bool) {
		name := string(b.Name)
		_, damage := wholePod(b)
		if damage == nil && len(b.Values) == 0 {
			damage = errors.New("a Pod with nothing in it has no pages")
		}
		switch {
		case damage != nil && name != bookkeeping:
			s.broken[name] = fmt.Errorf("it points to pages that are not its own: %w", damage)
		case free:
			inUse = fmt.Errorf("a page of %q is also free", name)
		}
	})
	if err != nil {
		return err
	}
	return inUse
}

// checkFormat reads the format version, and refuses what this version does not know.
func checkFormat(tx *bolt.Tx) (int64, error) {
	b := tx.Bucket([]byte(bookkeeping))
	if b == nil {
		return 0, &store.Error{Kind: store.ErrFormat, Err: errors.New("this is a bbolt file, but not a podstore database")}
	}
	version, err := parseFormat(b.Get([]byte(keyFormat)))
	if err != nil {
		return 0, err
	}
	return version, b.ForEach(func(k, v []byte) error { return knownRecord(string(k), v) })
}

// knownRecord is an error for a record of the bookkeeping that this version does not
// know: one whose checksum is right was written by a newer version, the other may have
// been one that is missed.
func knownRecord(key string, value []byte) error {
	switch key {
	case keyBase, keyDeletions, keyFormat, keyNames:
		return nil
	}
	if _, ok := unsealBook(key, value); ok {
		return &store.Error{Kind: store.ErrFormat, Err: fmt.Errorf("the file has a record %.32q, which was written by a newer version; use a newer podstore", key)}
	}
	return &store.Error{Kind: store.ErrCorrupt, Err: fmt.Errorf("the bookkeeping has an unexpected record %.32q; %s", key, adviceSalvage)}
}

// parseFormat reads the format version, and fails where this version cannot read
// the file.
func parseFormat(value []byte) (int64, error) {
	payload, ok := unsealBook(keyFormat, value)
	if !ok {
		return 0, &store.Error{Kind: store.ErrCorrupt, Err: errors.New("the format version is damaged; " + adviceSalvage)}
	}
	n, err := codec.DecodeUints(payload, 0)
	if err != nil {
		return 0, &store.Error{Kind: store.ErrCorrupt, Err: fmt.Errorf("the format version: %w", err)}
	}
	if n[0] < oldestFormat || n[0] > formatVersion {
		return 0, &store.Error{Kind: store.ErrFormat, Err: fmt.Errorf("the file has format version %d, this program reads versions %d to %d; use a newer podstore", n[0], oldestFormat, formatVersion)}
	}
	return int64(n[0]), nil
}

// readBase reads what revision numbers are counted from.
func readBase(value []byte) (uint64, error) {
	if value == nil {
		return 0, nil
	}
	payload, ok := unsealBook(keyBase, value)
	n := []uint64{0}
	err := errors.New("its checksum does not match")
	if ok {
		n, err = codec.DecodeUints(payload, 0)
	}
	if err != nil {
		return 0, &store.Error{Kind: store.ErrCorrupt, Err: fmt.Errorf("the base of revision numbers is damaged: %w; %s", err, adviceSalvage)}
	}
	return n[0], nil
}
