// Package etcdstore keeps Pod metadata in etcd, for several hosts that share one
// store.
//
// [New] takes a client that the program has configured, with its endpoints, TLS
// and user, and gives a [*Store], which is a [store.MetadataStore] with every
// optional ability but a root directory. It is a module of its own, so that who
// does not use etcd does not download its libraries.
//
// Each change is one etcd transaction: it compares the revisions of all that was
// read, those of absent keys included, and writes only the sub-keys that changed.
// After a conflict with another writer the store reads again and calls the edit
// again, with jittered back-off, for as long as [Options] say. What returned
// without an error is on the disks of a majority of the members.
//
// # Answers that are lost
//
// A connection that breaks, or a leader that dies, can take the answer to a
// transaction with it. The store then finds out what became of it: it first makes
// sure that the transaction can no longer happen, by changing a key that every
// transaction compares, and then looks for the mark that the transaction would
// have left. Only if no server answers until the time in [Options] is over, or soon
// after the caller's context has ended, or the history that would tell has been
// compacted, the error is [store.ErrUnknown].
//
// # Watching the client
//
// A server that hangs keeps its connection. Give the client several endpoints, and
// DialKeepAliveTime and DialKeepAliveTimeout, so that it leaves such a server; until
// then each request to it costs [Options].RequestTimeout.
//
// keys.go draws the keys, docs/etcd.md describes them.
package etcdstore
