// Package linear checks that histories of a store are linearizable: that what
// concurrent callers were told fits one order of their calls, each at one moment
// between its beginning and its end. Calls of which the caller was told nothing
// certain may have taken place at any later moment, or not at all.
//
// It is for tests. It is no part of store/storetest, so that who proves a backend
// with that does not need the checker.
package linear
