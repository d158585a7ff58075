package socketstore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// waitingFor is how many wait for a turn.
func (ts *turns) waitingFor(pod string) int {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t := ts.pods[pod]; t != nil {
		return len(t.waiting)
	}
	return 0
}

func TestTurnsComeInOrder(t *testing.T) {
	ts := newTurns()
	take := func(edit string, names ...string) {
		if err := ts.take(t.Context(), names, edit); err != nil {
			t.Error(err)
		}
	}
	take("first", "a", "b")
	take("first", "a") // its own
	var order []string
	var wg sync.WaitGroup
	for i := range 5 {
		edit := fmt.Sprint(i)
		wg.Go(func() {
			take(edit, "b", "a")
			order = append(order, edit)
			ts.pass([]string{"a", "b"}, edit)
		})
		for ts.waitingFor("a") <= i {
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() { gone <- ts.take(ctx, []string{"a"}, "gone") }()
	for ts.waitingFor("a") < 6 {
	}
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("take whose context has ended: %v", err)
	}
	ts.pass([]string{"a", "b"}, "somebody else")
	ts.pass([]string{"a", "b"}, "first")
	wg.Wait()
	if fmt.Sprint(order) != "[0 1 2 3 4]" {
		t.Errorf("the turns came in the order %v", order)
	}
	if len(ts.pods) > 0 {
		t.Errorf("%d turns are left", len(ts.pods))
	}
}

// Who does not come back loses its turn, and who gives up gives back those that it
// has.
func TestTurnsEnd(t *testing.T) {
	ts := newTurns()
	if err := ts.take(t.Context(), []string{"a", "b"}, "away"); err != nil {
		t.Fatal(err)
	}
	ts.keep([]string{"a"}, "away")
	if err := ts.take(t.Context(), []string{"a"}, "next"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() { result <- ts.take(ctx, []string{"b", "c", "a"}, "gives up") }()
	ts.pass([]string{"a"}, "next")
	for ts.waitingFor("b") < 1 {
	}
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("take whose context has ended: %v", err)
	}
	if err := ts.take(t.Context(), []string{"a", "c"}, "last"); err != nil {
		t.Error(err)
	}
	ts.pass([]string{"a", "c"}, "last")

	// Who comes back in time keeps it.
	ts.keep([]string{"b", "unknown"}, "away")
	if err := ts.take(t.Context(), []string{"b"}, "away"); err != nil {
		t.Error(err)
	}
	ts.mu.Lock()
	if turn := ts.pods["b"]; turn == nil || turn.edit != "away" || turn.timer != nil {
		t.Errorf("the turn is %+v", turn)
	}
	ts.mu.Unlock()
	ts.pass([]string{"b"}, "away")
	if len(ts.pods) > 0 {
		t.Errorf("%d turns are left", len(ts.pods))
	}
}

// An edit that asks what a Pod is has its turn then, and another that asks waits for
// it; who asks without an edit does not.
func TestAskingTakesTheTurn(t *testing.T) {
	h := Handler(openStore(t), nil).(*handler)
	ask := func(edit string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://p"+podsPath, strings.NewReader(`{"name":"a"}`))
		if err != nil {
			t.Error(err)
			return
		}
		r.Header.Set(editHeader, edit)
		if got := serveOne(h, r); got.Code != http.StatusOK {
			t.Errorf("%s is answered %d %s", edit, got.Code, got.Body)
		}
	}
	if err := h.turns.take(t.Context(), []string{"a"}, "first"); err != nil {
		t.Fatal(err)
	}
	ask("")
	done := make(chan struct{})
	go func() {
		ask("second")
		close(done)
	}()
	for h.turns.waitingFor("a") < 1 {
	}
	h.turns.pass([]string{"a"}, "first")
	<-done
	// It keeps the turn until it comes back, or for some time.
	if err := h.turns.take(t.Context(), []string{"a"}, "third"); err != nil {
		t.Fatal(err)
	}
	h.turns.pass([]string{"a"}, "third")
	if len(h.turns.pods) > 0 {
		t.Errorf("%d turns are left", len(h.turns.pods))
	}
}
