// Package linear checks that histories of a store are linearizable: the results of
// concurrent calls fit one order of these calls, each at one moment between its
// beginning and its end. A call with an unknown result may happen at any later moment,
// or not at all.
//
// The package is for tests. It is not part of store/storetest, so that a backend's
// author who uses only that does not need the checker.
package linear
