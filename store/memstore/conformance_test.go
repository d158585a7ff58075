package memstore_test

import (
	"fmt"
	"testing"

	"podstore/store"
	"podstore/store/memstore"
	"podstore/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Metadata(t, storetest.Backend{
		Open: func(*testing.T) store.MetadataStore { return memstore.New() },
		Damage: func(t *testing.T, s store.MetadataStore, pod string) store.MetadataStore {
			if !s.(*memstore.Store).Damage(pod) {
				t.Fatalf("there is no Pod %q to damage", pod)
			}
			return s
		},
		Written: func(_ *testing.T, s store.MetadataStore) string { return fmt.Sprint(s.(*memstore.Store).Number()) },
	})
}
