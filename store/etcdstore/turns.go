package etcdstore

import (
	"context"
	"slices"
	"sync"
)

// turns make changes of one Pod through one Store wait for each other. Otherwise they
// would only conflict at the server, and the slowest might never win.
type turns struct {
	mu   sync.Mutex
	pods map[string]*turn
}

type turn struct {
	taken chan struct{} // holds one element while a change is going on
	users int           // changes that have it or wait for it
}

// take waits until no other change of these Pods is under way, or the context ends.
func (t *turns) take(ctx context.Context, names []string) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	names = slices.Sorted(slices.Values(names)) // always in the same order, so that two callers cannot deadlock
	got := 0
	release = func() {
		for _, name := range names[:got] {
			t.leave(name, true)
		}
	}
	for _, name := range names {
		mine := t.join(name)
		select {
		case mine.taken <- struct{}{}:
			got++
		case <-ctx.Done():
			t.leave(name, false)
			release()
			return nil, ctx.Err()
		}
	}
	return release, nil
}

func (t *turns) join(name string) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	mine := t.pods[name]
	if mine == nil {
		if t.pods == nil {
			t.pods = make(map[string]*turn)
		}
		mine = &turn{taken: make(chan struct{}, 1)}
		t.pods[name] = mine
	}
	mine.users++
	return mine
}

func (t *turns) leave(name string, had bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	mine := t.pods[name]
	if had {
		<-mine.taken
	}
	if mine.users--; mine.users == 0 {
		delete(t.pods, name)
	}
}
