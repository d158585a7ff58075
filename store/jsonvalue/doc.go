// Package jsonvalue checks one JSON value by serde_json's rules and prints it
// as serde_json prints it.
//
// It accepts what serde_json 1.0.149 accepts: strict UTF-8 without a byte
// order mark, no lone surrogates, no control characters in strings, no
// comments, trailing commas or leading zeros, numbers within the range of a
// float64, a limited depth of nesting. Space, tab, line feed and carriage
// return are the only whitespace.
//
// The canonical form has no whitespace, object keys sorted by their unescaped
// bytes (of equal keys the last wins: order.go), only `"`, `\` and the control
// characters below 0x20 escaped, integers that fit uint64 or int64 as integers
// and every other number as the shortest float64 that reads back the same:
// 0.00001 ≤ |f| < 1e16 with a decimal point (1.0), the rest with an exponent
// (1e+16, 1.5e-7). One departure from serde_json is deliberate: floats are
// parsed correctly rounded.
//
// Values are read in one pass. If the keys of an object are out of order, its members
// are sorted and its bytes moved, so a byte is moved at most once for each object
// around it. Memory is a small multiple of the input. All functions are safe
// for concurrent use; a [Scanner] is for one goroutine.
package jsonvalue
