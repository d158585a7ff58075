package cli

import (
	"bytes"
	"context"
	"io"
	"slices"
	"sync"
	"time"
)

// output takes what a command writes and passes it on in a goroutine of its own. So
// nothing that the command holds, a database's lock above all, is held while its
// output waits for a pager.
type output struct {
	mu      sync.Mutex
	queue   []piece
	passing bool          // the goroutine runs
	idle    chan struct{} // closed when all has been passed on
	failed  map[io.Writer]error
}

// piece is what one Write was given.
type piece struct {
	to   io.Writer
	data []byte
}

func newOutput() *output {
	o := &output{idle: make(chan struct{}), failed: make(map[io.Writer]error)}
	close(o.idle)
	return o
}

// to returns a writer that never waits and never fails: see err.
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

// pass writes what is in the queue, in order. After an error of a writer it gets no
// more.
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

// err is why nothing more is written to a writer, or nil.
func (o *output) err(w io.Writer) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failed[w]
}

// behind reports whether something has not been written yet.
func (o *output) behind() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.passing
}

// lastWords is how long what is left may take after the command was interrupted.
const lastWords = time.Second

// wait waits until all is written. It fails with the context's error where that takes
// too long after an interrupt, as where a pager waits.
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
