package boltstore

import (
	"fmt"

	"podstore/store"
)

// poison makes the handle unusable for good, because of cause. With abandon, bbolt's
// own state cannot be trusted either: nothing ever calls it again, not even to close.
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
	s.idle.Broadcast() // so that nobody waits for a leader that bbolt may keep for ever
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

// transact begins a transaction, or ends one for reading. If bbolt panics in this, for
// example because another process cut the file short, it keeps locks that every other
// beginning and end would wait for. So they come one at a time, and none after such a
// panic.
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
