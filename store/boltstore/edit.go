package boltstore

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"podstore/store"
)

var (
	errGoexit       = errors.New("the edit ended its goroutine (runtime.Goexit, as by t.FailNow); it must return")
	errEditPanicked = errors.New("the edit panicked")
)

// edit calls the caller's edit. It keeps a panic of it for the caller's own goroutine.
func (r *request) edit(s *Store, f func() error) (err error) {
	e := &runningEdit{op: r.op, pod: r.pod, goroutine: goroutineID()}
	s.editing.Store(e)
	slow := time.AfterFunc(slowEdit, func() { s.logSlowEdit(e) })
	returned := false
	defer func() {
		slow.Stop()
		s.editing.Store(nil)
		if !returned {
			// After Goexit, recover returns nil and the goroutine ends anyway.
			if r.panicValue = recover(); r.panicValue != nil {
				err = errEditPanicked
			}
		}
	}()
	err = f()
	returned = true
	return err
}

// The log names an edit that runs for longer than this.
const slowEdit = time.Second

// runningEdit is the edit that runs now. All other changes wait for it.
type runningEdit struct {
	op, pod   string
	goroutine uint64
}

// logSlowEdit logs an edit that runs for too long, and the calls that wait for it: the
// edit may itself wait for one of them.
func (s *Store) logSlowEdit(e *runningEdit) {
	s.mu.Lock()
	var waiting []string
	for _, r := range s.queue[:min(len(s.queue), 8)] {
		waiting = append(waiting, fmt.Sprintf("%s pod %q", r.op, r.pod))
	}
	n := len(s.queue)
	s.mu.Unlock()
	s.log.Warn("podstore: an edit runs for long, and all changes wait for it; an edit must not use the store, not even through another goroutine",
		"path", s.path, "edit", fmt.Sprintf("%s pod %q", e.op, e.pod), "waiting", n, "first", waiting)
}

// nested returns an error for a call from inside an edit, which would wait for itself.
func (s *Store) nested(op, pod string) error {
	e := s.editing.Load()
	if e == nil || e.goroutine != goroutineID() {
		return nil
	}
	return &store.Error{Op: op, Pod: pod, Kind: store.ErrInvalid,
		Err: fmt.Errorf("it was called inside the edit of %s pod %q, which it would wait for; an edit must not use the store", e.op, e.pod)}
}

// goroutineID returns the number of the calling goroutine. Go tells it only in the
// first line of a stack trace.
func goroutineID() (id uint64) {
	var buf [32]byte
	for _, c := range buf[len("goroutine "):runtime.Stack(buf[:], false)] {
		if c < '0' || c > '9' {
			break
		}
		id = id*10 + uint64(c-'0')
	}
	return id
}
