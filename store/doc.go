// Package store defines what podstore keeps and what every backend guarantees.
//
// A Pod is a named, long-running agent process on one host. Its [Metadata] is
// what must survive every crash: the active session and segment, the children
// it spawned and the scope it delegated to them, what it reclaimed, its peers,
// and the manifest snapshot from which it is restored by name.
//
// [MetadataStore] is the small interface that every backend implements. Its doc
// comments are the contract, and the suite in store/storetest tests each backend
// against it. A [Change] is one operation on one Pod as a plain value, with a
// [Condition]. Apply makes several changes in one transaction. [Do] makes operations
// on one Pod, [Write] replaces one, [LinkPeers] and [UnlinkPeers] change two. For what
// no operation can express, Update takes a function that edits one Pod, and [UpdatePods]
// one that edits several.
//
//	err := store.Do(ctx, pods, "planner", store.AddChild{Child: child})
//	err = store.LinkPeers(ctx, pods, "planner", "coder") // both sides or neither
//
// # Guarantees
//
// These hold for every metadata store, unless its package comment says otherwise:
//
//   - Atomic: the changes of one Apply, and the edit of one Update or [UpdatePods], are
//     made completely or not at all, for all Pods together. No call sees half of them.
//     Only a loop over [All] reads different Pods at different moments: it may see one
//     Pod as it was before an Apply and another as it was after. A [Snapshotter] freezes
//     one moment.
//   - Durable: a change that returned nil survives a crash and a loss of power. A change
//     that was under way at that moment is there completely or not at all.
//   - Isolated: calls that run at the same time lose no change; two AddPeer both take
//     effect. Only what replaces a value, such as Write and SetPeers, replaces what others
//     put there: so do not Read and then Write, but use an operation, Update, or the
//     condition AtRevision. Each call of Read, List, Apply, Update and UpdatePods takes
//     effect at one moment between its start and its return (linearizable), except that
//     a change that failed with ErrUnknown may take effect later, or never. So a call
//     sees every change that returned before the call began, including the caller's own.
//   - Errors: a store returns the context's error, the edit's error, or an error that
//     matches, by [errors.Is], a sentinel of this package ([ErrNotFound] and so on) or
//     [errors.ErrUnsupported]. Only an unexpected error, such as an I/O error of the
//     operating system, may match none. The comment of [MetadataStore] lists the errors
//     after which nothing was changed. [Error] says for which Pod, and where.
//   - Damage: a damaged Pod gives an error that names it ([ErrCorrupt]). The other Pods
//     can still be read and changed. To repair the Pod, write it anew ([Put]) or delete
//     it ([Delete]).
//   - Memory: what a store returns belongs to the caller, with three exceptions. All
//     watchers share what [Watch] yields. The results of one Apply for one Pod may share
//     their Metadata. The metadata that Update and [UpdatePods] return may share memory
//     with values that the edit assigned. What a caller passes in still belongs to the
//     caller: a store neither changes nor keeps it.
//   - Limits: a Pod's name has at most [MaxNameLen] bytes. [MaxValueSize] and
//     [MaxValueDepth] limit what a Pod holds. A backend may bound one change
//     ([ErrTooLarge]). The number of Pods has no limit here.
//   - Unknown top-level fields of a metadata.json are kept: see [Metadata].Extra.
//   - No store removes or shortens anything by itself: see [TrimReclaimed] and [Remove].
//
// Backends differ in which processes may open a store together, on which file systems,
// and which older formats they read: see their package comments.
//
// # Abilities
//
// Abilities that not every backend has are small interfaces of their own: [Lister],
// [PartReader], [PodUpdater], [Watcher], [Snapshotter], [BatchWriter], [Rooted]. For most
// of them a function, such as [ReadPart], [UpdatePods] or [Watch], takes any store. For a
// store without the ability the function uses a slower way, or fails with
// [errors.ErrUnsupported]. [Watch] yields what changes; store/mirror uses it to keep all
// Pods in memory.
//
// [SessionLog] is the other half of a supervisor's state: session logs. Metadata only
// points to them: deleting a Pod deletes no log. [Combined] carries both in one handle.
//
// Backends: store/boltstore (one bbolt file), store/socketstore (the store of another
// process, through a Unix socket), store/etcdstore (etcd, a module of its own),
// store/jsonexport (a directory of metadata.json files), store/memstore (memory, for
// tests). store/jsonlstore keeps session logs as JSON Lines.
package store
