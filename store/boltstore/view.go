package boltstore

import (
	"cmp"

	bolt "go.etcd.io/bbolt"
)

// view runs f in a read transaction, in which no caller's code may run.
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
// commit when its meta page is written, before the last sync has returned: a loss of
// power then would take back what was read.
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

// setDurable is called when a commit has returned.
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

// endView ends a read transaction. A beginning that is under way may be waiting for
// just this: bbolt maps a file anew when it has grown, for which all who read must
// end, and lets nobody begin meanwhile. So the end does not wait for it, but neither
// does it follow it into a lock that is never released.
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
