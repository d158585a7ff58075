package storetest

import (
	"flag"
	"math/rand/v2"
	"testing"
)

var (
	seedFlag  = flag.Uint64("storetest.seed", 0, "seed of the random operations of store/storetest; 0 picks one")
	stepsFlag = flag.Int("storetest.steps", 2000, "how many random operations store/storetest makes")
)

// newRandom returns a source of random numbers, and says how to get the same one
// again. The message is seen when the test fails or is verbose.
func newRandom(t *testing.T) *rand.Rand {
	t.Helper()
	seed := *seedFlag
	for seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("to repeat: -run '^%s$' -storetest.seed=%d -storetest.steps=%d", t.Name(), seed, *stepsFlag)
	return rand.New(rand.NewPCG(seed, 0))
}
