package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"podstore/store/jsonvalue"
)

// Prepare checks changes and returns them in normal form, in memory of their own. Every
// backend calls it before it reads anything. The error matches [ErrInvalidName] or
// [ErrInvalid] and names the Pod.
func Prepare(changes []Change) ([]Change, error) {
	if len(changes) == 0 {
		return nil, &Error{Op: "apply", Kind: ErrInvalid, Err: errors.New("no change is given")}
	}
	out := make([]Change, len(changes))
	for i, c := range changes {
		op := opWords(c.Op)
		if err := validateOp(op, c.Pod); err != nil {
			return nil, err
		}
		switch {
		case c.Op == nil && c.If == Condition{}:
			return nil, &Error{Op: op, Pod: c.Pod, Kind: ErrInvalid, Err: errors.New("a change has neither an operation nor a condition")}
		case c.If.kind == atRevision && c.If.revision.IsZero():
			return nil, &Error{Op: op, Pod: c.Pod, Kind: ErrInvalid, Err: errors.New("the revision of the condition is zero; for a Pod that must not exist use the condition Missing")}
		case c.Op != nil:
			prepared, err := c.Op.prepare(c.Pod)
			if err != nil {
				return nil, inChange(op, c.Pod, err)
			}
			c.Op = prepared
		}
		out[i] = c
	}
	return out, nil
}

// opWords is an operation's name in messages: "add peer".
func opWords(op Op) string {
	if op == nil {
		return "check"
	}
	return strings.ReplaceAll(op.Name(), "_", " ")
}

// The names, as [Op] says.

func (Put) Name() string           { return "put" }
func (Delete) Name() string        { return "delete" }
func (Remove) Name() string        { return "remove" }
func (SetActive) Name() string     { return "set_active" }
func (SetSegment) Name() string    { return "set_segment" }
func (SetChildren) Name() string   { return "set_children" }
func (AddChild) Name() string      { return "add_child" }
func (RemoveChild) Name() string   { return "remove_child" }
func (SetPeers) Name() string      { return "set_peers" }
func (AddPeer) Name() string       { return "add_peer" }
func (RemovePeer) Name() string    { return "remove_peer" }
func (Reclaim) Name() string       { return "reclaim" }
func (TrimReclaimed) Name() string { return "trim_reclaimed" }
func (SetField) Name() string      { return "set_field" }
func (ClearField) Name() string    { return "clear_field" }

// What each operation touches, as [Op] says.

func (Put) Touches() FieldSet           { return AllFields }
func (Delete) Touches() FieldSet        { return 0 }
func (Remove) Touches() FieldSet        { return 0 }
func (SetActive) Touches() FieldSet     { return Fields(FieldActive, FieldManifest) }
func (SetSegment) Touches() FieldSet    { return Fields(FieldActive) }
func (SetChildren) Touches() FieldSet   { return Fields(FieldChildren) }
func (AddChild) Touches() FieldSet      { return Fields(FieldChildren) }
func (RemoveChild) Touches() FieldSet   { return Fields(FieldChildren) }
func (SetPeers) Touches() FieldSet      { return Fields(FieldPeers) }
func (AddPeer) Touches() FieldSet       { return Fields(FieldPeers) }
func (RemovePeer) Touches() FieldSet    { return Fields(FieldPeers) }
func (Reclaim) Touches() FieldSet       { return Fields(FieldChildren) }
func (TrimReclaimed) Touches() FieldSet { return 0 }
func (SetField) Touches() FieldSet      { return Fields(FieldExtra) }
func (ClearField) Touches() FieldSet    { return Fields(FieldExtra) }

// What each operation does, as [Op] says. Most call a rule at the end of this file.

func (op Put) Apply(m *Metadata) {
	version := m.Version
	*m = *op.Metadata.Clone()
	m.Version = version
}
func (Delete) Apply(*Metadata) {}
func (Remove) Apply(*Metadata) {}
func (op SetActive) Apply(m *Metadata) {
	m.Active, m.Manifest = op.Active, op.Manifest
}
func (op SetSegment) Apply(m *Metadata)    { m.Active = op.Active }
func (op SetChildren) Apply(m *Metadata)   { m.Children = slices.Clone(op.Children) }
func (op AddChild) Apply(m *Metadata)      { m.addChild(op.Child) }
func (op RemoveChild) Apply(m *Metadata)   { m.RemoveChild(op.PodName) }
func (op SetPeers) Apply(m *Metadata)      { m.Peers = slices.Clone(op.Peers) }
func (op AddPeer) Apply(m *Metadata)       { m.addPeer(op.PodName) }
func (op RemovePeer) Apply(m *Metadata)    { m.RemovePeer(op.PodName) }
func (op Reclaim) Apply(m *Metadata)       { m.reclaim(op.Reclaimed) }
func (op TrimReclaimed) Apply(m *Metadata) { m.TrimReclaimed(op.Keep) }
func (op SetField) Apply(m *Metadata) {
	if m.Extra == nil {
		m.Extra = make(map[string]json.RawMessage, 1)
	}
	m.Extra[op.Field] = op.Value
}
func (op ClearField) Apply(m *Metadata) {
	delete(m.Extra, op.Field)
	if len(m.Extra) == 0 {
		m.Extra = nil
	}
}

func (op Put) prepare(pod string) (Op, error) {
	if op.Metadata == nil {
		return nil, errors.New("there is no metadata to put")
	}
	if op.Metadata.PodName != pod {
		return nil, fmt.Errorf("the metadata is that of Pod %.80q", op.Metadata.PodName)
	}
	op.Metadata = op.Metadata.Clone()
	op.Metadata.Version = Version{}
	return op, op.Metadata.Normalize()
}

func (op Delete) prepare(string) (Op, error) { return op, nil }
func (op Remove) prepare(string) (Op, error) { return op, nil }

// The operations below bring their fields to normal form with the code for a whole Pod,
// on a Pod that has only those fields.

func (op SetActive) prepare(pod string) (Op, error) {
	m := &Metadata{PodName: pod, Manifest: op.Manifest}
	err := m.NormalizeManifest()
	return SetActive{op.Active.clone(), m.Manifest}, err
}

func (op SetSegment) prepare(string) (Op, error) { return SetSegment{op.Active.clone()}, nil }

func (op SetChildren) prepare(pod string) (Op, error) {
	m := &Metadata{PodName: pod}
	if err := m.SetChildren(op.Children); err != nil {
		return nil, err
	}
	err := m.NormalizeLists()
	return SetChildren{m.Children}, err
}

func (op AddChild) prepare(pod string) (Op, error) {
	m := &Metadata{PodName: pod}
	if err := m.AddChild(op.Child); err != nil {
		return nil, err
	}
	err := m.NormalizeLists()
	return AddChild{m.Children[0]}, err
}

func (op RemoveChild) prepare(string) (Op, error) { return op, inText(op.PodName) }

func (op SetPeers) prepare(string) (Op, error) {
	err := validateNames("set peers", op.Peers, peerName)
	return SetPeers{orNil(slices.Clone(op.Peers))}, err
}

func (op AddPeer) prepare(string) (Op, error) { return op, ValidateName(op.PodName) }

func (op RemovePeer) prepare(string) (Op, error) { return op, inText(op.PodName) }

// inText refuses a name that is not UTF-8: no stored name can match it, and JSON cannot
// hold it.
func inText(name string) error {
	if !utf8.ValidString(name) {
		return fmt.Errorf("the name %.80q is not UTF-8", name)
	}
	return nil
}

func (op Reclaim) prepare(pod string) (Op, error) {
	m := &Metadata{PodName: pod}
	if err := m.Reclaim(op.Reclaimed); err != nil {
		return nil, err
	}
	err := m.NormalizeLists()
	return Reclaim{m.Reclaimed}, err
}

func (op TrimReclaimed) prepare(string) (Op, error) {
	if op.Keep < 0 {
		return nil, fmt.Errorf("%d entries of the history cannot be kept; give 0 or more", op.Keep)
	}
	return op, nil
}

func (op SetField) prepare(string) (Op, error) {
	if err := unknownField(op.Field); err != nil {
		return nil, err
	}
	value, err := jsonvalue.Canonical(op.Value, MaxValueDepth)
	if err != nil {
		return nil, fmt.Errorf("field %.64q is not valid JSON: %w", op.Field, err)
	}
	return SetField{op.Field, value}, nil
}

func (op ClearField) prepare(string) (Op, error) { return op, unknownField(op.Field) }

func unknownField(name string) error {
	if !utf8.ValidString(name) || IsFieldName(name) {
		return fmt.Errorf("unknown field %.64q: expected a UTF-8 name that is none of the known fields", name)
	}
	return nil
}

// The rules of the operations, as methods for edits of [MetadataStore].Update.

// SetActive sets the active pointer and the manifest to copies of what it is given; nil
// clears either. To keep the manifest, assign to m.Active instead. Like the other
// methods of this kind, it changes only the fields that it names.
func (m *Metadata) SetActive(active *ActiveSegment, manifest json.RawMessage) {
	m.Active = active.clone()
	m.Manifest = bytes.Clone(manifest)
}

// SetChildren replaces the spawned children by a copy. It keeps their order, and names
// that come twice. If a name is not valid, the error matches [ErrInvalidName] and m is
// unchanged.
func (m *Metadata) SetChildren(children []SpawnedChild) error {
	if err := validateNames("set children", children, spawnedName); err != nil {
		return err
	}
	m.Children = cloneChildren(children)
	return nil
}

// AddChild puts a copy of child in place of the first spawned child of that name and
// drops any others of that name. If there is none, it appends the copy. If the name is
// not valid, the error matches [ErrInvalidName] and m is unchanged.
func (m *Metadata) AddChild(child SpawnedChild) error {
	if err := validateOp("add child", child.PodName); err != nil {
		return err
	}
	m.addChild(child)
	return nil
}

func (m *Metadata) addChild(child SpawnedChild) {
	child.ScopeDelegated = slices.Clone(child.ScopeDelegated)
	i := slices.IndexFunc(m.Children, func(c SpawnedChild) bool { return c.PodName == child.PodName })
	if i < 0 {
		m.Children = append(m.Children, child)
		return
	}
	m.Children[i] = child
	rest := slices.DeleteFunc(m.Children[i+1:], func(c SpawnedChild) bool { return c.PodName == child.PodName })
	m.Children = m.Children[:i+1+len(rest)]
}

// RemoveChild drops every spawned child of that name. Unlike [Metadata.Reclaim] it adds
// nothing to the history.
func (m *Metadata) RemoveChild(name string) {
	m.Children = orNil(slices.DeleteFunc(m.Children, func(c SpawnedChild) bool { return c.PodName == name }))
}

// SetPeers replaces the peers by a copy. It keeps their order, and names that come
// twice. If a name is not valid, the error matches [ErrInvalidName] and m is unchanged.
func (m *Metadata) SetPeers(peers []Peer) error {
	if err := validateNames("set peers", peers, peerName); err != nil {
		return err
	}
	m.Peers = slices.Clone(peers)
	return nil
}

// AddPeer adds a peer and sorts the list by name. If a peer of that name is there, it
// does nothing. If the name is not valid, the error matches [ErrInvalidName] and m is
// unchanged.
func (m *Metadata) AddPeer(name string) error {
	if err := validateOp("add peer", name); err != nil {
		return err
	}
	m.addPeer(name)
	return nil
}

func (m *Metadata) addPeer(name string) {
	if m.HasPeer(name) {
		return
	}
	m.Peers = append(m.Peers, Peer{PodName: name})
	slices.SortStableFunc(m.Peers, func(a, b Peer) int { return strings.Compare(a.PodName, b.PodName) })
}

// HasPeer reports whether a peer of that name is listed.
func (m *Metadata) HasPeer(name string) bool {
	return slices.Contains(m.Peers, Peer{PodName: name})
}

// RemovePeer removes every peer of that name.
func (m *Metadata) RemovePeer(name string) {
	m.Peers = orNil(slices.DeleteFunc(m.Peers, func(p Peer) bool { return p.PodName == name }))
}

// Reclaim drops every spawned child that is named in reclaimed, and appends a copy of
// reclaimed to the history: also names that are not among the spawned children, and
// with the scopes given here, not those of the children. It does not read the history.
// If a name is not valid, the error matches [ErrInvalidName] and m is unchanged.
func (m *Metadata) Reclaim(reclaimed []ReclaimedChild) error {
	if err := validateNames("reclaim", reclaimed, reclaimedName); err != nil {
		return err
	}
	m.reclaim(reclaimed)
	return nil
}

func (m *Metadata) reclaim(reclaimed []ReclaimedChild) {
	m.Children = orNil(slices.DeleteFunc(m.Children, func(c SpawnedChild) bool {
		return slices.ContainsFunc(reclaimed, func(r ReclaimedChild) bool { return r.PodName == c.PodName })
	}))
	m.Reclaimed = append(m.Reclaimed, cloneReclaimed(reclaimed)...)
}

// TrimReclaimed drops the oldest entries of the history and keeps the newest keep
// entries. No store trims a history by itself.
func (m *Metadata) TrimReclaimed(keep int) {
	if keep = max(keep, 0); len(m.Reclaimed) > keep {
		m.Reclaimed = orNil(slices.Clone(m.Reclaimed[len(m.Reclaimed)-keep:]))
	}
}

// HasChild reports whether a spawned child of that name is listed.
func (m *Metadata) HasChild(name string) bool {
	return slices.ContainsFunc(m.Children, func(c SpawnedChild) bool { return c.PodName == name })
}

// RefersTo reports whether a Pod of that name is a peer or a spawned child.
func (m *Metadata) RefersTo(name string) bool { return m.HasPeer(name) || m.HasChild(name) }

func spawnedName(c SpawnedChild) string     { return c.PodName }
func reclaimedName(c ReclaimedChild) string { return c.PodName }
func peerName(p Peer) string                { return p.PodName }

func validateNames[T any](op string, list []T, name func(T) string) error {
	for _, e := range list {
		if err := validateOp(op, name(e)); err != nil {
			return err
		}
	}
	return nil
}
