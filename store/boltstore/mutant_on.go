//go:build podstore_mutant

package boltstore

import "os"

// mutant is one of nosync, nodirsync, noerror, nopoison, nocrc, norecord, noowners,
// nowait (a reader does not wait for the sync), onenumber (all changes of a commit have
// one revision number), nohistory (digest and stamp do not cover the history), or, for
// watchers, nowake, halfbatch and nodeletion.
var mutant = os.Getenv("PODSTORE_MUTANT")
