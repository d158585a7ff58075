//go:build podstore_mutant

package boltstore

import "os"

// mutant is one of nosync, nodirsync, noerror, nopoison, nocrc, norecord, noowners.
var mutant = os.Getenv("PODSTORE_MUTANT")
