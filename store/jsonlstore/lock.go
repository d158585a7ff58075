package jsonlstore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"

	"podstore/store"
	"podstore/store/internal/osfs"
)

// gates let one goroutine of this process at a time work on a file, in the order in
// which they came. Without gates, goroutines would poll for the file lock.
type gates struct {
	mu   sync.Mutex
	open map[gateKey]*gate
}

// gateKey names one file of a session, or with name "" its directory.
type gateKey struct {
	session store.SessionID
	name    string
}

type gate struct {
	sem   chan struct{}
	users int // goroutines that hold it or wait for it
}

// enter waits until the caller has the gate to itself. The returned function
// leaves it.
func (g *gates) enter(ctx context.Context, key gateKey) (leave func(), err error) {
	g.mu.Lock()
	at := g.open[key]
	if at == nil {
		if g.open == nil {
			g.open = make(map[gateKey]*gate)
		}
		at = &gate{sem: make(chan struct{}, 1)}
		g.open[key] = at
	}
	at.users++
	g.mu.Unlock()

	forget := func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if at.users--; at.users == 0 {
			delete(g.open, key)
		}
	}
	select {
	case at.sem <- struct{}{}:
		return func() { <-at.sem; forget() }, nil
	case <-ctx.Done():
		forget()
		return nil, ctx.Err()
	}
}

// openLocked opens a file of a session and locks it, exclusively for appending
// and shared for reading. If the file or the session was replaced or deleted while it
// waited, it opens the new one. The caller must hold the file's gate, and closes both.
func (s *Store) openLocked(ctx context.Context, t target, appending bool) (d osfs.Dir, f *os.File, err error) {
	flags := os.O_RDONLY
	if appending {
		flags = changing
	}
	for {
		if d, err = openSession(s.sessionPath(t.session)); err != nil {
			return d, nil, err
		}
		if f, err = d.OpenFile(t.name, flags); err != nil {
			d.Close()
			return d, nil, err
		}
		current, err := lockCurrent(ctx, t.path(), f, appending)
		if current {
			return d, f, nil
		}
		f.Close()
		d.Close()
		if err != nil {
			return d, nil, err
		}
	}
}

// changing are the flags for opening a file to change it.
const changing = os.O_RDWR | os.O_APPEND

// openLockedIn opens a file to change it, and locks it. The caller must hold the
// directory's lock, so that nothing can replace the file.
func openLockedIn(ctx context.Context, d osfs.Dir, name string) (*os.File, error) {
	f, err := d.OpenFile(name, changing)
	if err != nil {
		return nil, err
	}
	if err := osfs.Lock(ctx, f, true); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// lockCurrent locks an open file and reports whether it is still the one at path. Links
// in the path do not matter: it compares the identity of the file.
func lockCurrent(ctx context.Context, path string, f *os.File, exclusive bool) (bool, error) {
	if err := osfs.Lock(ctx, f, exclusive); err != nil {
		return false, err
	}
	st, err := osfs.Stat(f)
	if err != nil {
		return false, err
	}
	return osfs.IsAt(path, st.ID)
}

// lockSession opens a session's directory, which it makes if create is set, and locks it.
// That lock is needed to create or replace a file of the session, and to delete it. To
// avoid deadlocks, take it after the gate of a file and before the file's own lock. The
// returned function releases it and closes the directory.
func (s *Store) lockSession(ctx context.Context, t target, create bool) (d osfs.Dir, release func(), err error) {
	leave, err := s.gates.enter(ctx, gateKey{session: t.session})
	if err != nil {
		return d, nil, err
	}
	defer func() {
		if err != nil {
			leave()
		}
	}()
	path := s.sessionPath(t.session)
	for {
		d, err = openSession(path)
		if create && errors.Is(err, fs.ErrNotExist) {
			if err = osfs.MkdirAll(path, s.sync); err == nil {
				d, err = openSession(path)
			}
			if errors.Is(err, fs.ErrNotExist) && ctx.Err() == nil {
				continue // deleted at once by another process
			}
		}
		if err != nil {
			return d, nil, err
		}
		current := false
		if err = d.Lock(ctx); err == nil {
			var st osfs.State
			if st, err = d.Stat("."); err == nil {
				current, err = osfs.IsAt(path, st.ID)
			}
		}
		if current {
			return d, func() { _ = d.Unlock(); d.Close(); leave() }, nil
		}
		d.Close()
		if err != nil {
			return d, nil, err
		}
	}
}
