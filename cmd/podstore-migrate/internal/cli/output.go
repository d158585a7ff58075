package cli

import (
	"bytes"
	"context"
	"io"
	"slices"
	"sync"
	"time"
)

// output takes what a command writes and passes it on in another goroutine. So a command
// whose output waits for a pager still finishes, and frees the lock of the database.
type output struct {
	mu      sync.Mutex
	queue   []piece
	passing bool          // the goroutine is running
	idle    chan struct{} // closed when all has been passed on
	failed  map[io.Writer]error
}

// piece is the data of one Write.
type piece struct {
	to   io.Writer
	data []byte
}

func newOutput() *output {
	o := &output{idle: make(chan struct{}), failed: make(map[io.Writer]error)}
	close(o.idle)
	return o
}

// to returns a writer that never waits and never fails: err has the error of w.
func (o *output) to(w io.Writer) io.Writer { return queueWriter{o, w} }

type queueWriter struct {
	o *output
	w io.Writer
}

func (q queueWriter) Write(p []byte) (int, error) {
	q.o.mu.Lock()
	defer q.o.mu.Unlock()
	if len(p) == 0 || q.o.failed[q.w] != nil {
		return len(p), nil
	}
	q.o.queue = append(q.o.queue, piece{q.w, bytes.Clone(p)})
	if !q.o.passing {
		q.o.passing, q.o.idle = true, make(chan struct{})
		go q.o.pass()
	}
	return len(p), nil
}

// pass writes the queue, in order. It writes nothing more to a writer that failed.
func (o *output) pass() {
	o.mu.Lock()
	for len(o.queue) > 0 {
		next := o.queue[0]
		o.queue = o.queue[1:]
		if o.failed[next.to] != nil {
			continue
		}
		o.mu.Unlock()
		_, err := next.to.Write(next.data)
		o.mu.Lock()
		if err != nil {
			o.failed[next.to] = err
			o.queue = slices.DeleteFunc(o.queue, func(p piece) bool { return p.to == next.to })
		}
	}
	o.passing = false
	close(o.idle)
	o.mu.Unlock()
}

// err is the error of a writer, or nil.
func (o *output) err(w io.Writer) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failed[w]
}

// behind reports whether the queue is not empty.
func (o *output) behind() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.passing
}

// lastWords bounds the time for the remaining output after the command was interrupted.
const lastWords = time.Second

// wait waits until everything is written. If that takes too long after an interrupt,
// because a pager waits, it fails with the context's error.
func (o *output) wait(ctx context.Context) error {
	o.mu.Lock()
	idle := o.idle
	o.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-idle:
		return nil
	case <-time.After(lastWords):
		return ctx.Err()
	}
}
