// Package boltstore keeps Pod metadata in one bbolt file.
//
// [Open] gives a [*Store], which is a [store.MetadataStore] with the abilities
// [store.Lister], [store.PodUpdater] and [store.Snapshotter]. Each change is one bbolt transaction; callers that arrive while a
// commit is under way share the next one, so that many writers cost little more
// than one. What returned without an error is on disk.
//
// The file belongs to one process at a time: a lock is taken on Open and kept
// until Close. Damage is an error that names what is damaged, never a panic, and
// the rest is still served.
//
// schema.go draws the file format, docs/format.md describes it to the byte, and
// docs/durability.md says what survives what and how that is tested.
package boltstore
