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

// A session is renamed before its files are removed, to its name between these two. So it
// is gone at once, whatever happens to its files.
const (
	deletedPrefix = "."
	deletedSuffix = ".deleted"
)

func deletedName(session store.SessionID) string {
	return deletedPrefix + session.String() + deletedSuffix
}

// DeleteSession implements [store.SessionLog]. The session is gone at once: its directory
// is renamed, and that is durable before the first file is removed. If it is interrupted
// after that, files are left in {root}/.{session}.deleted. The first DeleteSession of
// each Store removes such directories. A session whose directory holds anything but
// segments and traces is refused with store.ErrInvalid, and nothing is removed.
//
// If another process has a segment open for appending, its disk space is free when that
// process closes it.
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

// onlySegments refuses a session whose directory holds anything but its log.
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

// removeDeleted removes a renamed session. Other processes may remove it at the same time,
// or rename another session to the same name.
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

// sweep removes what interrupted deletions left. It runs once for each Store, because it
// takes as long as listing all sessions.
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

// forget drops all that the Store has recorded about a session's files.
func (s *Store) forget(session store.SessionID) {
	s.kept.forget(session)
	s.named.forgetSession(session)
	s.undone.forgetSession(session)
}
