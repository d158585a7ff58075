package linear

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"podstore/store"
)

// history is one run of a few callers.
type history struct {
	Backend
	can    abilities
	prefix string // of its Pods' names
	start  time.Time

	mu   sync.Mutex
	done []porcupine.Operation
	ids  int
	err  error
}

func (h *history) name(i int) string { return h.prefix + letters[i:i+1] }

// index returns a Pod's index, or -1 for any other name.
func (h *history) index(name string) int {
	rest, found := strings.CutPrefix(name, h.prefix)
	if !found || len(rest) != 1 {
		return -1
	}
	return strings.Index(letters, rest)
}

func (h *history) now() int64 { return int64(time.Since(h.start)) }

// run runs the callers and then reads everything.
func (h *history) run(ctx context.Context, r *rand.Rand) error {
	callers, calls := 2+r.IntN(4), 20+r.IntN(180)
	var wg sync.WaitGroup
	if h.Trouble != nil {
		r := rand.New(rand.NewPCG(r.Uint64(), 0))
		wg.Go(func() { h.Trouble(r) })
	}
	for n := range callers {
		c := &caller{history: h, client: n, s: h.Stores[n%len(h.Stores)], r: rand.New(rand.NewPCG(r.Uint64(), 1)), last: make([]store.Revision, numPods)}
		wg.Go(func() {
			for range calls / callers {
				c.call(ctx)
			}
		})
	}
	wg.Wait()
	end := &caller{history: h, client: callers, s: h.Stores[0], last: make([]store.Revision, numPods)}
	for i := range numPods {
		end.make(ctx, call{kind: read, pods: []int{i}})
	}
	end.make(ctx, call{kind: list})
	for i := range numPods {
		if err := h.delete(ctx, h.name(i)); err != nil && h.err == nil {
			h.err = err
		}
	}
	return h.err
}

// delete deletes a Pod, as soon as that is possible: a disk may be full until others
// have made room, and a server may still be starting.
func (h *history) delete(ctx context.Context, name string) (err error) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err = store.Do(ctx, h.Stores[0], name, store.Delete{}); err == nil || ctx.Err() != nil {
			break
		}
	}
	return err
}
