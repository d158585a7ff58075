package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"podstore/store/jsonvalue"
)

// MaxValueSize is the limit, in bytes, of a manifest in canonical compact form, and of
// all unknown fields of a Pod together: 64 MiB. The children, the history and the peers
// each have the same limit, measured as the backend stores them. A backend may allow a
// longer history or limit the whole Pod; its package comment says so.
const MaxValueSize = 64 << 20

// MaxValueDepth is how many nested containers a manifest or an unknown field may have:
// 126. A whole document may have 127, because it contains the value.
const MaxValueDepth = jsonvalue.MaxDepth - 1

// ActiveSegment points at the session that a Pod writes and, once it is known, at
// the segment.
type ActiveSegment struct {
	SessionID SessionID
	SegmentID *SegmentID // nil while no segment is known yet
}

// PendingSegment refers to a session whose segment is not known yet.
func PendingSegment(session SessionID) *ActiveSegment {
	return &ActiveSegment{SessionID: session}
}

// ActiveIn refers to a segment of a session.
func ActiveIn(session SessionID, segment SegmentID) *ActiveSegment {
	return &ActiveSegment{SessionID: session, SegmentID: &segment}
}

// ScopeRule is one rule of delegated scope. Target is a path, UTF-8 as everything in
// JSON must be. podstore gives Permission no meaning: the delegating program chooses it.
type ScopeRule struct {
	Target     string
	Permission string
	Recursive  bool
}

// SpawnedChild is a child that a Pod spawned and has not reclaimed. SocketPath
// and CallbackAddress are where it was last known to listen, never a proof that
// it lives.
type SpawnedChild struct {
	PodName         string
	SocketPath      string
	ScopeDelegated  []ScopeRule
	CallbackAddress string
}

// ReclaimedChild records that the scope delegated to a child was taken back. It holds
// what the caller of [Reclaim] gave, not what the child had.
type ReclaimedChild struct {
	PodName        string
	ScopeDelegated []ScopeRule
}

// Peer is a Pod that another one sees. It carries no scope.
type Peer struct {
	PodName string
}

// Metadata is everything that is kept of one Pod.
//
// Its normal form, which every store returns, has nil for each list that is
// empty, and JSON in canonical compact form: see [Metadata.Normalize].
type Metadata struct {
	PodName   string
	Active    *ActiveSegment // nil: none
	Children  []SpawnedChild
	Reclaimed []ReclaimedChild
	Peers     []Peer

	// Manifest is the resolved manifest snapshot, any JSON value; nil or JSON
	// null: none.
	Manifest json.RawMessage

	// Extra holds the top-level fields that this version does not know, by name.
	// Every operation keeps them, except those that name them: Put, SetField and
	// ClearField.
	Extra map[string]json.RawMessage

	// Version is set in what a store returns. Writing, Equal, Diff and the JSON layout
	// ignore it.
	Version Version

	// Omitted is what the reader asked the store to leave out. Such metadata is not
	// whole: [Metadata.Normalize], and so every store, refuses to write it, because
	// that would delete the rest.
	Omitted ReadOptions
}

// Clone returns a deep copy that shares no memory with m.
func (m *Metadata) Clone() *Metadata {
	c := *m
	c.Active = m.Active.clone()
	c.Children = cloneChildren(m.Children)
	c.Reclaimed = cloneReclaimed(m.Reclaimed)
	c.Peers = slices.Clone(m.Peers)
	c.Manifest = bytes.Clone(m.Manifest)
	c.Extra = maps.Clone(m.Extra)
	for k, v := range c.Extra {
		c.Extra[k] = bytes.Clone(v)
	}
	return &c
}

func (a *ActiveSegment) clone() *ActiveSegment {
	switch {
	case a == nil:
		return nil
	case a.SegmentID == nil:
		return PendingSegment(a.SessionID)
	}
	return ActiveIn(a.SessionID, *a.SegmentID)
}

func cloneChildren(in []SpawnedChild) []SpawnedChild {
	out := slices.Clone(in)
	for i := range out {
		out[i].ScopeDelegated = slices.Clone(out[i].ScopeDelegated)
	}
	return out
}

func cloneReclaimed(in []ReclaimedChild) []ReclaimedChild {
	out := slices.Clone(in)
	for i := range out {
		out[i].ScopeDelegated = slices.Clone(out[i].ScopeDelegated)
	}
	return out
}

// Equal reports whether both hold the same, comparing JSON by its bytes: exact
// for metadata in normal form. Empty and nil lists are the same.
func (m *Metadata) Equal(o *Metadata) bool { return m.Diff(o) == "" }

// Diff names the first field, by its JSON name and in the order of the JSON
// layout, in which m and o differ, or is "" when they are equal as [Metadata.Equal]
// says. It names an unknown field whose name is empty by two double quotes.
func (m *Metadata) Diff(o *Metadata) string {
	switch {
	case m.PodName != o.PodName:
		return "pod_name"
	case !equalActive(m.Active, o.Active):
		return "active"
	case !slices.EqualFunc(m.Children, o.Children, equalChild):
		return "spawned_children"
	case !slices.EqualFunc(m.Reclaimed, o.Reclaimed, equalReclaimed):
		return "reclaimed_children"
	case !slices.Equal(m.Peers, o.Peers):
		return "peers"
	case !bytes.Equal(m.Manifest, o.Manifest):
		return "resolved_manifest_snapshot"
	}
	for _, k := range slices.Sorted(maps.Keys(m.Extra)) {
		if v, ok := o.Extra[k]; !ok || !bytes.Equal(v, m.Extra[k]) {
			return orQuotes(k)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(o.Extra)) {
		if _, ok := m.Extra[k]; !ok {
			return orQuotes(k)
		}
	}
	return ""
}

// orQuotes returns a field's name, or `""` for the empty one, which Diff must
// not take for equality.
func orQuotes(name string) string {
	if name == "" {
		return `""`
	}
	return name
}

func equalChild(a, b SpawnedChild) bool {
	return a.PodName == b.PodName && a.SocketPath == b.SocketPath &&
		a.CallbackAddress == b.CallbackAddress && slices.Equal(a.ScopeDelegated, b.ScopeDelegated)
}

func equalReclaimed(a, b ReclaimedChild) bool {
	return a.PodName == b.PodName && slices.Equal(a.ScopeDelegated, b.ScopeDelegated)
}

func equalActive(a, b *ActiveSegment) bool {
	if a == nil || b == nil {
		return a == b
	}
	if a.SegmentID == nil || b.SegmentID == nil {
		return a.SessionID == b.SessionID && a.SegmentID == b.SegmentID
	}
	return a.SessionID == b.SessionID && *a.SegmentID == *b.SegmentID
}

// Normalize checks m against the rules that make it exportable and brings it to
// its normal form, in place: empty lists become nil, a null manifest becomes
// nil, manifest and Extra become canonical compact JSON in memory of their own.
//
// The rules: a valid Pod name; every string UTF-8; manifest and Extra JSON as serde_json
// accepts it (store/jsonvalue), of at most [MaxValueDepth] nested containers and
// [MaxValueSize] bytes; no known field in Extra. If an object has a key twice, Normalize
// keeps the last value. Names inside children and peers may be any UTF-8. The error
// matches [ErrInvalidName] or [ErrInvalid] and names the field; m is then left partly
// normalized.
func (m *Metadata) Normalize() error {
	if err := m.NormalizeLists(); err != nil {
		return err
	}
	if err := m.NormalizeManifest(); err != nil {
		return err
	}
	return m.NormalizeExtra()
}

// NormalizeLists is the part of [Metadata.Normalize] that leaves out Manifest and
// Extra. A backend that knows those to be unchanged calls it alone.
func (m *Metadata) NormalizeLists() error {
	if err := ValidateName(m.PodName); err != nil {
		return err
	}
	if m.Omitted != (ReadOptions{}) {
		return m.invalid("it was read in part, without manifest or history, and would lose them: read the whole Pod")
	}
	m.Children = orNil(m.Children)
	for i := range m.Children {
		c := &m.Children[i]
		if len(c.ScopeDelegated) == 0 && c.ScopeDelegated != nil {
			c.ScopeDelegated = nil
		}
		if !utf8.ValidString(c.PodName) || !utf8.ValidString(c.SocketPath) || !utf8.ValidString(c.CallbackAddress) || !validRules(c.ScopeDelegated) {
			return m.invalid("spawned_children[%d] has a string that is not UTF-8", i)
		}
	}
	m.Reclaimed = orNil(m.Reclaimed)
	for i := range m.Reclaimed {
		c := &m.Reclaimed[i]
		if len(c.ScopeDelegated) == 0 && c.ScopeDelegated != nil {
			c.ScopeDelegated = nil
		}
		if !utf8.ValidString(c.PodName) || !validRules(c.ScopeDelegated) {
			return m.invalid("reclaimed_children[%d] has a string that is not UTF-8", i)
		}
	}
	m.Peers = orNil(m.Peers)
	for i, p := range m.Peers {
		if !utf8.ValidString(p.PodName) {
			return m.invalid("peers[%d] has a name that is not UTF-8", i)
		}
	}
	return nil
}

// NormalizeExtra is the part of [Metadata.Normalize] that concerns Extra.
func (m *Metadata) NormalizeExtra() error {
	if len(m.Extra) == 0 {
		m.Extra = nil
		return nil
	}
	size := 0
	out := make(map[string]json.RawMessage, len(m.Extra))
	for k, v := range m.Extra {
		if !utf8.ValidString(k) || IsFieldName(k) {
			return m.invalid("unknown field %.64q: expected a UTF-8 name that is none of the known fields", k)
		}
		c, err := jsonvalue.Canonical(v, MaxValueDepth)
		if err != nil {
			return m.invalid("field %.64q is not valid JSON: %w", k, err)
		}
		out[k] = c
		size += len(k) + len(c)
	}
	if size > MaxValueSize {
		return m.invalid("unknown fields have %d bytes, the limit is %d", size, MaxValueSize)
	}
	m.Extra = out
	return nil
}

// NormalizeManifest is the part of [Metadata.Normalize] that concerns Manifest.
func (m *Metadata) NormalizeManifest() error {
	if len(m.Manifest) == 0 || string(m.Manifest) == "null" {
		m.Manifest = nil
		return nil
	}
	c, err := jsonvalue.Canonical(m.Manifest, MaxValueDepth)
	switch {
	case err != nil:
		return m.invalid("manifest is not valid JSON: %w", err)
	case len(c) > MaxValueSize:
		return m.invalid("manifest has %d bytes, the limit is %d", len(c), MaxValueSize)
	case string(c) == "null":
		c = nil
	}
	m.Manifest = c
	return nil
}

func (m *Metadata) invalid(format string, args ...any) error {
	return &Error{Pod: m.PodName, Kind: ErrInvalid, Err: fmt.Errorf(format, args...)}
}

func validRules(rules []ScopeRule) bool {
	for _, r := range rules {
		if !utf8.ValidString(r.Target) || !utf8.ValidString(r.Permission) {
			return false
		}
	}
	return true
}

// orNil returns nil for an empty slice.
func orNil[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	return s
}
