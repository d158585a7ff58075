// Package socketstore lets other processes use a store through a Unix socket of
// the process that has it open. bbolt lets one process open its file, yet Pods
// are processes of their own: the supervisor serves the store that it holds, and
// each Pod has a [Client], which is a [store.MetadataStore] like any other.
//
// The supervisor mounts [Handler] and serves it with [NewServer]:
//
//	mux := http.NewServeMux()
//	mux.Handle(boltstore.SnapshotPath, pods.Handler()) // for reading
//	mux.Handle(socketstore.Prefix, socketstore.Handler(pods, nil))
//	listener, err := boltstore.ListenUnix(path)
//	…
//	err = socketstore.NewServer(mux, nil).Serve(listener)
//
// and a Pod calls [Dial]. Only processes of the supervisor's user, and of root,
// are answered.
//
// An edit runs in the client: it reads, edits, and writes under the condition
// that nothing has changed meanwhile; otherwise it runs the edit again on what is
// there now. All Pods of one write are changed in one transaction of the server,
// and the writes of all clients share its commits.
//
// # When an answer is lost
//
// The server may die, or the connection break, after a change was sent and before
// its answer came. The client then asks again, for as long as [Options.Patience].
//
// The same server remembers the changes that it made last, by an id that each
// carries, and answers a repeated one without making it again. A server that was
// started meanwhile cannot know. The client then reads the Pods again:
//   - If they are as the call would leave them (for an edit: running it on them
//     changes nothing), the call has succeeded.
//   - If they are as the edit found them, the change is not there, and it is made
//     again. This is right even if it had been made and another client has undone
//     exactly that since: it then counts as made after the undoing.
//   - Otherwise nobody can tell, and the error matches [store.ErrUnknown].
//
// So nil means that the change was made and is durable, [store.ErrUnknown] that it
// may or may not have been made, and every other error what [store.MetadataStore]
// says of it. docs/socket.md describes the protocol.
package socketstore
