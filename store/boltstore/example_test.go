package boltstore_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"podstore/store"
	"podstore/store/boltstore"
)

// A supervisor keeps its Pods in one file.
func Example() {
	ctx := context.Background()
	dir, _ := os.MkdirTemp("", "example")
	defer os.RemoveAll(dir)

	pods, err := boltstore.Open(filepath.Join(dir, "pods.db"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer pods.Close()
	session := store.NewSessionID()
	for _, name := range []string{"planner", "coder"} {
		manifest := fmt.Appendf(nil, `{"pod": {"name": %q}}`, name)
		if err := store.Do(ctx, pods, name, store.SetActive{Active: store.PendingSegment(session), Manifest: manifest}); err != nil {
			log.Fatal(err)
		}
	}
	if err := store.LinkPeers(ctx, pods, "planner", "coder"); err != nil { // both sides or neither
		log.Fatal(err)
	}
	m, err := pods.Read(ctx, "coder")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s sees %s; manifest %s\n", m.PodName, m.Peers[0].PodName, m.Manifest)
	// Output: coder sees planner; manifest {"pod":{"name":"coder"}}
}

// One atomic edit moves a child from one parent to another. After a crash, exactly one
// of them has it.
func ExampleStore_UpdatePods() {
	ctx := context.Background()
	dir, _ := os.MkdirTemp("", "example")
	defer os.RemoveAll(dir)
	pods, err := boltstore.Open(filepath.Join(dir, "pods.db"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer pods.Close()
	if err := store.Do(ctx, pods, "old", store.SetChildren{Children: []store.SpawnedChild{{PodName: "worker"}}}); err != nil {
		log.Fatal(err)
	}
	after, err := pods.UpdatePods(ctx, []string{"old", "new"}, func(p []*store.Metadata) error {
		if p[1] == nil {
			p[1] = &store.Metadata{}
		}
		p[1].Children = append(p[1].Children, p[0].Children...)
		p[0].Children = nil
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(after[0].Children), after[1].Children[0].PodName)
	// Output: 0 worker
}

// If another process has the file open, Open says so in its error, after a few seconds
// at most.
func ExampleOpen_locked() {
	dir, _ := os.MkdirTemp("", "example")
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "pods.db")
	first, err := boltstore.Open(path, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer first.Close()
	_, err = boltstore.Open(path, &boltstore.Options{LockTimeout: 1})
	fmt.Println(errors.Is(err, store.ErrLocked))
	// Output: true
}

// The loop over a listing may change the Pods that it lists: no transaction is open in
// the loop.
func ExampleStore_All() {
	ctx := context.Background()
	dir, _ := os.MkdirTemp("", "example")
	defer os.RemoveAll(dir)
	pods, err := boltstore.Open(filepath.Join(dir, "pods.db"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer pods.Close()
	for _, name := range []string{"b", "a"} {
		if err := store.Write(ctx, pods, &store.Metadata{PodName: name}); err != nil {
			log.Fatal(err)
		}
	}
	for m, err := range pods.All(ctx, store.ReadOptions{OmitManifest: true}) {
		if err != nil {
			log.Print(err) // a damaged Pod; the others follow
			continue
		}
		if err := store.Do(ctx, pods, m.PodName, store.AddPeer{PodName: "watcher"}); err != nil {
			log.Fatal(err)
		}
		fmt.Println(m.PodName)
	}
	// Output:
	// a
	// b
}
