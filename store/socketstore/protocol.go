package socketstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"

	"podstore/store/jsonvalue"
)

// The protocol, version 1: docs/socket.md describes it.

// Prefix is below which [Handler] serves; it is a pattern of [http.ServeMux].
const Prefix = "/v1/"

const (
	namesPath = Prefix + "names"
	readPath  = Prefix + "read"
	podsPath  = Prefix + "pods"

	// serverHeader is on every answer: which server gave it, and how many changes
	// it had remembered by then.
	serverHeader = "Podstore-Server"
	// idHeader names a change, so that it is made once however often it is sent.
	idHeader = "Podstore-Request"
	// retryHeader is on a change that may have been sent before. It repeats a
	// serverHeader that the client was given before it sent the change first.
	retryHeader = "Podstore-Retry"
	// editHeader is the same on all requests of one edit, so that one that has asked,
	// or was too late, keeps its turn.
	editHeader = "Podstore-Edit"

	maxIDLen = 64

	linesType = "application/x-ndjson"
	jsonType  = "application/json"
)

// version is the SHA-256 of a Pod's canonical JSON in hexadecimal digits, or
// absent.
type version string

const absent version = ""

// hashOf is the SHA-256 of canonical JSON in hexadecimal digits.
func hashOf(canonical []byte) version {
	sum := sha256.Sum256(canonical)
	var digits [2 * sha256.Size]byte
	hex.Encode(digits[:], sum[:])
	return version(digits[:])
}

// item is one Pod of a request or an answer at podsPath. A line with its document
// follows where then is thenPut, and in an answer where the Pod exists.
type item struct {
	name string
	// version is what the Pod must be (request) or is (answer). A request that
	// leaves it out compares nothing.
	version  version
	compared bool
	then     action
	// manifest is the hash of a manifest that the sender of a request has: where it
	// is the Pod's, documents go without it. An answer repeats it of each document
	// of which that is so.
	manifest version
}

// action is what becomes of a Pod.
type action string

const (
	thenStay   action = ""
	thenPut    action = "put"
	thenDelete action = "delete"
)

// append appends the item's line.
func (it *item) append(dst []byte) []byte {
	dst = jsonvalue.AppendString(append(dst, `{"name":`...), it.name)
	switch {
	case it.compared && it.version == absent:
		dst = append(dst, `,"version":null`...)
	case it.compared:
		dst = append(append(append(dst, `,"version":"`...), it.version...), '"')
	}
	if it.then != thenStay {
		dst = append(append(append(dst, `,"then":"`...), it.then...), '"')
	}
	if it.manifest != absent {
		dst = append(append(append(dst, `,"manifest":"`...), it.manifest...), '"')
	}
	return append(dst, "}\n"...)
}

// parseItem reads an item's line. It does not judge the name.
func parseItem(line []byte) (it item, err error) {
	s := jsonvalue.NewScanner(line)
	s.EnterObject()
	seen := 0
	once := func(field int) {
		if seen&(1<<field) != 0 {
			s.Fail(s.KeyOffset(), "field %q is given twice", s.Key())
		}
		seen |= 1 << field
	}
	for s.NextKey() {
		switch string(s.Key()) {
		case "name":
			once(0)
			it.name = s.ReadString()
		case "version":
			once(1)
			it.compared = true
			if s.Peek() == jsonvalue.Null {
				s.ReadNull()
			} else {
				it.version = readHash(s, "64 lower-case hexadecimal digits, or null")
			}
		case "manifest":
			once(2)
			it.manifest = readHash(s, "64 lower-case hexadecimal digits")
		case "then":
			once(3)
			at := s.Offset()
			if it.then = action(s.ReadString()); it.then != thenPut && it.then != thenDelete {
				s.Fail(at, `then %.32q: expected "put" or "delete"`, it.then)
			}
		default:
			s.Fail(s.KeyOffset(), "unknown field %.64q", s.Key())
		}
	}
	end := s.Offset()
	if err := s.End(); err != nil {
		return it, err
	}
	if seen&1 == 0 {
		return it, s.Errorf(end, `field "name" is missing`)
	}
	return it, nil
}

func readHash(s *jsonvalue.Scanner, expected string) version {
	at := s.Offset()
	v := version(s.ReadString())
	if !v.valid() {
		s.Fail(at, "%.80q: expected %s", v, expected)
	}
	return v
}

// valid reports whether v is the version of a Pod that exists.
func (v version) valid() bool {
	if len(v) != hex.EncodedLen(sha256.Size) {
		return false
	}
	for _, c := range []byte(v) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// appendDocument appends canonical metadata on one line: without the line breaks
// and the indentation behind them. Within its strings there are no line breaks.
func appendDocument(dst, canonical []byte) []byte {
	dst = slices.Grow(dst, len(canonical)+1)
	for more := true; more; {
		var line []byte
		line, canonical, more = bytes.Cut(canonical, []byte("\n"))
		dst = append(dst, bytes.TrimLeft(line, " ")...)
	}
	return append(dst, '\n')
}

// appendJSON appends v, which cannot fail to be encoded, on one line.
func appendJSON(dst []byte, v any) []byte {
	b := bytes.NewBuffer(dst)
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err)
	}
	return b.Bytes()
}
