// Package jsonexport is the directory layout {root}/{pod}/metadata.json; package
// podjson is what one such file holds.
//
// [Dir] is the layout as a
// [store.MetadataStore]. [Import] reads a directory into any store, [Export]
// writes a store out, [Verify] compares the two; all three account for every
// Pod with one [Result].
//
// Below the root directory nothing is followed: a symbolic link in place of a
// Pod's directory or of its metadata.json is refused. The root itself and what
// leads to it may be links.
package jsonexport
