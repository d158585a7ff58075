// Package podjson reads and writes one Pod's metadata.json, byte for byte as
// serde_json 1.0.149 prints it.
//
// [Decode] and [Encode] convert one document. [Read] is Decode of the file of one
// Pod; [Append] and [Naming.AppendMax] are Encode into a buffer. All are safe for
// concurrent use. docs/json.md describes the layout.
//
// A field that comes twice is refused, also an unknown one at the top (decode.go). Inside
// the manifest and inside unknown fields the last of equal keys is kept (order.go of
// package jsonvalue).
package podjson
