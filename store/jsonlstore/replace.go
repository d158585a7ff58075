package jsonlstore

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"

	"podstore/store"
	"podstore/store/internal/osfs"
)

// CreateSegment implements [store.SessionLog]. Readers see the old segment or the new one,
// even after a crash. A crash may also leave a temporary file, which the next
// CreateSegment or Truncate of the segment removes.
func (s *Store) CreateSegment(ctx context.Context, session store.SessionID, segment store.SegmentID, entries []json.RawMessage) error {
	t := s.target("create segment", session, logName(segment))
	if err := t.writable(ctx); err != nil {
		return err
	}
	var content []byte
	for _, entry := range entries {
		var err error
		if content, err = t.encode(content, entry); err != nil {
			return err
		}
	}
	return t.fail(s.replace(ctx, t, true, func(d osfs.Dir, _ *os.File) error {
		return s.put(t, d, func(w *os.File) error {
			_, err := w.Write(content)
			return err
		})
	}))
}

// Truncate implements [store.SessionLog]. It copies what is kept to a new file, byte for
// byte. So readers of the old file are not disturbed, and the disk must have room for
// both.
func (s *Store) Truncate(ctx context.Context, session store.SessionID, segment store.SegmentID, entries int) error {
	t := s.target("truncate", session, logName(segment))
	if err := t.writable(ctx); err != nil {
		return err
	}
	if entries < 0 {
		return t.invalid("cannot keep %d entries", entries)
	}
	return t.fail(s.replace(ctx, t, false, func(d osfs.Dir, old *os.File) error {
		st, err := osfs.Stat(old)
		if err != nil {
			return err
		}
		committed, err := committedLen(old, st.Size)
		if err != nil {
			return err
		}
		_, end, more, err := scanEntries(ctx, io.NewSectionReader(old, 0, committed), entries)
		if err != nil || !more {
			return err
		}
		return s.put(t, d, func(w *os.File) error {
			_, err := io.CopyN(w, old, end) // nothing has moved its offset from 0
			return err
		})
	}))
}

// replace calls do with a file that is locked against every change of its name and its
// content. If the file does not exist, do gets nil if create is set, and is not called
// otherwise.
func (s *Store) replace(ctx context.Context, t target, create bool, do func(d osfs.Dir, old *os.File) error) error {
	leave, err := s.gates.enter(ctx, t.gate())
	if err != nil {
		return err
	}
	defer leave()
	if f := s.kept.take(t.gate()); f != nil {
		f.Close()
	}
	d, release, err := s.lockSession(ctx, t, create)
	if err != nil {
		return err
	}
	defer release()
	old, err := openLockedIn(ctx, d, t.name)
	switch {
	case err == nil:
		defer old.Close()
	case !create || !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return do(d, old)
}

// put writes a new file, in place of one that exists. The caller must hold the
// directory's lock.
func (s *Store) put(t target, d osfs.Dir, write func(*os.File) error) error {
	f, err := d.Publish("."+t.name+tempSuffix, t.name, true, func(f *os.File) error {
		// Nobody may add to the new file before its name is on the disk.
		if _, err := osfs.TryLock(f, true); err != nil {
			return err
		}
		// It may have the inode number of a file that was here before.
		s.undone.forget(t.gate())
		s.named.forget(t.gate())
		return write(f)
	})
	if err != nil {
		return err
	}
	defer f.Close()
	return s.syncName(t, d, f)
}

const tempSuffix = ".tmp"
