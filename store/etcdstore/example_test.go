package etcdstore_test

import (
	"context"
	"log"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"podstore/store"
	"podstore/store/etcdstore"
)

func Example() {
	client, err := clientv3.New(clientv3.Config{
		Endpoints:            []string{"10.0.0.1:2379", "10.0.0.2:2379", "10.0.0.3:2379"},
		DialTimeout:          5 * time.Second,
		DialKeepAliveTime:    10 * time.Second, // so that a server that hangs is left
		DialKeepAliveTimeout: 3 * time.Second,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	pods, err := etcdstore.New(client, "/podstore/production", nil)
	if err != nil {
		log.Fatal(err)
	}
	// Both Pods get the other as a peer, or neither, on whichever hosts they are.
	if err := store.LinkPeers(context.Background(), pods, "agent", "reviewer"); err != nil {
		log.Fatal(err)
	}
}
