// Package etcdstore keeps Pod metadata in etcd, for several hosts that share one store.
//
// [New] takes a client that the program has configured with endpoints, TLS and user. It
// returns a [*Store], which is a [store.MetadataStore] with every optional ability
// except a root directory. The package is a module of its own, so that programs without
// etcd do not download its libraries.
//
// Each Apply is one etcd transaction. It compares the revisions of the Pods that it
// concerns and writes only the sub-keys that changed. After a conflict with another
// writer the store reads again, with jittered back-off, for as long as [Options] say.
// What returned without an error is on the disks of a majority of the members.
//
// # Lost answers
//
// A connection that breaks, or a leader that dies, can take the answer to a transaction
// with it. Every Apply has an ID, its caller's or one of its own, and the changed Pods
// keep it. So the store reads again and knows whether the transaction was made. If it
// was not, the store sends it again. At most one of the two is made, however late the
// other arrives. The error is [store.ErrUnknown] only if no server answers within the
// time in [Options], or soon after the caller's context has ended, or if the history
// that would show it has been compacted.
//
// # Watching the client
//
// A server that hangs keeps its connection. Give the client several endpoints,
// DialKeepAliveTime and DialKeepAliveTimeout, so that it leaves such a server. Until
// then, each request to it costs [Options].RequestTimeout.
//
// keys.go draws the keys, docs/etcd.md describes them.
package etcdstore
