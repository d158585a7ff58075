//go:build podstore_mutant

package boltstore

import "os"

// mutant is one of nosync, nodirsync, noerror, nopoison, nowait, nocrc, norecord,
// nohistory, noowners, onenumber; of what watchers are told, nowake, halfbatch,
// nodeletion.
var mutant = os.Getenv("PODSTORE_MUTANT")
