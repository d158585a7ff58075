//go:build !podstore_mutant

package boltstore

// mutant is empty in every real build. In a build with the tag podstore_mutant it names
// one protection to leave out. The tests of durability must then fail.
const mutant = ""
