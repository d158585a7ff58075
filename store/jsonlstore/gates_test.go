package jsonlstore

import (
	"context"
	"errors"
	"testing"
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
