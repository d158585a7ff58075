// Package store defines what podstore keeps and what a backend guarantees.
//
// A Pod is a named, long-running agent process on one host. Its [Metadata] is
// what must survive every crash: the active session and segment, the children
// it spawned and the scope it delegated to them, what it reclaimed, its peers,
// and the manifest snapshot from which it is restored by name.
//
// [MetadataStore] is the small interface that every backend implements; its doc
// comments are the contract and store/storetest is the proof. A [Change] is one
// operation on one Pod as a plain value, under a [Condition]. Apply makes several as
// one transaction. [Do] makes operations on one Pod, [Write] replaces one,
// [LinkPeers] and [UnlinkPeers] change two. What no operation says, Update does with
// a closure.
//
//	err := store.Do(ctx, pods, "planner", store.AddChild{Child: child})
//	err = store.LinkPeers(ctx, pods, "planner", "coder") // both sides or neither
//
// Abilities that not every backend has are small interfaces of their own: [Lister],
// [PartReader], [PodUpdater], [Watcher], [Snapshotter], [BatchWriter], [Rooted]. A
// function for each, such as [ReadPart] and [Watch], takes any store. [Watch] tells
// what changes; store/mirror keeps all Pods in memory by it.
//
// [SessionLog] is the other half of a supervisor's state: session logs, to
// which metadata points but which it neither owns nor replays. [Combined]
// carries both in one handle.
//
// Backends: store/boltstore (one bbolt file), store/memstore (memory, for tests),
// store/jsonexport (a directory of
// metadata.json files), store/socketstore (the store of another process, through a
// Unix socket), store/etcdstore (etcd, a module of its own), store/jsonlstore
// (session logs as JSON Lines).
package store
