// Package socketstore serves a store on a Unix socket, and is the client of such a
// server.
//
// [Listen] makes the socket, [NewServer] serves any [store.MetadataStore] on it, and
// [Dial] returns a [*Client]. A Client is a store with the abilities [store.PartReader],
// [store.Lister], [store.PodUpdater] and [store.Watcher]; [FetchSnapshot] copies the
// server's database.
//
// The server makes a change as its store does: all or nothing, durable when the call
// returns. Changes of several callers of one Client may travel together. Each of them is
// still made or refused by itself, and the end of one caller's context does not touch
// the others. The client sends a change again under the same request ID when the answer
// was lost, so it is made once. If the client still cannot learn the result, the error
// matches [store.ErrUnknown]. A server whose store keeps no IDs, such as a directory,
// gets no ID, and the client sends nothing again.
//
// The client makes an ID for each change that has none, and does not show it. After
// ErrUnknown only an Apply with an ID of the caller's ([store.ApplyOptions]) can be sent
// again; for other changes read the Pods.
//
// Edits run in the client and are written under the condition that nobody else has
// changed the Pods; otherwise they run again.
//
// A client waits for a server that is not there yet or is restarting, for
// [Options.Patience]. The server accepts only processes of its own user and of root.
// [ServerOptions] holds further rights, and the limits of everything that a client can
// make the server do.
//
// docs/socket.md describes the protocol, which is HTTP.
package socketstore
