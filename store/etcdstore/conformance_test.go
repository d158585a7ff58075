package etcdstore_test

import (
	"context"
	"fmt"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"podstore/store"
	"podstore/store/etcdstore"
	"podstore/store/storetest"
)

// The suite edits 200 Pods at once and writes large manifests, so servers, client
// and store have their limits raised. Every test has a prefix of its own.
func TestConformance(t *testing.T) {
	const ops, bytes = 2048, 8 << 20
	server := newCluster(t, 1, func(mc *memberConfig) { mc.MaxTxnOps, mc.MaxRequestBytes = ops, bytes })
	client := newClient(t, func(c *clientv3.Config) { c.MaxCallSendMsgSize = bytes }, server.endpoints...)
	opts := &etcdstore.Options{MaxTxnOps: ops, MaxRequestBytes: bytes}
	storetest.Metadata(t, storetest.Backend{
		Open: func(t *testing.T) store.MetadataStore { return newStore(t, client, opts) },
		Reopen: func(t *testing.T, s store.MetadataStore) store.MetadataStore {
			again, err := etcdstore.New(client, s.(*etcdstore.Store).Prefix(), opts)
			if err != nil {
				t.Fatal(err)
			}
			return again
		},
		Check: func(t *testing.T, s store.MetadataStore) { check(t, s.(*etcdstore.Store)) },
		Damage: func(t *testing.T, s store.MetadataStore, pod string) store.MetadataStore {
			flipBit(t, client, s.(*etcdstore.Store).Prefix()+"values/"+pod+"/peers")
			return s
		},
		Written: func(t *testing.T, s store.MetadataStore) string {
			rev := int64(0)
			for _, kv := range keys(t, client, s.(*etcdstore.Store).Prefix()).Kvs {
				rev = max(rev, kv.ModRevision)
			}
			return fmt.Sprint(rev)
		},
		Dangling: true,
	})
}

// flipBit changes the last bit of a value.
func flipBit(t *testing.T, client *clientv3.Client, key string) {
	t.Helper()
	ctx := context.Background()
	resp, err := client.Get(ctx, key)
	if err != nil || len(resp.Kvs) != 1 {
		t.Fatal(resp, err)
	}
	value := resp.Kvs[0].Value
	value[len(value)-1] ^= 1
	if _, err := client.Put(ctx, key, string(value)); err != nil {
		t.Fatal(err)
	}
}
