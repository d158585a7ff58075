package socketstore

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// budget is an amount that all clients share: bytes of memory, or places. If it runs
// out, the server cuts off the request that has waited longest for its client. So slow
// clients hold a share only while nobody else wants it.
type budget struct {
	what  string
	total int64
	turn  chan struct{} // full while somebody waits; the others queue behind it

	mu    sync.Mutex // guards the fields below
	free  int64
	held  map[*flow]int64
	freed chan struct{} // closed and replaced when a flow gives something back
}

func newBudget(what string, total int64) *budget {
	return &budget{what: what, total: total, turn: make(chan struct{}, 1), free: total, held: map[*flow]int64{}, freed: make(chan struct{})}
}

const (
	// slowAfter is the time that a client may take for one chunk while others wait for
	// what it holds.
	slowAfter = time.Second / 2
	lookAgain = 100 * time.Millisecond
)

// take waits for n, or for the whole budget if n is more. It fails with errBusy if ctx
// ends first. A flow may take several times; give returns all of it.
func (b *budget) take(ctx context.Context, f *flow, n int64) error {
	n = min(n, b.total)
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return b.short()
	}
	for {
		b.mu.Lock()
		if n <= b.free {
			b.free -= n
			b.held[f] += n
			b.mu.Unlock()
			return nil
		}
		freed, slow := b.freed, b.slowest()
		b.mu.Unlock()
		if slow != nil {
			slow.cut()
		}
		select {
		case <-freed:
		case <-time.After(lookAgain):
		case <-ctx.Done():
			return b.short()
		}
	}
}

func (b *budget) short() error { return fmt.Errorf("%w: others hold all %s", errBusy, b.what) }

// try makes a flow hold n, or the whole budget if n is more, if that is free and nobody
// waits.
func (b *budget) try(f *flow, n int64) bool {
	if b.has(f, n) {
		return true
	}
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	default:
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	more := min(n, b.total) - b.held[f]
	if more > b.free {
		return false
	}
	b.free -= more
	b.held[f] += more
	return true
}

// has reports whether a flow holds n, or the whole budget if n is more.
func (b *budget) has(f *flow, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held[f] >= min(n, b.total)
}

// give returns everything that a flow holds.
func (b *budget) give(f *flow) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, ok := b.held[f]
	if !ok {
		return
	}
	delete(b.held, f)
	b.free += n
	close(b.freed)
	b.freed = make(chan struct{})
}

// slowest returns the flow that has waited too long for its client, the longest first,
// or nil.
func (b *budget) slowest() (slow *flow) {
	least := time.Now().Add(-slowAfter).UnixNano()
	for f := range b.held {
		if since := f.waits.Load(); since != 0 && since <= least {
			slow, least = f, since
		}
	}
	return slow
}

func (b *budget) used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total - b.free
}

// flow is one request or answer, which moves from or to its client in chunks.
type flow struct {
	conn  *conn
	waits atomic.Int64 // it has waited for its client since then (Unix nanoseconds), or 0
	gone  atomic.Bool  // the server has cut it off
}

// A client must send or take this much within ServerOptions.Stall.
const chunkBytes = 256 << 10

// cut makes a waiting flow fail.
func (f *flow) cut() {
	if !f.gone.Swap(true) {
		f.conn.server.counters.cut.Add(1)
	}
	_ = f.conn.SetDeadline(time.Unix(1, 0))
}

// move moves p in chunks, each within its time.
func (f *flow) move(p []byte, deadline func(time.Time) error, chunk func([]byte) error) error {
	for len(p) > 0 {
		n := min(len(p), chunkBytes)
		now := time.Now()
		if err := deadline(now.Add(f.conn.server.opts.Stall)); err != nil {
			return err
		}
		f.waits.Store(now.UnixNano())
		if f.gone.Load() {
			return errCut
		}
		err := chunk(p[:n])
		f.waits.Store(0)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

var errCut = fmt.Errorf("%w: the client was slow, and others waited", errBusy)
