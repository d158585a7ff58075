package storetest

import (
	"flag"
	"math/rand/v2"
	"os"
	"testing"
)

var (
	seedFlag      = flag.Uint64("storetest.seed", 0, "seed of the random operations of store/storetest; 0 picks one")
	historiesFlag = flag.Int("storetest.histories", 0, "how many random histories store/storetest watches; 0: 3, or 2000 where PODSTORE_LONG is set")
	stepsFlag     = flag.Int("storetest.steps", 0, "how many random operations store/storetest makes; 0: 2000, or 500 with -short")
)

// newRandom returns a source of random numbers and logs how to get the same one again.
// The log shows if the test fails or is verbose.
func newRandom(t *testing.T) *rand.Rand {
	t.Helper()
	seed := *seedFlag
	for seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("to repeat: -run '^%s$' -storetest.seed=%d -storetest.steps=%d", t.Name(), seed, steps())
	return rand.New(rand.NewPCG(seed, 0))
}

// steps returns the number of random operations.
func steps() int {
	switch {
	case *stepsFlag > 0:
		return *stepsFlag
	case testing.Short():
		return 500
	}
	return 2000
}

// histories returns the number of watched histories.
func histories() int {
	switch {
	case *historiesFlag > 0:
		return *historiesFlag
	case os.Getenv("PODSTORE_LONG") != "":
		return 2000
	}
	return 3
}
