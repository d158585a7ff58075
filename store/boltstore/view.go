package boltstore

import (
	"cmp"

	bolt "go.etcd.io/bbolt"
)

// view runs f in a read transaction. f must not run the caller's code.
func (s *Store) view(op, pod string, f func(tx *bolt.Tx) error) error {
	s.mu.Lock()
	err := s.usable(op, pod)
	if err == nil {
		s.views++
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	defer s.endedView()
	var tx *bolt.Tx
	err = s.transact(func() (err error) {
		tx, err = s.db.Begin(false)
		return err
	})
	if err == nil {
		s.waitDurable(int64(tx.ID()))
		err = guard(func() error { return f(tx) })
		err = cmp.Or(err, s.endView(tx))
	}
	if cause := s.cause.Load(); cause != nil {
		return s.unusable(op, pod, *cause)
	}
	return err
}

// waitDurable waits until a transaction that a reader sees is durable. bbolt shows a
// commit once its meta page is written, before the last sync returns. A loss of power
// then would take back what was read.
func (s *Store) waitDurable(id int64) {
	if s.durable.Load() >= id || mutant == "nowait" || mutant == "nopoison" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting++
	for s.durable.Load() < id && s.cause.Load() == nil {
		s.idle.Wait()
	}
	s.waiting--
}

func (s *Store) setDurable(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.durable.Store(id)
	if s.waiting > 0 {
		s.idle.Broadcast()
	}
}

func (s *Store) endedView() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.views--; s.views == 0 {
		s.idle.Broadcast()
	}
}

// endView ends a read transaction. A beginning under way may hold txMu and wait for
// exactly this: to map a grown file anew, bbolt waits for all readers to end and lets
// nobody begin. So the end does not wait for txMu. But bbolt may also have panicked and
// never release its locks, so the end runs in a goroutine that may stay behind.
func (s *Store) endView(tx *bolt.Tx) error {
	if s.txMu.TryLock() {
		defer s.txMu.Unlock()
		return s.transactLocked(tx.Rollback)
	}
	ended := make(chan error, 1)
	go func() { ended <- guard(tx.Rollback) }()
	select {
	case err := <-ended:
		if panicked(err) {
			s.poison(err, true)
		}
		return err
	case <-s.gone:
		return *s.cause.Load()
	}
}
