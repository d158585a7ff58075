package socketstore

import (
	"context"
	"slices"
	"sync"
	"time"
)

// turns let those who edit the same Pod in one after the other, in the order in
// which they came. Who is told what is there, having asked or been too late, keeps
// its turn until it comes back with that: otherwise of all that edit a Pod at a
// time, all but one would be too late each time.
//
// Turns only save work. What a change requires is compared when it is made.
type turns struct {
	mu   sync.Mutex
	pods map[string]*turn
}

// turn is one Pod's.
type turn struct {
	edit    string      // whose it is
	timer   *time.Timer // ends it, while who has it is away
	waiting []*waiter
}

type waiter struct {
	edit  string
	ready chan struct{}
}

// turnTime is how long somebody may be away who keeps a turn.
const turnTime = 20 * time.Millisecond

func newTurns() *turns { return &turns{pods: map[string]*turn{}} }

// take waits until an edit has the turns with some Pods.
func (ts *turns) take(ctx context.Context, names []string, edit string) error {
	// All wait in the same order, so that none of them waits for ever.
	sorted := slices.Sorted(slices.Values(names))
	for i, name := range sorted {
		if err := ts.takeOne(ctx, name, edit); err != nil {
			ts.pass(sorted[:i], edit)
			return err
		}
	}
	return nil
}

func (ts *turns) takeOne(ctx context.Context, name, edit string) error {
	ts.mu.Lock()
	t := ts.pods[name]
	if t == nil {
		t = &turn{edit: edit}
		ts.pods[name] = t
	}
	if t.edit == edit {
		t.timer = nil // it has come back
		ts.mu.Unlock()
		return nil
	}
	w := &waiter{edit, make(chan struct{})}
	t.waiting = append(t.waiting, w)
	ts.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	ts.mu.Lock()
	if i := slices.Index(t.waiting, w); i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
		ts.mu.Unlock()
		return ctx.Err()
	}
	ts.mu.Unlock()
	return nil // it came just now
}

// keep lets an edit keep its turns while it is away.
func (ts *turns) keep(names []string, edit string) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, name := range names {
		t := ts.pods[name]
		if t == nil || t.edit != edit {
			continue
		}
		var timer *time.Timer
		timer = time.AfterFunc(turnTime, func() {
			ts.mu.Lock()
			defer ts.mu.Unlock()
			if t.timer == timer {
				ts.next(name, t)
			}
		})
		t.timer = timer
	}
}

// pass ends the turns of an edit.
func (ts *turns) pass(names []string, edit string) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, name := range names {
		if t := ts.pods[name]; t != nil && t.edit == edit {
			ts.next(name, t)
		}
	}
}

// next gives a turn to the next one.
func (ts *turns) next(name string, t *turn) {
	if len(t.waiting) == 0 {
		delete(ts.pods, name)
		t.timer = nil
		return
	}
	w := t.waiting[0]
	t.waiting, t.edit, t.timer = t.waiting[1:], w.edit, nil
	close(w.ready)
}
