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

// Decode reads one metadata.json as strictly as serde_json does, in either naming.
// The result is in normal form and shares no memory with data. Unknown top-level
// fields are kept in Extra. An unknown field further down is refused, since it would
// be lost. The Pod's name must be a string; whether it is a valid name is not checked
// here.
//
// The first key for a Pod's name, at whatever depth, decides the document's naming. A
// later key of the other naming is refused.
//
// The error is a [*store.Error] that matches [store.ErrInvalid]. Its line and column are
// those of the first byte of the offending token, for a missing field those of the
// closing brace of the object that lacks it, and at the end of data the position after
// the last byte.
func Decode(data []byte) (*store.Metadata, error) {
	m, _, bad := decode(data, "")
	if bad != nil {
		bad.Op = "decode"
		return nil, bad
	}
	return m, nil
}

// Read is [Decode] of the file of the Pod named pod. If the document has another name,
// the error wraps a [*NameError] and has the position of that name. The error has no
// operation.
func Read(data []byte, pod string) (*store.Metadata, Naming, error) {
	m, naming, bad := decode(data, pod)
	if bad != nil {
		return nil, Pods, bad
	}
	return m, naming, nil
}

// NamingOf returns the naming of a document, which must be valid only up to the first
// key for a Pod's name. ok is false if it has none.
func NamingOf(data []byte) (n Naming, ok bool) {
	d := decoders.Get().(*decoder)
	defer d.release()
	d.begin(data)
	d.metadata()
	return d.naming, d.named
}

// NameError is the error for a whole document of another Pod. It matches
// [store.ErrInvalid].
type NameError struct {
	Key         string // pod_name or worker_name
	Found, Want string
}

func (e *NameError) Error() string {
	return fmt.Sprintf("%s is %.300q, but the directory is named %q; rename the directory or correct %[1]s", e.Key, e.Found, e.Want)
}

// Is makes it match [store.ErrInvalid].
func (e *NameError) Is(target error) bool { return target == store.ErrInvalid }

// decode is Decode with an error that has neither Op nor Path. Unless pod is "", it must
// be the Pod's name.
func decode(data []byte, pod string) (*store.Metadata, Naming, *store.Error) {
	d := decoders.Get().(*decoder)
	defer d.release()
	d.begin(data)
	d.metadata()
	err := d.End()
	if err == nil && pod != "" && d.m.PodName != pod {
		at := d.Errorf(d.nameAt, "")
		return nil, d.naming, &store.Error{Line: at.Line, Column: at.Column, Kind: store.ErrInvalid, Err: &NameError{d.naming.Key(), d.m.PodName, pod}}
	}
	if bad := d.failure(err); bad != nil {
		return nil, d.naming, bad
	}
	return d.m, d.naming, nil
}

// failure turns a scanner's error into a *store.Error with its position, and nil into nil.
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
	naming    Naming
	named     bool // naming was decided by a key
	nameAt    int  // where the value of the Pod's name starts
	extraSize int
	scratch   []byte // a value, until its size is known
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

func (d *decoder) begin(data []byte) {
	d.Scanner, d.m = jsonvalue.NewScanner(data), new(store.Metadata)
}

// release puts the decoder back into the pool, unless one large value has swollen it.
func (d *decoder) release() {
	*d = decoder{scratch: d.scratch[:0]}
	if cap(d.scratch) <= keepBytes {
		decoders.Put(d)
	}
}

// keepBytes bounds the buffer that is kept for the next use.
const keepBytes = 256 << 10

func (d *decoder) metadata() {
	m := d.m
	d.want(jsonvalue.Object, documentFields.what)
	d.EnterObject()
	seen, f := 0, -1
	for {
		end := d.Offset()
		if !d.NextKey() {
			if seen&(1<<fieldName) == 0 {
				d.Fail(end, "missing field %q%s", d.naming.Key(), d.otherCase())
			}
			return
		}
		f = documentFields.index(d.Key(), f+1)
		if f == numFields || inExtra(f) {
			d.extra()
			continue
		}
		if f == fieldName && !d.oneNaming() {
			return
		}
		if seen&(1<<f) != 0 {
			d.duplicate()
			return
		}
		seen |= 1 << f
		switch f {
		case fieldName:
			d.nameAt = d.Offset()
			m.PodName = d.name()
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
		}
	}
}

// oneNaming fails at a key for a name that is not of the document's naming. The first
// such key decides the naming.
func (d *decoder) oneNaming() bool {
	n := Pods
	if string(d.Key()) == Workers.Key() {
		n = Workers
	}
	switch {
	case !d.named:
		d.naming, d.named = n, true
	case n != d.naming:
		d.Fail(d.KeyOffset(), "field %q after %q: a document has one of them at every level; rename this one", n.Key(), d.naming.Key())
		return false
	}
	return true
}

// otherCase returns a hint if the document has the name's key in another case.
func (d *decoder) otherCase() string {
	for k := range d.m.Extra {
		if strings.EqualFold(k, Pods.Key()) || strings.EqualFold(k, Workers.Key()) {
			return fmt.Sprintf(" (%q is another field: case matters)", k)
		}
	}
	return ""
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
	d.object(activeFields, func(i int) {
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
	d.object(childFields, func(i int) {
		switch i {
		case 0:
			c.PodName = d.name()
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
	d.object(reclaimedFields, func(i int) {
		switch i {
		case 0:
			c.PodName = d.name()
		case 1:
			c.ScopeDelegated = d.rules()
		}
	})
	return c
}

func (d *decoder) peer() (p store.Peer) {
	d.object(peerFields, func(int) { p.PodName = d.name() })
	return p
}

func (d *decoder) rules() (rules []store.ScopeRule) {
	d.list("scope_delegated", func() {
		var r store.ScopeRule
		d.object(ruleFields, func(i int) {
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
	seen, i := 0, -1
	for {
		end := d.Offset()
		if !d.NextKey() {
			for i, f := range st.fields[d.naming][:st.required] {
				if seen&(1<<i) == 0 {
					d.Fail(end, "missing field %q in %s", f, st.what)
				}
			}
			return
		}
		i = st.index(d.Key(), i+1)
		switch {
		case i == len(st.fields[Pods]):
			d.Fail(d.KeyOffset(), "unknown field %.64q in %s would be lost; expected %s",
				d.Key(), st.what, strings.Join(st.fields[d.naming], ", "))
		case st.isName(i) && !d.oneNaming():
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

// name reads a Pod's name.
func (d *decoder) name() string { return d.str(d.naming.Key()) }

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

// value reads any value in canonical form, in memory of its own. used is the part of the
// size limit that other values have taken.
func (d *decoder) value(what string, used int) json.RawMessage {
	at := d.Offset()
	d.scratch = d.AppendValue(d.scratch[:0])
	if used+len(d.scratch) > store.MaxValueSize {
		d.Fail(at, "%s: more than %d bytes in compact form", what, store.MaxValueSize)
		return nil
	}
	return bytes.Clone(d.scratch)
}
