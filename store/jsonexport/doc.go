// Package jsonexport reads and writes the directory layout {root}/{pod}/metadata.json.
// Package podjson has the format of one such file.
//
// [Dir] is the layout as a [store.MetadataStore]. [Import] reads a directory into any
// store, [Export] writes a store to a directory, [Verify] compares the two. All three
// report one [Result] for every Pod.
//
// A Dir does without some of what other stores promise. Apply changes one Pod at a time
// and keeps no request IDs, [store.Remove] is refused, and when two processes change a
// Pod at once, one change may be lost. [Dir] has the details.
//
// Below the root directory no symbolic link is followed: one in place of a Pod's
// directory or of its metadata.json is refused. The path of the root may have links.
package jsonexport
