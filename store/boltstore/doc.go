// Package boltstore keeps Pod metadata in one bbolt file.
//
// [Open] returns a [*Store]. It is a [store.MetadataStore] with the abilities
// [store.PartReader], [store.Lister], [store.PodUpdater], [store.Watcher] and
// [store.Snapshotter]. Each change is one bbolt transaction. Callers that arrive during
// a commit share the next one, so many writers take little longer than one. Each of
// these changes succeeds or fails by itself, unless the commit fails. What returned
// without an error is on disk.
//
// # Who can open the file
//
// One process at a time can have the file open for writing; several can read it while
// nobody writes. Open takes the lock and Close releases it. The same holds for two
// handles in one process. [Check], [Compact] and [Salvage] read: while a writer has the
// file open, they fail with [store.ErrLocked]. On the open Store use [Store.Backup],
// which checks its copy, or check or salvage a copy of [Store.WriteTo]. Other processes
// read and change the store through a socket: see store/socketstore.
//
// Somebody may move, remove or replace the open file. Then the next change is not made
// and fails with [store.ErrUnusable], and so does every call after it. Close the Store,
// put the right file back, and open it with Options.MustExist: without that, Open creates
// an empty database if no file is there.
//
// To restore a backup, close the store, put the backup in the place of the file, and open
// it. Revision numbers go on from those of the backup, so some are given twice.
//
// # Formats
//
// Open reads format versions 1 and 2. The first change to a file of version 1 makes it
// version 2, which older programs refuse: they change nothing and return
// [store.ErrFormat]. A Pod in which a newer version has put more than this one knows can
// neither be read nor changed here (ErrFormat); the other Pods can. docs/operations.md
// says how to go back to an older version.
//
// # Limits
//
// The changes of one Apply, Update or UpdatePods have no limit together, but all are in
// memory until the commit. A Pod's manifest takes at most 64 MiB ([store.MaxValueSize])
// as stored, and so do all its unknown fields together, all its children, all its peers,
// a history of up to 16 entries, and each entry of a longer history. What is larger fails
// with [store.ErrInvalid]. A longer history and a whole Pod have no other limit. The number
// of Pods has no limit, and the file only that of bbolt (256 TiB on a machine of 64
// bits). Open reads all names, so it takes longer with many Pods. The file never
// shrinks; [Compact] writes a smaller one.
//
// # Damage and errors
//
// Damage is an error that names what is damaged, never a panic. The store still serves
// the rest. If whole Pods have vanished from the file, a Pod that is not there may be one
// of them: then Read fails with [store.ErrCorrupt] instead of [store.ErrNotFound], and so
// does a change that would create a Pod, except [store.Put]. [Salvage] writes a file of
// what can be saved.
//
// An error that matches [store.ErrNoSpace] and not [store.ErrUnusable] means that nothing
// was changed. [Store] says when a handle becomes unusable.
//
// format.go draws the file format, docs/format.md describes it to the byte, and
// docs/durability.md says what survives which failure and which test shows it.
package boltstore
