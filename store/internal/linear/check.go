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
	// Stores are handles on one store. Each caller of a history has one of them. Pods
	// of theirs that are not of a history are left alone.
	Stores []store.MetadataStore
	// Trouble, if set, is made beside each history, and is over when it returns.
	Trouble func(r *rand.Rand)
	// Call is about how long a call takes: contexts that end in between are of that
	// length.
	Call time.Duration
	// Replays says that the stores send a call again where its answer was lost.
	Replays bool
	// MissesReferences says that a Remove may miss a reference that is made at the same
	// time, without a condition on the Pod that is removed. No history has one then.
	MissesReferences bool
	// Crowded says that [store.ErrConflict] may also mean that others came first each
	// time the store tried.
	Crowded bool
	// Short is how many histories are checked where PODSTORE_LONG is not set, and Long
	// how many where it is (0: 2000).
	Short, Long int
}

// Check fails t where a history of the backend is not linearizable.
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

// Count is what was checked.
type Count struct{ Histories, Calls, Unknown, Undecided int }

func (c Count) String() string {
	return fmt.Sprintf("%d histories, %d calls, %d of them with unknown results, %d histories undecided", c.Histories, c.Calls, c.Unknown, c.Undecided)
}

// Run makes n histories from a seed and checks each. It ends with the first that is not
// linearizable, with a call that gives what no call may give, or with ctx.
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
		// One that takes longer says nothing; with so few calls it does not happen.
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

// abilities are what a backend can do besides.
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
