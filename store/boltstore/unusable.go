package boltstore

import (
	"fmt"

	"podstore/store"
)

// poison makes the handle unusable because of cause, for good. With abandon,
// bbolt's own state cannot be trusted either and it is never called again, not
// even to close.
func (s *Store) poison(cause error, abandon bool) {
	if mutant == "nopoison" {
		return
	}
	if s.cause.CompareAndSwap(nil, &cause) {
		s.log.Error("podstore: handle is unusable, close it and open the store again", "path", s.path, "cause", cause)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if abandon && !s.abandoned.Swap(true) {
		close(s.gone)
	}
	s.changes.wake()
	s.idle.Broadcast() // nobody waits for a leader that bbolt may keep for ever
}

// usable returns ErrUnusable or ErrClosed, or nil.
func (s *Store) usable(op, pod string) error {
	if s.closed.Load() {
		return &store.Error{Op: op, Pod: pod, Path: s.path, Kind: store.ErrClosed}
	}
	if cause := s.cause.Load(); cause != nil {
		return s.unusable(op, pod, *cause)
	}
	return nil
}

func (s *Store) unusable(op, pod string, cause error) error {
	return &store.Error{Op: op, Pod: pod, Path: s.path, Kind: store.ErrUnusable,
		Err: fmt.Errorf("close it and open the store again; it failed with: %w", cause)}
}

// transact begins a transaction, or ends one for reading. When bbolt panics in
// this, as where the file was cut short under it, it keeps locks that every other
// beginning and end would wait for: so they come one at a time, and none after
// that.
func (s *Store) transact(f func() error) error {
	s.txMu.Lock()
	defer s.txMu.Unlock()
	return s.transactLocked(f)
}

func (s *Store) transactLocked(f func() error) error {
	if s.abandoned.Load() {
		return *s.cause.Load()
	}
	err := guard(f)
	if panicked(err) {
		s.poison(err, true)
	}
	return err
}
