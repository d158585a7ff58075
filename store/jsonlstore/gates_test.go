package jsonlstore

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"
)

// Who waits for a gate stops when its context ends, and a gate that nobody
// holds or waits for takes no memory.
func TestGates(t *testing.T) {
	var g gates
	key, other := gateKey{name: "a"}, gateKey{name: "b"}
	leave, err := g.enter(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	// wanted waits until n hold the gate or wait for it.
	wanted := func(n int) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); ; runtime.Gosched() {
			g.mu.Lock()
			users := g.open[key].users
			g.mu.Unlock()
			if users == n {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d want the gate, not %d", users, n)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	waiting := make(chan error)
	go func() {
		_, err := g.enter(ctx, key)
		waiting <- err
	}()
	leaveOther, err := g.enter(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	leaveOther()
	wanted(2)
	cancel()
	if err := <-waiting; !errors.Is(err, context.Canceled) {
		t.Fatalf("the error is %v", err)
	}
	entered := make(chan func())
	go func() {
		leave, err := g.enter(context.Background(), key)
		if err != nil {
			t.Error(err)
		}
		entered <- leave
	}()
	wanted(2)
	select {
	case <-entered:
		t.Fatal("two hold one gate")
	default:
	}
	leave()
	(<-entered)()
	if len(g.open) != 0 {
		t.Fatalf("%d gates are left", len(g.open))
	}
}
