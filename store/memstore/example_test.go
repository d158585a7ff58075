package memstore_test

import (
	"context"
	"errors"
	"fmt"

	"podstore/store"
	"podstore/store/memstore"
)

// A test of what uses a store needs no file, and can have a Pod damaged.
func Example() {
	ctx := context.Background()
	pods := memstore.New()
	fmt.Println(store.Do(ctx, pods, "agent", store.AddPeer{PodName: "reviewer"}))

	pods.Damage("agent")
	err := store.Do(ctx, pods, "agent", store.AddPeer{PodName: "coder"})
	fmt.Println(errors.Is(err, store.ErrCorrupt))

	fmt.Println(store.Write(ctx, pods, &store.Metadata{PodName: "agent"}))
	names, err := pods.List(ctx)
	fmt.Println(names, err)
	// Output:
	// <nil>
	// true
	// <nil>
	// [agent] <nil>
}
