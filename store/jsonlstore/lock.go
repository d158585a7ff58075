package jsonlstore

import (
	"context"
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
// and shared for reading. A file that was replaced while it waited is given up
// for the one that took its place. The caller has the file's gate.
func openLocked(ctx context.Context, d *dir, t target, appending bool) (*os.File, error) {
	for {
		f, err := d.open(t.name, appending)
		if err != nil {
			return nil, err
		}
		current, err := lockCurrent(ctx, t.path(), f, appending)
		if current {
			return f, nil
		}
		f.Close()
		if err != nil {
			return nil, err
		}
	}
}

// lockCurrent locks an open file and reports whether it is still the one at
// path. Links on the way do not matter: no other file is the same one.
func lockCurrent(ctx context.Context, path string, f *os.File, exclusive bool) (bool, error) {
	if err := waitLock(ctx, func() (bool, error) { return tryLock(f, exclusive) }); err != nil {
		return false, err
	}
	return isAt(path, f)
}

// lockDir takes the lock under which files of a session are created and
// replaced. It is taken after the gate of the file in question and before the
// file's own lock. The returned function releases it.
func (s *Store) lockDir(ctx context.Context, t target, d *dir) (release func(), err error) {
	leave, err := s.gates.enter(ctx, gateKey{session: t.session})
	if err != nil {
		return nil, err
	}
	if err := waitLock(ctx, d.tryLock); err != nil {
		leave()
		return nil, err
	}
	return func() { d.unlock(); leave() }, nil
}
