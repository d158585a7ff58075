// Package etcdstore keeps Pod metadata in etcd, for several hosts that share one
// store.
//
// [New] takes a client that the program has configured, with its endpoints, TLS
// and user, and gives a [*Store], which is a [store.MetadataStore] with every
// optional ability but a root directory. It is a module of its own, so that who
// does not use etcd does not download its libraries.
//
// Each Apply is one etcd transaction: it compares the revisions of the Pods that it
// concerns, and writes only the sub-keys that changed. After a conflict with another
// writer the store reads again, with jittered back-off, for as long as [Options] say.
// What returned without an error is on the disks of a majority of the members.
//
// # Answers that are lost
//
// A connection that breaks, or a leader that dies, can take the answer to a
// transaction with it. Every Apply has an ID, its caller's or one of its own, which is
// kept with the Pods that it changed. So the store reads again, and knows whether it
// was made; otherwise it sends it again, and at most one of the two is made, however
// late the other arrives. Only if no server answers until the time in [Options] is
// over, or soon after the caller's context has ended, or the history that would tell
// has been compacted, the error is [store.ErrUnknown].
//
// # Watching the client
//
// A server that hangs keeps its connection. Give the client several endpoints, and
// DialKeepAliveTime and DialKeepAliveTimeout, so that it leaves such a server; until
// then each request to it costs [Options].RequestTimeout.
//
// keys.go draws the keys, docs/etcd.md describes them.
package etcdstore
