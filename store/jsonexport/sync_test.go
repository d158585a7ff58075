package jsonexport

import (
	"math"
	"testing"
)

// setSyncAll makes batches of any size sync the whole file system, or each file.
func setSyncAll(t testing.TB, on bool) {
	before := manyPods
	forceSyncAll(on)
	t.Cleanup(func() { manyPods = before })
}

func forceSyncAll(on bool) {
	if manyPods = math.MaxInt; on {
		manyPods = 0
	}
}

// setBatch makes batches smaller, so that there are several.
func setBatch(t testing.TB, pods int) {
	before := batchPods
	batchPods = pods
	t.Cleanup(func() { batchPods = before })
}
