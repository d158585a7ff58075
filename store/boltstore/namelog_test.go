package boltstore

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// As far as it reaches back, the log agrees with one that keeps everything.
func TestNameLog(t *testing.T) {
	for _, pods := range []int{10, logNames, 3 * logNames} {
		t.Run(fmt.Sprint(pods), func(t *testing.T) {
			var l nameLog
			last, began := map[string]int64{}, int64(0)
			for tx := int64(1); tx <= 4*logNames; tx++ {
				for range 2 {
					name := fmt.Sprint("pod-", rand.IntN(pods))
					l.add(tx, name)
					last[name] = tx
				}
				if tx%5000 != 0 {
					continue
				}
				place := tx - 1 - rand.Int64N(10_000)
				names, ok := l.since(place, func(name string) bool { return name != "pod-1" })
				if !ok {
					began = max(began, place)
					continue
				}
				var want []string
				for name, tx := range last {
					if tx > place && name != "pod-1" {
						want = append(want, name)
					}
				}
				slices.Sort(names)
				if slices.Sort(want); !slices.Equal(names, want) {
					t.Fatalf("seen from %d, at %d: %d names, expected %d", place, tx, len(names), len(want))
				}
			}
			if reach := pods <= logNames; reach && began > 0 {
				t.Errorf("the log of %d names did not reach back to %d", pods, began)
			}
			if len(l.entries) > 2*logNames || len(l.latest) > 2*logNames {
				t.Errorf("%d entries, %d names", len(l.entries), len(l.latest))
			}
		})
	}
}
