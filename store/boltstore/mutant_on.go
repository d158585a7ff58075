//go:build podstore_mutant

package boltstore

import "os"

// mutant is one of nosync, nodirsync, noerror, nopoison, nocrc, norecord, noowners,
// nowait (a reader does not wait for the sync), onenumber (one revision number for a
// whole commit), nohistory (digest and stamp say nothing of the history); of what
// watchers are told, nowake, halfbatch, nodeletion.
var mutant = os.Getenv("PODSTORE_MUTANT")
