package podjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"podstore/store"
	"podstore/store/jsonvalue"
)

// Decode reads one metadata.json as strictly as serde_json does. The result is
// in normal form and shares no memory with data. Unknown top-level fields are
// kept in Extra; an unknown field further down is refused, since it would be
// lost. The Pod's name only has to be a string: whether it is a valid name is
// not judged here.
//
// The error is a [*store.Error] that matches [store.ErrInvalid], with line and
// column of the first byte of the offending token; of a missing field, of the
// closing brace of the object that lacks it; at the end of data, the position
// after the last byte.
func Decode(data []byte) (*store.Metadata, error) {
	m, bad := decode(data, "")
	if bad != nil {
		bad.Op = "decode"
		return nil, bad
	}
	return m, nil
}

// Read is [Decode] of the file of a Pod, which must be named so: where another name
// stands there, the error wraps a [*NameError], at the position of that name. It
// has no operation.
func Read(data []byte, pod string) (*store.Metadata, error) {
	m, bad := decode(data, pod)
	if bad != nil {
		return nil, bad
	}
	return m, nil
}

// NameError says that a whole document is another Pod's. It matches
// [store.ErrInvalid].
type NameError struct{ Found, Want string }

func (e *NameError) Error() string {
	return fmt.Sprintf("pod_name is %.300q, but the directory is named %q; rename the directory or correct pod_name", e.Found, e.Want)
}

// Is makes it match [store.ErrInvalid].
func (e *NameError) Is(target error) bool { return target == store.ErrInvalid }

// decode is Decode with an error that has neither Op nor Path. Unless pod is "",
// the Pod must be named so.
func decode(data []byte, pod string) (*store.Metadata, *store.Error) {
	d := decoders.Get().(*decoder)
	defer d.release()
	d.Scanner, d.m = jsonvalue.NewScanner(data), new(store.Metadata)
	d.metadata()
	err := d.End()
	if err == nil && pod != "" && d.m.PodName != pod {
		at := d.Errorf(d.nameAt, "")
		return nil, &store.Error{Line: at.Line, Column: at.Column, Kind: store.ErrInvalid, Err: &NameError{d.m.PodName, pod}}
	}
	if bad := d.failure(err); bad != nil {
		return nil, bad
	}
	return d.m, nil
}

// failure is a scanner's error with its position, and nil for nil.
func (d *decoder) failure(err error) *store.Error {
	if err == nil {
		return nil
	}
	bad := &store.Error{Kind: store.ErrInvalid, Err: err}
	var se *jsonvalue.SyntaxError
	if errors.As(err, &se) {
		bad.Line, bad.Column, bad.Err = se.Line, se.Column, errors.New(se.Msg)
	}
	return bad
}

// decoder reads a document from the first byte to the last. The scanner keeps
// the first error and does nothing more after it.
type decoder struct {
	*jsonvalue.Scanner
	m         *store.Metadata
	nameAt    int // where the value of pod_name starts
	extraSize int
	scratch   []byte // a value, until its size is known
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

// release gives the decoder back, but not memory that one large value took.
func (d *decoder) release() {
	*d = decoder{scratch: d.scratch[:0]}
	if cap(d.scratch) <= keepBytes {
		decoders.Put(d)
	}
}

// keepBytes is how large a buffer may be that is kept for the next use.
const keepBytes = 256 << 10

// structure is an object whose fields are all known.
type structure struct {
	what     string // for messages, with its article
	fields   []string
	optional int // how many fields at the end may be missing
}

var (
	activeFields    = structure{"active", []string{"session_id", "segment_id"}, 1}
	childFields     = structure{"a spawned child", []string{"pod_name", "socket_path", "scope_delegated", "callback_address"}, 0}
	reclaimedFields = structure{"a reclaimed child", []string{"pod_name", "scope_delegated"}, 0}
	peerFields      = structure{"a peer", []string{"pod_name"}, 0}
	ruleFields      = structure{"a scope rule", []string{"target", "permission", "recursive"}, 0}
)

const (
	fieldPodName = iota
	fieldActive
	fieldChildren
	fieldReclaimed
	fieldPeers
	fieldManifest
	fieldUnknown
)

func topField(key []byte) int {
	switch string(key) {
	case "pod_name":
		return fieldPodName
	case "active":
		return fieldActive
	case "spawned_children":
		return fieldChildren
	case "reclaimed_children":
		return fieldReclaimed
	case "peers":
		return fieldPeers
	case "resolved_manifest_snapshot":
		return fieldManifest
	}
	return fieldUnknown
}

func (d *decoder) metadata() {
	m := d.m
	var seen [fieldUnknown]bool
	d.want(jsonvalue.Object, "metadata")
	d.EnterObject()
	for {
		end := d.Offset()
		if !d.NextKey() {
			if !seen[fieldPodName] {
				hint := ""
				for k := range m.Extra {
					if strings.EqualFold(k, "pod_name") {
						hint = fmt.Sprintf(" (%q is another field: case matters)", k)
					}
				}
				d.Fail(end, "missing field \"pod_name\"%s", hint)
			}
			return
		}
		f := topField(d.Key())
		if f != fieldUnknown {
			if seen[f] {
				d.duplicate()
				return
			}
			seen[f] = true
		}
		switch f {
		case fieldPodName:
			d.nameAt = d.Offset()
			m.PodName = d.str("pod_name")
		case fieldActive:
			if !d.ReadNull() {
				m.Active = d.active()
			}
		case fieldChildren:
			d.list("spawned_children", func() { m.Children = append(m.Children, d.child()) })
		case fieldReclaimed:
			d.list("reclaimed_children", func() { m.Reclaimed = append(m.Reclaimed, d.reclaimed()) })
		case fieldPeers:
			d.list("peers", func() { m.Peers = append(m.Peers, d.peer()) })
		case fieldManifest:
			if !d.ReadNull() {
				m.Manifest = d.value("the manifest", 0)
			}
		default:
			d.extra()
		}
	}
}

// extra reads a field that this version does not know.
func (d *decoder) extra() {
	key := string(d.Key())
	if _, ok := d.m.Extra[key]; ok {
		d.duplicate()
		return
	}
	if d.m.Extra == nil {
		d.m.Extra = make(map[string]json.RawMessage)
	}
	v := d.value("the unknown fields together", d.extraSize+len(key))
	d.m.Extra[key] = v
	d.extraSize += len(key) + len(v)
}

func (d *decoder) active() *store.ActiveSegment {
	a := new(store.ActiveSegment)
	d.object(&activeFields, func(i int) {
		switch i {
		case 0:
			a.SessionID = readUUID(d, "session_id", store.ParseSessionID)
		case 1:
			if !d.ReadNull() {
				id := readUUID(d, "segment_id", store.ParseSegmentID)
				a.SegmentID = &id
			}
		}
	})
	return a
}

func (d *decoder) child() (c store.SpawnedChild) {
	d.object(&childFields, func(i int) {
		switch i {
		case 0:
			c.PodName = d.str("pod_name")
		case 1:
			c.SocketPath = d.str("socket_path")
		case 2:
			c.ScopeDelegated = d.rules()
		case 3:
			c.CallbackAddress = d.str("callback_address")
		}
	})
	return c
}

func (d *decoder) reclaimed() (c store.ReclaimedChild) {
	d.object(&reclaimedFields, func(i int) {
		switch i {
		case 0:
			c.PodName = d.str("pod_name")
		case 1:
			c.ScopeDelegated = d.rules()
		}
	})
	return c
}

func (d *decoder) peer() (p store.Peer) {
	d.object(&peerFields, func(int) { p.PodName = d.str("pod_name") })
	return p
}

func (d *decoder) rules() (rules []store.ScopeRule) {
	d.list("scope_delegated", func() {
		var r store.ScopeRule
		d.object(&ruleFields, func(i int) {
			switch i {
			case 0:
				r.Target = d.str("target")
			case 1:
				r.Permission = d.str("permission")
			case 2:
				d.want(jsonvalue.Bool, "recursive")
				r.Recursive = d.ReadBool()
			}
		})
		rules = append(rules, r)
	})
	return rules
}

// object reads a structure; read is called with the index of each field found.
func (d *decoder) object(st *structure, read func(i int)) {
	d.want(jsonvalue.Object, st.what)
	d.EnterObject()
	seen := 0
	for {
		end := d.Offset()
		if !d.NextKey() {
			for i, f := range st.fields[:len(st.fields)-st.optional] {
				if seen&(1<<i) == 0 {
					d.Fail(end, "missing field %q in %s", f, st.what)
				}
			}
			return
		}
		i := 0
		for i < len(st.fields) && st.fields[i] != string(d.Key()) {
			i++
		}
		switch {
		case i == len(st.fields):
			d.Fail(d.KeyOffset(), "unknown field %.64q in %s would be lost; expected %s",
				d.Key(), st.what, strings.Join(st.fields, ", "))
		case seen&(1<<i) != 0:
			d.duplicate()
		default:
			seen |= 1 << i
			read(i)
		}
	}
}

func (d *decoder) duplicate() {
	d.Fail(d.KeyOffset(), "duplicate field %.64q; expected each field once", d.Key())
}

// list reads an array; elem is called to read each element.
func (d *decoder) list(field string, elem func()) {
	d.want(jsonvalue.Array, field)
	d.EnterArray()
	for d.NextElem() {
		elem()
	}
}

func (d *decoder) str(field string) string {
	d.want(jsonvalue.String, field)
	return d.ReadString()
}

// want fails, with the field's name in the message, unless the next value is of
// the kind. A byte that starts no value is left to the scanner.
func (d *decoder) want(kind jsonvalue.Kind, field string) {
	if got := d.Peek(); got != kind && got != jsonvalue.Invalid {
		d.Fail(d.Offset(), "%s: expected %s, found %s", field, kind, got)
	}
}

// readUUID reads a UUID with one of the store's parsers.
func readUUID[ID ~[16]byte](d *decoder, field string, parse func(string) (ID, error)) (id ID) {
	at := d.Offset()
	s := d.str(field)
	if d.Err() != nil {
		return id
	}
	id, err := parse(s)
	if err != nil {
		d.Fail(at, "%s: %s", field, err)
	}
	return id
}

// value reads any value in canonical form, in memory of its own. used is how
// much of the size limit other values have taken.
func (d *decoder) value(what string, used int) json.RawMessage {
	at := d.Offset()
	d.scratch = d.AppendValue(d.scratch[:0])
	if used+len(d.scratch) > store.MaxValueSize {
		d.Fail(at, "%s: more than %d bytes in compact form", what, store.MaxValueSize)
		return nil
	}
	return bytes.Clone(d.scratch)
}
