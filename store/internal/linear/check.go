package linear

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"podstore/store"
)

var (
	seedFlag      = flag.Uint64("linear.seed", 0, "seed of the calls of a history; 0 picks one")
	historiesFlag = flag.Int("linear.histories", 0, "how many histories are checked; 0: what each test says")
)

// Backend is a store under test.
type Backend struct {
	// Stores are handles on one store. Each caller of a history uses one of them. A
	// history leaves alone all Pods that are not its own.
	Stores []store.MetadataStore
	// Trouble, if set, runs beside each history. It must undo its trouble before it
	// returns.
	Trouble func(r *rand.Rand)
	// Call is about the time that a call takes. Contexts that end during a call have
	// about that length.
	Call time.Duration
	// Replays: the stores send a call again if its answer was lost.
	Replays bool
	// MissesReferences: a Remove may miss a reference that is made at the same time
	// without a condition on the removed Pod. No history then has a Remove.
	MissesReferences bool
	// Crowded: [store.ErrConflict] may also mean that others were faster each time the
	// store tried.
	Crowded bool
	// Short is the number of histories to check unless PODSTORE_LONG is set; then it is
	// Long (0: 2000).
	Short, Long int
}

// Check fails t if a history of the backend is not linearizable.
func Check(t *testing.T, b Backend) {
	t.Helper()
	n := b.Short
	if os.Getenv("PODSTORE_LONG") != "" {
		n = cmp.Or(b.Long, 2000)
	}
	if *historiesFlag > 0 {
		n = *historiesFlag
	}
	seed := *seedFlag
	for seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("to make the same calls: -run '^%s$' -linear.seed=%d -linear.histories=%d", t.Name(), seed, n)
	total, err := b.Run(t.Context(), seed, n)
	t.Log(total)
	if err != nil {
		t.Error(err)
	}
}

// Count counts what Run checked.
type Count struct{ Histories, Calls, Unknown, Undecided int }

func (c Count) String() string {
	return fmt.Sprintf("%d histories, %d calls, %d of them with unknown results, %d histories undecided", c.Histories, c.Calls, c.Unknown, c.Undecided)
}

// Run makes n histories from a seed and checks each. It ends with the first one that is
// not linearizable, with a call whose result no call may have, or with ctx.
func (b Backend) Run(ctx context.Context, seed uint64, n int) (total Count, err error) {
	can, err := b.probe(ctx)
	if err != nil {
		return total, err
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		h := &history{Backend: b, can: can, prefix: fmt.Sprintf("h%x-%d-", seed, i), start: time.Now()}
		if err := h.run(ctx, rand.New(rand.NewPCG(seed, uint64(i)))); ctx.Err() != nil {
			break
		} else if err != nil {
			return total, fmt.Errorf("history %d of seed %d: %w", i, seed, err)
		}
		total.Histories++
		total.Calls += len(h.done)
		for _, o := range h.done {
			if o.Output.(result).unknown {
				total.Unknown++
			}
		}
		slices.SortFunc(h.done, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
		// A check that takes longer decides nothing. With so few calls that does not happen.
		switch porcupine.CheckOperationsTimeout(can.rules.porcupine(), h.done, time.Minute) {
		case porcupine.Illegal:
			return total, fmt.Errorf("history %d of seed %d is not linearizable:\n%s", i, seed, explain(can.rules, h.done))
		case porcupine.Unknown:
			total.Undecided++
		}
	}
	if total.Undecided*100 > n {
		return total, errors.New("too many histories are undecided")
	}
	return total, nil
}

// abilities are what a backend can do beyond the minimum.
type abilities struct {
	rules
	several, ids, updatePods bool
}

// probe finds out what the backend can do.
func (b Backend) probe(ctx context.Context) (can abilities, err error) {
	s, name := b.Stores[0], "linear-probe"
	able := func(err error) bool { return !errors.Is(err, errors.ErrUnsupported) }
	_, err = s.Apply(ctx, []store.Change{{Pod: name, Op: store.AddPeer{PodName: "x"}}, {Pod: name + "2", Op: store.AddPeer{PodName: "x"}}}, nil)
	if can.several = able(err); err != nil && can.several {
		return can, err
	}
	_, err = s.Apply(ctx, []store.Change{{Pod: name, Op: store.AddPeer{PodName: "y"}}}, &store.ApplyOptions{ID: store.NewRequestID()})
	if can.ids = able(err); err != nil && can.ids {
		return can, err
	}
	_, err = store.UpdatePods(ctx, s, []string{name}, func([]*store.Metadata) error { return nil })
	if can.updatePods = able(err); err != nil && can.updatePods {
		return can, err
	}
	applied, err := s.Apply(ctx, []store.Change{{Pod: name, Op: store.AddPeer{PodName: "z"}}}, nil)
	if err != nil {
		return can, err
	}
	can.numbers, can.replays = applied[0].Version.Revision.Number != 0, b.Replays
	for _, name := range []string{name, name + "2"} {
		if err := store.Do(ctx, s, name, store.Delete{}); err != nil {
			return can, err
		}
	}
	return can, nil
}
