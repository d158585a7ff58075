package jsonlstore

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"

	"podstore/store"
)

// CreateSegment implements [store.SessionLog]. Readers see the old segment or
// the new one; a crash leaves one of them, and perhaps a file {segment}.jsonl.tmp
// with a dot before its name, which the next CreateSegment or Truncate removes.
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
	r, err := s.startReplacing(ctx, t, true)
	if err != nil {
		return t.fail(err)
	}
	defer r.close()
	return t.fail(r.put(func(w *os.File) error {
		_, err := w.Write(content)
		return err
	}))
}

// Truncate implements [store.SessionLog]. What is kept is copied to a new file,
// byte for byte, so a reader of the old one is not disturbed and the disk must
// have room for both.
func (s *Store) Truncate(ctx context.Context, session store.SessionID, segment store.SegmentID, entries int) error {
	t := s.target("truncate", session, logName(segment))
	if err := t.writable(ctx); err != nil {
		return err
	}
	if entries < 0 {
		return t.invalid("cannot keep %d entries", entries)
	}
	r, err := s.startReplacing(ctx, t, false)
	if err != nil {
		return t.fail(err)
	}
	defer r.close()
	_, size, err := identify(r.old)
	if err != nil {
		return t.fail(err)
	}
	committed, err := committedLen(r.old, size)
	if err != nil {
		return t.fail(err)
	}
	_, end, more, err := scanEntries(ctx, io.NewSectionReader(r.old, 0, committed), entries)
	if err != nil || !more {
		return t.fail(err)
	}
	return t.fail(r.put(func(w *os.File) error {
		_, err := io.CopyN(w, r.old, end) // nothing has moved its offset from 0
		return err
	}))
}

// replacement is a file about to be replaced, locked against every other change
// of its name and its content.
type replacement struct {
	target
	dir     *dir
	old     *os.File // nil if there is none
	release func()
	leave   func()
}

// startReplacing locks a file for replacement. One that does not exist is an
// error unless create is set.
func (s *Store) startReplacing(ctx context.Context, t target, create bool) (_ *replacement, err error) {
	r := &replacement{target: t}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if r.leave, err = s.gates.enter(ctx, t.gate()); err != nil {
		return nil, err
	}
	if create {
		r.dir, err = s.openSession(t.session)
	} else {
		r.dir, err = openDir(s.sessionPath(t.session))
	}
	if err != nil {
		return nil, err
	}
	if r.release, err = s.lockDir(ctx, t, r.dir); err != nil {
		return nil, err
	}
	r.old, err = openLocked(ctx, r.dir, t.name, true)
	if create && errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return r, err
}

func (r *replacement) close() {
	if r.old != nil {
		r.old.Close()
	}
	if r.release != nil {
		r.release()
	}
	if r.dir != nil {
		r.dir.close()
	}
	if r.leave != nil {
		r.leave()
	}
}

// put writes a new file and puts it in the place of the old one.
func (r *replacement) put(write func(*os.File) error) error {
	temp := "." + r.name + tempSuffix
	if err := r.dir.remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := r.dir.create(temp)
	if err != nil {
		return err
	}
	defer f.Close()
	// Nobody may add to the new file before its name is on the disk.
	if _, err = tryLock(f, true); err == nil {
		err = write(f)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = r.dir.rename(temp, r.name)
	}
	if err != nil {
		r.dir.remove(temp)
		return err
	}
	s := r.store
	s.undone.forget(r.gate())
	if !s.sync {
		return nil
	}
	if err := s.syncDirs(r.dir); err != nil {
		if _, size, err := identify(f); err == nil {
			s.undone.remember(r.gate(), f, size)
		}
		return err
	}
	return nil
}

const tempSuffix = ".tmp"
