// Package podjson is one Pod's metadata.json: the canonical document, byte for byte
// as serde_json 1.0.149 prints it.
//
// [Decode] and [Encode] convert one document; [Read] is Decode of the file of one
// Pod, [Append] and [AppendMax] are Encode for who has a buffer. All are safe for
// concurrent use. docs/json.md has the layout.
package podjson
