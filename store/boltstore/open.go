package boltstore

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
	"podstore/store/boltstore/internal/boltfile"
	"podstore/store/internal/codec"
	"podstore/store/internal/osfs"
)

// Open opens the database file at path. If it does not exist, Open creates it with mode
// 0600, along with missing parent directories with mode 0700, whatever the umask. If root
// creates them, they get the owner of the parent directory. Creating is atomic: after a
// crash the whole file is there, or nothing.
//
// Open does not follow path if its last component is a symbolic link. It refuses, with
// store.ErrInvalid, a file that is not regular, that belongs to another user (unless
// that is root, or root opens it), or that others may write. For a file that its group
// may write, it logs a warning.
//
// Errors: store.ErrLocked if another handle, in this process or another, still has the
// file open after LockTimeout; store.ErrFormat if it is not a podstore database, or has a
// newer format; store.ErrCorrupt if damage hits what all Pods depend on (Salvage copies
// the undamaged Pods); store.ErrNotFound if the file does not exist and Open must not
// create it.
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
		// A process may have created, renamed or committed to the file and died before
		// its sync. Without this sync, a loss of power could take back what is read
		// from now on.
		if err := errors.Join(s.file.Sync(), osfs.SyncNames(filepath.Dir(s.path))); err != nil {
			if created {
				s.removeCreated()
			}
			return errors.Join(err, s.file.Close())
		}
	}
	if err := s.openBolt(o); err != nil {
		// If bbolt.Open returned an error, it closed the file. If it panicked, it did
		// not, and its mapping would keep the lock alive after the descriptor.
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

// checkFile checks the file before bbolt maps it, and returns the Pod names in it. It
// reads what all Pods share and, for writing, which page belongs to whom. With
// FullCheck it reads everything.
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

// checkOwners looks for pages that are in use twice, or in use and free. If a Pod on
// such a page is damaged, its pointer is wrong: bbolt must not enter that Pod, or it
// would free or overwrite the pages of others. If the Pod is whole and its page is
// free, the freelist is damaged, and any commit might overwrite what is in use.
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
