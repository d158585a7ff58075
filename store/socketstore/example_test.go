package socketstore_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/socketstore"
)

// A supervisor serves its store, and another process changes it.
func Example() {
	dir, err := os.MkdirTemp("", "ps")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "sock")
	ctx := context.Background()

	// The supervisor.
	pods, err := boltstore.Open(filepath.Join(dir, "pods.db"), nil)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := socketstore.Listen(socket)
	if err != nil {
		log.Fatal(err)
	}
	server := socketstore.NewServer(pods, nil)
	go server.Serve(listener)

	// Any other process of the same user.
	client, err := socketstore.Dial(ctx, socket, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"builder", "tester"} {
		if err := store.Write(ctx, client, &store.Metadata{PodName: name}); err != nil {
			log.Fatal(err)
		}
	}
	if err := store.LinkPeers(ctx, client, "builder", "tester"); err != nil {
		log.Fatal(err)
	}

	// What was answered is in the supervisor's file.
	m, err := pods.Read(ctx, "builder")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m.Peers)
	if err := errors.Join(client.Close(), server.Shutdown(ctx), pods.Close()); err != nil {
		log.Fatal(err)
	}
	// Output: [{tester}]
}

// Two callers want to resume a Pod, and one gets it: the claim is a change on condition
// that nobody has changed the Pod since the caller read it.
func ExampleClient_Apply() {
	dir, err := os.MkdirTemp("", "ps")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	stop, err := serve(filepath.Join(dir, "pods.db"), filepath.Join(dir, "sock"), nil)
	if err != nil {
		log.Fatal(err)
	}
	client, err := socketstore.Dial(ctx, filepath.Join(dir, "sock"), nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := store.Do(ctx, client, "builder", store.SetSegment{}); err != nil {
		log.Fatal(err)
	}
	found, err := client.Read(ctx, "builder")
	if err != nil {
		log.Fatal(err)
	}
	for _, who := range []string{"first", "second"} {
		_, err := client.Apply(ctx, []store.Change{{
			Pod: "builder",
			Op:  store.SetSegment{Active: store.PendingSegment(store.NewSessionID())},
			If:  store.AtRevision(found.Version.Revision),
		}}, nil)
		fmt.Println(who, errors.Is(err, store.ErrConflict), err == nil)
	}
	if err := errors.Join(client.Close(), stop()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// first false true
	// second true false
}
