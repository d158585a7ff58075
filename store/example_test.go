package store_test

import (
	"encoding/json"
	"errors"
	"fmt"

	"podstore/store"
)

func ExampleValidateName() {
	for _, name := range []string{"agent", "日本語", "../escape", ""} {
		fmt.Println(store.ValidateName(name))
	}
	// Output:
	// <nil>
	// <nil>
	// invalid pod name: "../escape": it contains a slash
	// invalid pod name: "": it is empty
}

func ExampleMetadata_Normalize() {
	m := &store.Metadata{PodName: "agent", Manifest: json.RawMessage(`{"b": 1e2, "a": null}`)}
	fmt.Println(m.Normalize(), string(m.Manifest))

	m.Manifest = json.RawMessage(`{"a": }`)
	err := m.Normalize()
	fmt.Println(errors.Is(err, store.ErrInvalid))
	// Output:
	// <nil> {"a":null,"b":100.0}
	// true
}

func ExampleMetadata_Reclaim() {
	m := &store.Metadata{PodName: "agent", Children: []store.SpawnedChild{{PodName: "worker"}, {PodName: "auditor"}}}
	if err := m.Reclaim([]store.ReclaimedChild{{PodName: "worker"}}); err != nil {
		fmt.Println(err)
	}
	fmt.Println("outstanding:", m.Children[0].PodName)
	fmt.Println("reclaimed:", m.Reclaimed[0].PodName)
	// Output:
	// outstanding: auditor
	// reclaimed: worker
}

func ExampleMetadata_Diff() {
	a := &store.Metadata{PodName: "agent", Peers: []store.Peer{{PodName: "b"}}}
	b := a.Clone()
	fmt.Printf("%q\n", a.Diff(b))
	b.RemovePeer("b")
	fmt.Printf("%q\n", a.Diff(b))
	// Output:
	// ""
	// "peers"
}
