//go:build !podstore_mutant

package boltstore

// mutant is empty in every real build. Built with the tag podstore_mutant it
// names one protection to leave out, so that the tests of durability can show
// that they notice.
const mutant = ""
