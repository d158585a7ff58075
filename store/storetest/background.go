package storetest

import (
	"errors"
	"fmt"
	"time"
)

// patience is how long the suite waits before it calls a store stuck.
var patience = 30 * time.Second

// inBackground starts f and returns a channel for its error. A panic counts as an
// error.
func inBackground(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() {
		err := errors.New("goroutine ended early")
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic: %v", p)
			}
			done <- err
		}()
		err = f()
	}()
	return done
}

// await waits for a result. It gives up on a store that is stuck.
func (s *subject) await(done <-chan error, stuck string) error {
	s.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		s.damaged = true // a stuck store cannot be checked either
		s.Fatal(stuck)
		return nil
	}
}

// inParallel runs f n times at once and waits for all.
func (s *subject) inParallel(n int, f func(i int) error) {
	s.Helper()
	var running []<-chan error
	for i := range n {
		running = append(running, inBackground(func() error { return f(i) }))
	}
	for _, done := range running {
		if err := s.await(done, "writers in parallel are stuck"); err != nil {
			s.Error(err)
		}
	}
}

// recovered runs f and returns what f panicked with, or nil.
func recovered(f func()) (p any) {
	defer func() { p = recover() }()
	f()
	return nil
}
