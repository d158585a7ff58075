package socketstore_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
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
	mux := http.NewServeMux()
	mux.Handle(boltstore.SnapshotPath, pods.Handler())
	mux.Handle(socketstore.Prefix, socketstore.Handler(pods, nil))
	listener, err := boltstore.ListenUnix(socket)
	if err != nil {
		log.Fatal(err)
	}
	server := socketstore.NewServer(mux, nil)
	go server.Serve(listener)

	// Any other process of the same user.
	client, err := socketstore.Dial(socket, nil)
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
	err = store.Do(ctx, client, "builder", store.AddPeer{PodName: "reviewer"})
	if errors.Is(err, store.ErrUnknown) {
		// The supervisor went away meanwhile. To add a peer again does no harm.
		err = store.Do(ctx, client, "builder", store.AddPeer{PodName: "reviewer"})
	}
	if err != nil {
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
	// Output: [{reviewer} {tester}]
}
