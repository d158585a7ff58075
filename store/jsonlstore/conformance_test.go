package jsonlstore_test

import (
	"testing"

	"podstore/store"
	"podstore/store/jsonlstore"
	"podstore/store/storetest"
)

func open(t testing.TB, root string, opts *jsonlstore.Options) *jsonlstore.Store {
	t.Helper()
	s, err := jsonlstore.Open(root, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Sessions(t, func(t *testing.T) store.SessionLog { return open(t, t.TempDir(), nil) })
}

func TestConformanceWithoutSync(t *testing.T) {
	t.Parallel()
	storetest.Sessions(t, func(t *testing.T) store.SessionLog {
		return open(t, t.TempDir(), &jsonlstore.Options{Sync: jsonlstore.SyncNever})
	})
}
