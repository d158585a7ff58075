package store

import (
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

// inChange puts operation and Pod on an error.
func inChange(op, pod string, err error) error {
	if e, ok := err.(*Error); ok {
		c := *e
		c.Op, c.Pod = op, pod
		return &c
	}
	return &Error{Op: op, Pod: pod, Kind: ErrInvalid, Err: err}
}

// withOp returns an error of Apply under the name of the function that was called.
func withOp(op string, err error) error {
	if e, ok := err.(*Error); ok {
		c := *e
		c.Op = op
		return &c
	}
	return err
}

// Name implements [Op].
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

// Touches implements [Op].
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

// Apply implements [Op].
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
