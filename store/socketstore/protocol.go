package socketstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"podstore/store"
	"podstore/store/jsonexport"
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
	// editHeader is the same on all requests of one edit, so that one that was too
	// late keeps its turn.
	editHeader = "Podstore-Edit"

	maxIDLen = 64

	linesType = "application/x-ndjson"
	jsonType  = "application/json"
)

// version is the SHA-256 of a Pod's canonical JSON in hexadecimal digits, or
// absent.
type version string

const absent version = ""

// versionOf is the version of metadata in normal form, or of nil.
func versionOf(m *store.Metadata) version {
	if m == nil {
		return absent
	}
	return versionOfDocument(jsonexport.Append(nil, m))
}

func versionOfDocument(canonical []byte) version {
	sum := sha256.Sum256(canonical)
	return version(hex.EncodeToString(sum[:]))
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
	return append(dst, "}\n"...)
}

// parseItem reads an item's line. It does not judge the name.
func parseItem(line []byte) (it item, err error) {
	s := jsonvalue.NewScanner(line)
	s.EnterObject()
	seen := map[string]bool{}
	for s.NextKey() {
		key := string(s.Key())
		if seen[key] {
			s.Fail(s.KeyOffset(), "field %q is given twice", key)
		}
		seen[key] = true
		at := s.Offset()
		switch key {
		case "name":
			it.name = s.ReadString()
		case "version":
			it.compared = true
			if s.Peek() == jsonvalue.Null {
				s.ReadNull()
			} else if it.version = version(s.ReadString()); !it.version.valid() {
				s.Fail(at, "version %.80q: expected 64 lower-case hexadecimal digits, or null", it.version)
			}
		case "then":
			if it.then = action(s.ReadString()); it.then != thenPut && it.then != thenDelete {
				s.Fail(at, `then %.32q: expected "put" or "delete"`, it.then)
			}
		default:
			s.Fail(s.KeyOffset(), "unknown field %.64q", key)
		}
	}
	end := s.Offset()
	if err := s.End(); err != nil {
		return it, err
	}
	if !seen["name"] {
		return it, s.Errorf(end, `field "name" is missing`)
	}
	return it, nil
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
	for line := range bytes.SplitSeq(canonical, []byte("\n")) {
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
