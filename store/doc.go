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
// on one Pod, [Write] replaces one, [LinkPeers] and [UnlinkPeers] change two. What no
// operation can express, Update does with a closure.
//
//	err := store.Do(ctx, pods, "planner", store.AddChild{Child: child})
//	err = store.LinkPeers(ctx, pods, "planner", "coder") // both sides or neither
//
// # Guarantees
//
// These hold for every backend, unless its package comment says otherwise:
//
//   - Atomic: the changes of one Apply, and the edit of one Update or [UpdatePods], are
//     made completely or not at all, for all Pods together. Nobody sees half of them.
//   - Durable: a change that returned nil survives a crash and a loss of power. What was
//     under way is then there completely or not at all.
//   - Isolated: no update is lost. Calls take effect in one order that agrees with
//     the order in which they began and ended.
//   - Errors match a sentinel of this package ([ErrNotFound] and so on) by [errors.Is].
//     [MetadataStore] lists those after which nothing was changed. [Error] says for which
//     Pod, and where.
//   - Damage is an error that names the Pod ([ErrCorrupt]). Other Pods are served.
//   - Memory: what a store returns belongs to the caller, except what [Watch] yields,
//     which all watchers share. What a caller passes in stays its own: a store neither
//     changes nor keeps it.
//   - Limits: a Pod's name has at most [MaxNameLen] bytes, a value at most [MaxValueSize]
//     bytes and [MaxValueDepth] nested containers. A backend may bound one change
//     ([ErrTooLarge]).
//   - Unknown top-level fields of a metadata.json are kept: see [Metadata] Extra.
//
// Which processes may open a store together, on which file systems, and which older
// formats are read, differs: the package of each backend says so.
//
// # Abilities
//
// Abilities that not every backend has are small interfaces of their own: [Lister],
// [PartReader], [PodUpdater], [Watcher], [Snapshotter], [BatchWriter], [Rooted]. For most
// of them a function, such as [ReadPart] or [Watch], takes any store. It does without
// the ability, or fails with [errors.ErrUnsupported]. [Watch] yields what changes;
// store/mirror uses it to keep all Pods in memory.
//
// [SessionLog] is the other half of a supervisor's state: session logs. Metadata
// points to them, but neither owns nor replays them. [Combined] carries both in one
// handle.
//
// Backends: store/boltstore (one bbolt file), store/socketstore (the store of another
// process, through a Unix socket), store/etcdstore (etcd, a module of its own),
// store/jsonexport (a directory of metadata.json files), store/memstore (memory, for
// tests). store/jsonlstore keeps session logs as JSON Lines.
package store
