// Package durabilitytest has no code to use. Its tests prove what package
// boltstore promises about crashes, power loss, I/O errors and damaged files:
// child processes are killed at chosen system calls, what they wrote is replayed
// with unsynced writes lost or torn, their system calls are made to fail, and
// damaged files are opened, each against a model that knows which states are
// right. The same harness is then run against builds that lack one protection
// each, and must notice.
//
// Tests that need strace, or root, skip without it. PODSTORE_LONG=1 makes the
// runs several times as long. docs/durability.md has the figures.
package durabilitytest
