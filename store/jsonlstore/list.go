package jsonlstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"podstore/store"
	"podstore/store/internal/osfs"
)

// ListSessions implements [store.SessionLog]. A session is a directory that is
// named by a UUID in lower case, even if it is still empty.
func (s *Store) ListSessions(ctx context.Context) ([]store.SessionID, error) {
	fail := func(err error) ([]store.SessionID, error) {
		return nil, &store.Error{Op: "list sessions", Path: s.root, Kind: kindOf(err), Err: stripPath(err)}
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	d, err := osfs.OpenRoot(s.root)
	if err != nil {
		return fail(err)
	}
	defer d.Close()
	entries, err := d.Entries(s.root)
	if err != nil {
		return fail(err)
	}
	var ids []store.SessionID
	for _, e := range entries {
		if id, ok := sessionNamed(e.Name()); ok && e.IsDir() {
			ids = append(ids, id)
		}
	}
	newestFirst(ids)
	if err := refuseAggregate(d, ids); err != nil {
		return fail(err)
	}
	return ids, nil
}

// ListSegments implements [store.SessionLog].
func (s *Store) ListSegments(ctx context.Context, session store.SessionID) ([]store.SegmentID, error) {
	t := s.target("list segments", session, "")
	if err := ctx.Err(); err != nil {
		return nil, t.fail(err)
	}
	d, err := openSession(t.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, t.fail(err)
	}
	defer d.Close()
	entries, err := d.Entries(t.path())
	if err != nil {
		return nil, t.fail(err)
	}
	var ids []store.SegmentID
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), logSuffix)
		if id, isID := sessionNamed(name); ok && isID && e.Type().IsRegular() {
			ids = append(ids, store.SegmentID(id))
		}
	}
	newestFirst(ids)
	return ids, nil
}

// SessionOf implements [store.SessionLog]. It reads no log: it looks for the
// segment's file in each session's directory, first in the session that was the newest
// when the segment was made.
func (s *Store) SessionOf(ctx context.Context, segment store.SegmentID) (store.SessionID, error) {
	name := logName(segment)
	fail := func(kind, err error) (store.SessionID, error) {
		return store.SessionID{}, &store.Error{Op: "look up session of segment " + segment.String(), Path: s.root, Kind: kind, Err: err}
	}
	if err := ctx.Err(); err != nil {
		return fail(nil, err)
	}
	d, err := osfs.OpenRoot(s.root)
	if err != nil {
		return fail(kindOf(err), stripPath(err))
	}
	defer d.Close()
	names, err := d.Names()
	if err != nil {
		return fail(kindOf(err), stripPath(err))
	}
	ids := make([]store.SessionID, 0, len(names))
	for _, n := range names {
		if id, ok := sessionNamed(n); ok {
			ids = append(ids, id)
		}
	}
	newestFirst(ids)
	first, _ := slices.BinarySearchFunc(ids, segment, func(id store.SessionID, segment store.SegmentID) int {
		return bytes.Compare(segment[:], id[:])
	})
	var unread error
	for i := range ids {
		if err := ctx.Err(); err != nil {
			return fail(nil, err)
		}
		id := ids[(first+i)%len(ids)]
		found, err := isFile(d, id.String()+"/"+name)
		if err == nil && !found {
			continue
		}
		if err == nil {
			// The session itself must not be a link.
			var session osfs.Dir
			if session, err = openSession(s.sessionPath(id)); err == nil {
				session.Close()
				return id, nil
			}
		}
		if !errors.As(err, new(*osfs.NotA)) && unread == nil {
			unread = err
		}
	}
	if unread == nil {
		unread = refuseAggregate(d, ids)
	}
	if unread != nil {
		return fail(kindOf(unread), stripPath(unread))
	}
	return fail(store.ErrNotFound, errors.New("no session has it"))
}

// Exists implements [store.SessionLog].
func (s *Store) Exists(ctx context.Context, session store.SessionID, segment store.SegmentID) (bool, error) {
	t := s.target("look for segment", session, logName(segment))
	if err := ctx.Err(); err != nil {
		return false, t.fail(err)
	}
	d, err := openSession(s.sessionPath(session))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, t.fail(err)
	}
	defer d.Close()
	found, err := isFile(d, t.name)
	return found, t.fail(err)
}

// SessionModified implements [store.SessionLog]. It returns the newest modification time
// of the session's files, or that of its directory if it has none.
func (s *Store) SessionModified(ctx context.Context, session store.SessionID) (time.Time, error) {
	t := s.target("look at session", session, "")
	fail := func(err error) (time.Time, error) {
		if errors.Is(err, fs.ErrNotExist) {
			return time.Time{}, &store.Error{Op: t.op, Path: t.path(), Kind: store.ErrNotFound, Err: errors.New("there is no such session")}
		}
		return time.Time{}, t.fail(err)
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	d, err := openSession(t.path())
	if err != nil {
		return fail(err)
	}
	defer d.Close()
	entries, err := d.Entries(t.path())
	if err != nil {
		return fail(err)
	}
	var newest time.Time
	for _, e := range entries {
		if !isLogName(e.Name()) || !e.Type().IsRegular() {
			continue
		}
		st, err := d.Stat(e.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile, or about to be
		}
		if err != nil {
			return fail(err)
		}
		if st.Modified.After(newest) {
			newest = st.Modified
		}
	}
	if newest.IsZero() {
		st, err := d.Stat(".")
		if err != nil {
			return fail(err)
		}
		newest = st.Modified
	}
	return newest, nil
}

// refuseAggregate refuses a root in which one of the directories is no session
// but a worker of the aggregate layout.
func refuseAggregate(d osfs.Dir, ids []store.SessionID) error {
	for _, id := range ids {
		aggregate, err := isDir(d, id.String()+"/"+aggregateSession)
		if err != nil {
			return err
		}
		if aggregate {
			return fmt.Errorf("%v: %w", id, errAggregate)
		}
	}
	return nil
}

// sessionNamed parses a UUID in lower case with hyphens. In another form, methods would
// not find the file again.
func sessionNamed(name string) (id store.SessionID, ok bool) {
	if len(name) != 36 || strings.ToLower(name) != name {
		return id, false
	}
	id, err := store.ParseSessionID(name)
	return id, err == nil
}

func newestFirst[ID ~[16]byte](ids []ID) {
	slices.SortFunc(ids, func(a, b ID) int { return bytes.Compare(b[:], a[:]) })
}
