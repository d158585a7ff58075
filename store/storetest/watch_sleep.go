package storetest

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"podstore/store"
)

// SleepingWatchers logs the memory of each of n watchers while nothing changes. Half of
// them watch everything, half ten Pods. s must be watchable.
func SleepingWatchers(t *testing.T, s store.MetadataStore, n int) {
	t.Helper()
	used := func() uint64 {
		var memory runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&memory)
		return memory.HeapAlloc + memory.StackInuse
	}
	before := used()
	ctx, cancel := context.WithCancel(background)
	var asleep, all sync.WaitGroup
	asleep.Add(n)
	for i := range n {
		opts := store.WatchOptions{}
		if i%2 == 0 {
			for k := range 10 {
				opts.Pods = append(opts.Pods, fmt.Sprint("pod-", i+k))
			}
		}
		all.Go(func() {
			woken := sync.OnceFunc(asleep.Done)
			defer woken()
			for _, err := range store.Watch(ctx, s, opts) {
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				woken()
			}
		})
	}
	asleep.Wait()
	t.Logf("%d sleeping watchers, half of them of 10 Pods: %d bytes each, all in this process counted", n, (used()-before)/uint64(n))
	cancel()
	all.Wait()
}
