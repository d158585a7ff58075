package storetest

import (
	"testing"

	"podstore/store"
)

// Backend is how the suite gets at the metadata store that it proves. Open is
// required; each of the others adds tests that cannot be written without it.
type Backend struct {
	// Open returns a store without Pods. It is called anew for each test, and
	// registers what must be closed with t.Cleanup. Where the store is a
	// [store.Rooted], nothing but the test may write beside its root.
	Open func(t *testing.T) store.MetadataStore

	// Reopen closes s and opens the same data again.
	Reopen func(t *testing.T, s store.MetadataStore) store.MetadataStore

	// Check fails t if what s keeps is not sound. It is called at the end of each
	// test, before what Open registered for its end.
	Check func(t *testing.T, s store.MetadataStore)

	// Damage spoils what is kept of one Pod, so that it can no longer be read,
	// and returns the store open on it.
	Damage func(t *testing.T, s store.MetadataStore, pod string) store.MetadataStore

	// Written returns something that differs after any write to what s keeps,
	// such as a transaction number.
	Written func(t *testing.T, s store.MetadataStore) string

	// Dangling says that Remove may miss a reference which another change makes
	// meanwhile without the condition that the Pod exists.
	Dangling bool
}

// Metadata proves that a [store.MetadataStore] keeps the promises of its
// interface, one subtest for each, and those of every optional ability that it
// has. An ability that is absent, or that says [errors.ErrUnsupported], is
// skipped.
//
// The last subtest compares random operations with a model in memory. It prints
// its seed; -storetest.seed repeats a run, -storetest.steps sets its length.
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

// skipping gives tests that are skipped where the store is not able.
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
