package jsonlstore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"podstore/store"
)

// gates let one goroutine of this process at a time work on a file, in the
// order in which they came. Without them goroutines would compete for the file
// lock by polling.
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
	users int // who hold it or wait for it
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

// Other processes hold a lock for one append, so it is tried again soon; a
// replacement of a large segment takes longer.
const (
	firstRetry = time.Millisecond
	lastRetry  = 16 * time.Millisecond
)

// waitLock calls try until it has taken a lock. There is no system call that
// waits for a lock and for a context, so it polls.
func waitLock(ctx context.Context, try func() (bool, error)) error {
	var timer *time.Timer
	for retry := firstRetry; ; retry = min(2*retry, lastRetry) {
		if ok, err := try(); ok || err != nil {
			return err
		}
		if timer == nil {
			timer = time.NewTimer(retry)
			defer timer.Stop()
		} else {
			timer.Reset(retry)
		}
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// openLocked opens a file of a session and locks it, exclusively for appending
// and shared for reading. A file or a session that was replaced or deleted while
// it waited is given up for what stands there now. The caller has the file's gate
// and closes both.
func (s *Store) openLocked(ctx context.Context, t target, appending bool) (*dir, *os.File, error) {
	for {
		d, err := openSession(s.sessionPath(t.session))
		if err != nil {
			return nil, nil, err
		}
		f, err := d.open(t.name, appending)
		if err != nil {
			d.close()
			return nil, nil, err
		}
		current, err := lockCurrent(ctx, t.path(), f, appending)
		if current {
			return d, f, nil
		}
		f.Close()
		d.close()
		if err != nil {
			return nil, nil, err
		}
	}
}

// openLockedIn opens and locks a file for changing it. The caller has the
// directory locked, so that nothing can take the file's place.
func openLockedIn(ctx context.Context, d *dir, name string) (*os.File, error) {
	f, err := d.open(name, true)
	if err != nil {
		return nil, err
	}
	if err := waitLock(ctx, func() (bool, error) { return tryLock(f, true) }); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// lockCurrent locks an open file and reports whether it is still the one at
// path. Links on the way do not matter: no other file is the same one.
func lockCurrent(ctx context.Context, path string, f *os.File, exclusive bool) (bool, error) {
	if err := waitLock(ctx, func() (bool, error) { return tryLock(f, exclusive) }); err != nil {
		return false, err
	}
	return isAt(path, int(f.Fd()))
}

// lockSession opens a session's directory, which it makes if create is set, and
// takes the lock under which its files are created and replaced and it is
// deleted. The lock is taken after the gate of a file and before the file's own
// lock. The returned function releases it and closes the directory.
func (s *Store) lockSession(ctx context.Context, t target, create bool) (d *dir, release func(), err error) {
	leave, err := s.gates.enter(ctx, gateKey{session: t.session})
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			leave()
		}
	}()
	path := s.sessionPath(t.session)
	for {
		d, err := openSession(path)
		if create && errors.Is(err, fs.ErrNotExist) {
			if err = s.makeDir(path); err == nil {
				d, err = openSession(path)
			}
			if errors.Is(err, fs.ErrNotExist) && ctx.Err() == nil {
				continue // deleted at once by another process
			}
		}
		if err != nil {
			return nil, nil, err
		}
		err = waitLock(ctx, d.tryLock)
		current := false
		if err == nil {
			current, err = isAt(path, d.fd)
		}
		if current {
			return d, func() { d.unlock(); d.close(); leave() }, nil
		}
		d.close()
		if err != nil {
			return nil, nil, err
		}
	}
}
