package mirror_test

import (
	"context"
	"fmt"
	"log"

	"podstore/store"
	"podstore/store/memstore"
	"podstore/store/mirror"
)

// A Pod waits until another one is linked to it on both sides.
func Example_waitForAPeer() {
	ctx := context.Background()
	pods := memstore.New() // or any other store that can be watched
	for _, name := range []string{"planner", "coder"} {
		if err := store.Write(ctx, pods, &store.Metadata{PodName: name}); err != nil {
			log.Fatal(err)
		}
	}
	m, err := mirror.New(ctx, pods, &mirror.Options{Pods: []string{"planner", "coder"}})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()

	go func() { // the supervisor, some time later
		if err := store.LinkPeers(ctx, pods, "planner", "coder"); err != nil {
			log.Fatal(err)
		}
	}()

	if err := m.Wait(ctx, func() bool { return len(m.Peers("coder")) > 0 }); err != nil {
		log.Fatal(err)
	}
	fmt.Println("coder works with", m.Peers("coder"))
	// Output: coder works with [planner]
}

// A table that stays current: the program draws it again when something has changed,
// and does nothing meanwhile.
func Example_table() {
	ctx := context.Background()
	pods := memstore.New()
	m, err := mirror.New(ctx, pods, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()

	draw := func() {
		for pod, err := range m.All() {
			if err != nil {
				fmt.Println("damaged:", err)
				continue
			}
			fmt.Printf("%-8s parents %v children %v\n", pod.PodName, m.Parents(pod.PodName), m.Children(pod.PodName))
		}
	}
	screen := make(chan struct{})
	go func() {
		defer close(screen)
		for {
			changed := m.Changed() // before it is drawn, so that no change is missed
			if len(m.List()) == 2 {
				draw()
				return
			}
			<-changed
		}
	}()

	applied, err := pods.Apply(ctx, []store.Change{
		{Pod: "lead", Op: store.AddChild{Child: store.SpawnedChild{PodName: "worker"}}},
		{Pod: "worker", Op: store.SetPeers{}},
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	<-screen

	// A writer can wait until the mirror has its change.
	if err := m.WaitFor(ctx, applied[0].Version.Revision); err != nil {
		log.Fatal(err)
	}
	fmt.Println("stale:", m.Stale())
	// Output:
	// lead     parents [] children [worker]
	// worker   parents [lead] children []
	// stale: false
}
