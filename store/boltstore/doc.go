// Package boltstore keeps Pod metadata in one bbolt file.
//
// [Open] returns a [*Store]. It is a [store.MetadataStore] with the abilities
// [store.PartReader], [store.Lister], [store.PodUpdater], [store.Watcher] and
// [store.Snapshotter]. Each change is one bbolt transaction. Callers that arrive during
// a commit share the next one, so many writers cost little more than one. What returned
// without an error is on disk.
//
// The file belongs to one process at a time: Open takes a lock and Close releases it.
// Open reads format versions 1 and 2. The first change to a file of version 1 makes it
// version 2, which older programs refuse. The file never shrinks; [Compact] writes a
// smaller one. When the open file was moved, removed or replaced, changes fail with
// [store.ErrUnusable].
//
// Damage is an error that names what is damaged, never a panic. The store still serves
// the rest.
//
// format.go draws the file format, docs/format.md describes it to the byte, and
// docs/durability.md says what survives which failure and which test shows it.
package boltstore
