package socketstore_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"testing"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/storetest"
)

// A client keeps the contract of a store, against a server in another process.
func TestConformance(t *testing.T) {
	t.Parallel()
	by := startSupervisor(t)
	again := func(t *testing.T, s store.MetadataStore) *served {
		old := s.(*served)
		old.close(t)
		return &served{by: by, dir: old.dir}
	}
	storetest.Metadata(t, storetest.Backend{
		Open: func(t *testing.T) store.MetadataStore { return openServed(t, by) },
		Reopen: func(t *testing.T, s store.MetadataStore) store.MetadataStore {
			opened := again(t, s)
			opened.open(t)
			return opened
		},
		Check: func(t *testing.T, s store.MetadataStore) {
			checkFile(t, again(t, s).db())
		},
		Damage: func(t *testing.T, s store.MetadataStore, pod string) store.MetadataStore {
			opened := again(t, s)
			flipBit(t, opened.db(), pod, "peers")
			opened.open(t)
			return opened
		},
		Written: func(t *testing.T, s store.MetadataStore) string {
			data, err := os.ReadFile(s.(*served).db())
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("%x", sha256.Sum256(data))
		},
	})
}

func checkFile(t testing.TB, path string) {
	t.Helper()
	if _, err := boltstore.Check(context.Background(), path, nil, func(f boltstore.Finding) {
		t.Errorf("check finds: %s %s", f.Pod, f.Reason)
	}); err != nil {
		t.Error(err)
	}
}

// flipBit changes the last bit of a Pod's stored value.
func flipBit(t *testing.T, path, pod, key string) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(pod))
		value := append([]byte(nil), b.Get([]byte(key))...)
		value[len(value)-1] ^= 1
		return b.Put([]byte(key), value)
	})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}
