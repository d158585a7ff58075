package jsonexport

import "testing"

// setSyncAll makes batches use, or not use, one sync of the whole file system.
func setSyncAll(t testing.TB, on bool) {
	before := maySyncAll
	maySyncAll = on
	t.Cleanup(func() { maySyncAll = before })
}
