package storetest

import (
	"testing"

	"podstore/store"
)

// Backend gives the suite access to the metadata store under test. Open is required.
// Each of the other fields adds tests that need it.
type Backend struct {
	// Open returns an empty store. The suite calls it for each test. Open registers
	// with t.Cleanup what must be closed. If the store is a [store.Rooted], only the
	// test may write beside its root.
	Open func(t *testing.T) store.MetadataStore

	// Reopen closes s and opens the same data again.
	Reopen func(t *testing.T, s store.MetadataStore) store.MetadataStore

	// Check fails t if what s keeps is not sound. The suite calls it at the end of each
	// test, before the cleanups that Open registered.
	Check func(t *testing.T, s store.MetadataStore)

	// Damage damages what the store keeps of one Pod, so that the Pod cannot be read
	// any more. It returns the store opened again.
	Damage func(t *testing.T, s store.MetadataStore, pod string) store.MetadataStore

	// Written returns a value that changes with every write to what s keeps, such as a
	// transaction number.
	Written func(t *testing.T, s store.MetadataStore) string

	// Dangling: Remove may miss a reference that another change makes meanwhile without
	// the condition that the Pod exists.
	Dangling bool
}

// Metadata proves that a [store.MetadataStore] keeps the promises of its interface, one
// subtest for each, and the promises of every optional ability that it has. It skips an
// ability that is absent or returns [errors.ErrUnsupported].
//
// The last subtest compares random operations with a model in memory. It prints its
// seed. -storetest.seed repeats a run, -storetest.steps sets its length.
func Metadata(t *testing.T, b Backend) {
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"Write", writeTests},
		{"Read", readTests},
		{"List", listTests},
		{"Delete", deleteTests},
		{"Update", updateTests},
		{"Contexts", contextTests},
		{"Names", nameTests},
		{"Values", valueTests},
		{"Memory", memoryTests},
		{"Operations", operationTests},
		{"Apply", applyTests},
		{"Conditions", conditionTests},
		{"Versions", versionTests},
		{"Parts", partTests},
		{"Requests", requestTests},
		{"Remove", removeTests},
		{"History", historyTests},
		{"All", allTests},
		{"UpdatePods", updatePodsTests},
		{"Links", linkTests},
		{"WriteBatch", writeBatchTests},
		{"RootDir", rootDirTests},
		{"Snapshot", snapshotTests},
		{"Watch", watchTests},
		{"Reopen", reopenTests},
		{"Damage", damageTests},
		{"Concurrency", concurrencyTests},
		{"Random", randomTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) {
					s := &subject{T: t, MetadataStore: b.Open(t), b: b}
					defer s.end()
					test.run(s)
				})
			}
		})
	}
}

type test struct {
	name string
	run  func(s *subject)
}

// skipping returns tests that skip if the store is not able.
func skipping(why string, able func(*subject) bool, tests []test) []test {
	for i, t := range tests {
		tests[i].run = func(s *subject) {
			if !able(s) {
				s.Skip(why)
			}
			t.run(s)
		}
	}
	return tests
}
