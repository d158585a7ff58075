// Package storetest proves that a backend keeps the contract of package store.
// It is public, so that any other backend can be proved in the same way:
//
//	func TestConformance(t *testing.T) {
//		storetest.Metadata(t, storetest.Backend{
//			Open: func(t *testing.T) store.MetadataStore { … },
//		})
//	}
//
// Random operations print their seed; -storetest.seed=N repeats a run and
// -storetest.steps=N makes it longer. Run the suite with -race as well.
package storetest
