package memstore_test

import (
	"testing"

	"podstore/store"
	"podstore/store/memstore"
	"podstore/store/storetest"
)

func TestLateSendings(t *testing.T) {
	storetest.LateSendings(t, func(*testing.T) store.MetadataStore { return memstore.New() })
}
