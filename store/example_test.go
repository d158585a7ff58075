package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"podstore/store"
	"podstore/store/memstore"
)

// Of two supervisors that would resume a Pod, one gets it: each names the revision at
// which it found the Pod, and a change is made at that revision once.
func ExampleAtRevision() {
	ctx := context.Background()
	pods := memstore.New()
	check(store.Do(ctx, pods, "agent", store.SetSegment{Active: store.PendingSegment(store.NewSessionID())}))

	var found, done sync.WaitGroup
	found.Add(2)
	var resumed, late int
	var mu sync.Mutex
	for range 2 {
		done.Go(func() {
			m, err := pods.Read(ctx, "agent")
			check(err)
			found.Done()
			found.Wait() // both have found it

			_, err = pods.Apply(ctx, []store.Change{{
				Pod: "agent",
				Op:  store.SetSegment{Active: store.ActiveIn(m.Active.SessionID, store.NewSegmentID())},
				If:  store.AtRevision(m.Version.Revision),
			}}, nil)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				resumed++
			case errors.Is(err, store.ErrConflict):
				late++ // the other one has it
			default:
				check(err)
			}
		})
	}
	done.Wait()
	fmt.Println(resumed, "resumed it,", late, "came too late")
	// Output: 1 resumed it, 1 came too late
}

// The answer to a change can get lost, as when a connection breaks: was the change made?
// Sent again under the same ID, it is made once in any case.
func ExampleApplyOptions() {
	ctx := context.Background()
	pods := &losesAnswer{MetadataStore: memstore.New()} // in place of a client that asks another process
	m, err := store.DoAndRead(ctx, pods, "planner", store.AddChild{Child: store.SpawnedChild{PodName: "worker"}})
	check(err)

	changes := []store.Change{{Pod: "planner", Op: store.Reclaim{Reclaimed: []store.ReclaimedChild{{PodName: "worker"}}}}}
	opts := &store.ApplyOptions{ID: store.NewRequestID()}
	seen := m.Version.Revision.Number // the highest number that the store gave before the change is sent
	applied, err := pods.Apply(ctx, changes, opts)
	if errors.Is(err, store.ErrUnknown) {
		fmt.Println("made or not: send it again")
		opts.Resent, opts.Seen = true, seen
		applied, err = pods.Apply(ctx, changes, opts)
	}
	check(err) // if it is ErrUnknown again, read the Pod and decide

	m, err = pods.Read(ctx, "planner")
	check(err)
	fmt.Println("reclaimed:", m.Reclaimed)
	fmt.Println("by this change:", m.Version == applied[0].Version)
	// Output:
	// made or not: send it again
	// reclaimed: [{worker []}]
	// by this change: true
}

// losesAnswer is a store that makes the first change with an ID and loses the answer.
type losesAnswer struct {
	store.MetadataStore
	lost bool
}

func (s *losesAnswer) Apply(ctx context.Context, changes []store.Change, opts *store.ApplyOptions) ([]store.Applied, error) {
	applied, err := s.MetadataStore.Apply(ctx, changes, opts)
	if opts != nil && opts.ID != (store.RequestID{}) && !s.lost {
		s.lost = true
		return nil, &store.Error{Op: "apply", Pod: changes[0].Pod, Kind: store.ErrUnknown}
	}
	return applied, err
}

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
