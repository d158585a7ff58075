package boltstore_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Metadata(t, storetest.Backend{
		Open: func(t *testing.T) store.MetadataStore {
			return openForSuite(t, filepath.Join(t.TempDir(), "pods.db"))
		},
		Reopen: func(t *testing.T, s store.MetadataStore) store.MetadataStore {
			return openForSuite(t, closeForSuite(t, s))
		},
		Check: func(t *testing.T, s store.MetadataStore) {
			path := closeForSuite(t, s)
			checkFile(t, path)
			entries, err := os.ReadDir(filepath.Dir(path))
			if err != nil {
				t.Fatal(err)
			}
			if len(entries) != 1 {
				t.Errorf("beside the database are %v", entries)
			}
		},
		Damage: func(t *testing.T, s store.MetadataStore, pod string) store.MetadataStore {
			path := closeForSuite(t, s)
			flipBit(t, path, pod, "peers")
			return openForSuite(t, path)
		},
		Written: func(t *testing.T, s store.MetadataStore) string {
			data, err := os.ReadFile(s.(*boltstore.Store).Path())
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("%x", sha256.Sum256(data))
		},
	})
}

func openForSuite(t *testing.T, path string) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func closeForSuite(t *testing.T, s store.MetadataStore) (path string) {
	t.Helper()
	b := s.(*boltstore.Store)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Path()
}

// checkFile asks podstore's own check and bbolt's.
func checkFile(t *testing.T, path string) {
	t.Helper()
	if _, err := boltstore.Check(context.Background(), path, nil, func(f boltstore.Finding) {
		t.Errorf("check finds: %s %s", f.Pod, f.Reason)
	}); err != nil {
		t.Error(err)
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			t.Errorf("bbolt finds: %v", err)
		}
		return nil
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
