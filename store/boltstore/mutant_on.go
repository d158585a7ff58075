//go:build podstore_mutant

package boltstore

import "os"

// mutant is one of nosync, noerror, nocrc, norecord.
var mutant = os.Getenv("PODSTORE_MUTANT")
