package jsonlstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"podstore/store"
	"podstore/store/internal/osfs"
)

// A session that is being deleted has this name, with its own in the middle, so
// that it is gone at once whatever becomes of its files.
const (
	deletedPrefix = "."
	deletedSuffix = ".deleted"
)

func deletedName(session store.SessionID) string {
	return deletedPrefix + session.String() + deletedSuffix
}

// DeleteSession implements [store.SessionLog]. The session goes at once: its
// directory gets another name, which is durable before the first file is removed.
// A deletion that was interrupted after that leaves files in a directory
// {root}/.{session}.deleted, which the first DeleteSession of a Store removes. A
// session whose directory holds anything but segments and traces is refused with
// store.ErrInvalid, and keeps all of them.
//
// The disk space of a segment to which another process appended is free when that
// process has closed it.
func (s *Store) DeleteSession(ctx context.Context, session store.SessionID) error {
	t := s.target("delete session", session, "")
	if err := t.writable(ctx); err != nil {
		return err
	}
	return t.fail(s.deleteSession(ctx, t))
}

func (s *Store) deleteSession(ctx context.Context, t target) error {
	root, err := osfs.OpenRoot(s.root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	name := deletedName(t.session)
	d, release, err := s.lockSession(ctx, t, false)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// Another process may have renamed it and been killed before it synced.
		if s.sync {
			if err := root.Sync(); err != nil {
				return err
			}
		}
	case err != nil:
		return err
	default:
		err := t.onlySegments(d)
		if err == nil {
			err = root.Rename(t.session.String(), name)
		}
		if osfs.IsNotEmpty(err) { // an earlier deletion was interrupted
			if err = removeDeleted(root, name); err == nil {
				err = root.Rename(t.session.String(), name)
			}
		}
		release()
		if err != nil {
			return err
		}
		s.forget(t.session)
		if err := removeDeleted(root, name); err != nil {
			s.swept.Store(false)
			return fmt.Errorf("the session is deleted, but not what is left of it: %w", err)
		}
	}
	return s.sweep(root)
}

// onlySegments refuses a session that holds what is no part of a session log.
func (t target) onlySegments(d osfs.Dir) error {
	entries, err := d.Entries(t.path())
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !isLogName(e.Name()) && !isTempName(e.Name()) {
			return t.invalid("it holds %q, which is no segment and no trace; nothing was deleted: move that away first", e.Name())
		}
	}
	return nil
}

// removeDeleted removes a renamed session. Others may do so at the same time, or
// put another one of that name in its place.
func removeDeleted(root osfs.Dir, name string) error {
	for {
		d, err := root.Sub(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		names, err := d.Names()
		if err == nil {
			// The name must be on the disk before any file goes: otherwise a loss of
			// power could bring the session back without that file.
			err = root.Sync()
		}
		removed := 0
		for _, file := range names {
			if err != nil || !isLogName(file) && !isTempName(file) {
				continue
			}
			if err = d.Remove(file); err == nil {
				removed++
			} else if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
		}
		d.Close()
		if err == nil {
			err = root.RemoveDir(name)
		}
		switch {
		case err == nil || errors.Is(err, fs.ErrNotExist):
			return nil
		case osfs.IsNotEmpty(err) && removed > 0:
			continue
		}
		return fmt.Errorf("removing %s: %w", name, err)
	}
}

// sweep removes what interrupted deletions have left, once for each Store: to
// look for it takes as long as to list all sessions.
func (s *Store) sweep(root osfs.Dir) error {
	if s.swept.Load() {
		return nil
	}
	names, err := root.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		id, dot := strings.CutPrefix(name, deletedPrefix)
		id, deleted := strings.CutSuffix(id, deletedSuffix)
		if _, isID := sessionNamed(id); dot && deleted && isID {
			if err := removeDeleted(root, name); err != nil {
				return err
			}
		}
	}
	s.swept.Store(true)
	return nil
}

// forget drops what the Store knows of a session's files.
func (s *Store) forget(session store.SessionID) {
	s.kept.forget(session)
	s.named.forgetSession(session)
	s.undone.forgetSession(session)
}
