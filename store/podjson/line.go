package podjson

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"podstore/store"
	"podstore/store/internal/bigcopy"
	"podstore/store/jsonvalue"
)

// The functions here write documents on one line, without space between tokens. The
// members are those of the document, in its order.

// AppendLine appends the document of m without any space in it. m must be in normal
// form; this is not checked. [Decode] reads it.
func AppendLine(dst []byte, m *store.Metadata) []byte {
	if len(m.Manifest) > bigcopy.Piece {
		dst = bigcopy.Grow(dst, len(m.Manifest)+bigcopy.Piece) // hardly anything else is large
	}
	dst = jsonvalue.AppendString(append(dst, `{"pod_name":`...), m.PodName)
	if m.Active != nil {
		dst = lineActive(append(dst, `,"active":`...), m.Active)
	}
	if len(m.Children) > 0 {
		dst = lineList(append(dst, `,"spawned_children":`...), m.Children, lineChild)
	}
	if len(m.Reclaimed) > 0 {
		dst = lineList(append(dst, `,"reclaimed_children":`...), m.Reclaimed, lineReclaimed)
	}
	if len(m.Peers) > 0 {
		dst = lineList(append(dst, `,"peers":`...), m.Peers, linePeer)
	}
	if m.Manifest != nil {
		dst = bigcopy.Append(append(dst, `,"resolved_manifest_snapshot":`...), m.Manifest)
	}
	if len(m.Extra) > 0 {
		for _, k := range slices.Sorted(maps.Keys(m.Extra)) {
			dst = append(jsonvalue.AppendString(append(dst, ','), k), ':')
			dst = append(dst, m.Extra[k]...)
		}
	}
	return append(dst, '}')
}

func lineActive(dst []byte, a *store.ActiveSegment) []byte {
	if a == nil {
		return append(dst, "null"...)
	}
	dst = appendUUID(append(dst, `{"session_id":`...), a.SessionID)
	if a.SegmentID != nil {
		dst = appendUUID(append(dst, `,"segment_id":`...), *a.SegmentID)
	}
	return append(dst, '}')
}

func lineChild(dst []byte, c store.SpawnedChild) []byte {
	dst = jsonvalue.AppendString(append(dst, `{"pod_name":`...), c.PodName)
	dst = jsonvalue.AppendString(append(dst, `,"socket_path":`...), c.SocketPath)
	dst = lineList(append(dst, `,"scope_delegated":`...), c.ScopeDelegated, lineRule)
	dst = jsonvalue.AppendString(append(dst, `,"callback_address":`...), c.CallbackAddress)
	return append(dst, '}')
}

func lineReclaimed(dst []byte, c store.ReclaimedChild) []byte {
	dst = jsonvalue.AppendString(append(dst, `{"pod_name":`...), c.PodName)
	dst = lineList(append(dst, `,"scope_delegated":`...), c.ScopeDelegated, lineRule)
	return append(dst, '}')
}

func linePeer(dst []byte, p store.Peer) []byte {
	return append(jsonvalue.AppendString(append(dst, `{"pod_name":`...), p.PodName), '}')
}

func lineRule(dst []byte, r store.ScopeRule) []byte {
	dst = jsonvalue.AppendString(append(dst, `{"target":`...), r.Target)
	dst = jsonvalue.AppendString(append(dst, `,"permission":`...), r.Permission)
	return append(strconv.AppendBool(append(dst, `,"recursive":`...), r.Recursive), '}')
}

func lineList[T any](dst []byte, list []T, elem func([]byte, T) []byte) []byte {
	dst = append(dst, '[')
	for i, e := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = elem(dst, e)
	}
	return append(dst, ']')
}

// maxMillis bounds times in JSON: some 275,000 years.
const maxMillis = 8_640_000_000_000_000

// lineTime appends a member for a time, unless it is zero.
func lineTime(dst []byte, member string, t time.Time) []byte {
	if t.IsZero() {
		return dst
	}
	dst = append(append(append(dst, `,"`...), member...), `":`...)
	return strconv.AppendInt(dst, min(max(t.UnixMilli(), -maxMillis), maxMillis), 10)
}

// AppendPod appends one Pod with its version as JSON on one line, without a line
// break: {"pod":S,"revision":R,"created":MS,"changed":MS,"metadata":DOCUMENT}. It leaves
// out zero values, and the document if Metadata is nil. docs/changes.md describes it.
func AppendPod(dst []byte, p store.Applied) []byte {
	dst = jsonvalue.AppendString(append(dst, `{"pod":`...), p.Pod)
	if !p.Version.Revision.IsZero() {
		dst = append(append(append(dst, `,"revision":"`...), p.Version.Revision.String()...), '"')
	}
	dst = lineTime(dst, "created", p.Version.Created)
	dst = lineTime(dst, "changed", p.Version.Changed)
	if p.Metadata != nil {
		dst = AppendLine(append(dst, `,"metadata":`...), p.Metadata)
	}
	return append(dst, '}')
}

// DecodePod reads what [AppendPod] wrote, strictly, into memory of its own. The
// metadata gets the version of the line. The error is like that of [Decode].
func DecodePod(data []byte) (p store.Applied, err error) {
	d := decoders.Get().(*decoder)
	defer d.release()
	d.around(data)
	d.want(jsonvalue.Object, "a Pod")
	d.EnterObject()
	seen := 0
	for d.NextKey() {
		i := slices.Index(podMembers[:], string(d.Key()))
		if i < 0 || seen&(1<<i) != 0 {
			d.stranger(i, "a Pod", podMembers[:])
			break
		}
		seen |= 1 << i
		switch podMembers[i] {
		case "pod":
			p.Pod = d.str("pod")
		case "revision":
			p.Version.Revision = d.revision()
		case "created":
			p.Version.Created = d.time("created")
		case "changed":
			p.Version.Changed = d.time("changed")
		case "metadata":
			p.Metadata = d.document()
		}
	}
	if seen&1 == 0 {
		d.Fail(d.Offset(), `missing field "pod" in a Pod`)
	}
	if bad := d.failure(d.End()); bad != nil {
		bad.Op = "decode"
		return store.Applied{}, bad
	}
	if p.Metadata != nil {
		p.Metadata.Version = p.Version
	}
	return p, nil
}

var podMembers = [...]string{"pod", "revision", "created", "changed", "metadata"}

// around begins to read a text in which documents are inside one object.
func (d *decoder) around(data []byte) { d.Scanner = jsonvalue.NewScannerAround(data, 1) }

// document reads a document inside another value.
func (d *decoder) document() *store.Metadata {
	d.m, d.extraSize = new(store.Metadata), 0
	d.metadata()
	return d.m
}

// stranger fails at a key that is unknown (i is negative), or that was there before.
func (d *decoder) stranger(i int, what string, members []string) {
	if i >= 0 {
		d.duplicate()
		return
	}
	d.Fail(d.KeyOffset(), "unknown field %.64q in %s; expected %s", d.Key(), what, strings.Join(members, ", "))
}

func (d *decoder) revision() store.Revision {
	at := d.Offset()
	r, err := store.ParseRevision(d.str("revision"))
	if err != nil && d.Err() == nil {
		d.failAt(at, err)
	}
	return r
}

// time reads milliseconds since 1970.
func (d *decoder) time(field string) time.Time {
	at := d.Offset()
	ms := d.integer(field)
	if ms < -maxMillis || ms > maxMillis {
		d.Fail(at, "%s: %d is out of range: expected milliseconds since 1970", field, ms)
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func (d *decoder) integer(field string) int64 {
	at := d.Offset()
	d.want(jsonvalue.Number, field)
	d.scratch = d.AppendValue(d.scratch[:0])
	n, err := strconv.ParseInt(string(d.scratch), 10, 64)
	if err != nil && d.Err() == nil {
		d.Fail(at, "%s: expected a whole number of 64 bits", field)
	}
	return n
}

// failAt fails with the reason of an error of package store.
func (d *decoder) failAt(at int, err error) {
	if e, ok := err.(*store.Error); ok {
		d.Fail(at, "%s", e.Reason())
		return
	}
	d.Fail(at, "%v", err)
}
