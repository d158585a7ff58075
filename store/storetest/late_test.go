package storetest

import (
	"testing"

	"podstore/store"
	"podstore/store/memstore"
)

func TestLateSendings(t *testing.T) {
	LateSendings(t, func(*testing.T) store.MetadataStore { return memstore.New() })
}
