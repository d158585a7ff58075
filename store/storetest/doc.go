// Package storetest proves that a backend keeps the contract of package store. It is
// public, so that you can prove any other backend in the same way:
//
//	func TestConformance(t *testing.T) {
//		storetest.Metadata(t, storetest.Backend{
//			Open: func(t *testing.T) store.MetadataStore { … },
//		})
//	}
//
// Random operations print their seed. -storetest.seed=N repeats a run,
// -storetest.steps=N makes it longer. Run the suite with -race as well.
package storetest
