package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Change is one operation on one Pod, as a plain value: it can be sent, logged,
// checked against rights, and made again. [MetadataStore].Apply makes changes.
type Change struct {
	Pod string
	// Op is the operation. A change with a nil Op only tests its condition.
	Op Op
	// If must hold. Otherwise none of the changes of the Apply is made; SkipMissing
	// leaves out this change only. The zero Condition always holds.
	If Condition
}

// Op is what a change does to its Pod. The set is closed: [Put], [Delete],
// [Remove], [SetActive], [SetSegment], [SetChildren], [AddChild], [RemoveChild],
// [SetPeers], [AddPeer], [RemovePeer], [Reclaim], [TrimReclaimed], [SetField] and
// [ClearField].
//
// Every operation except Delete and Remove creates a missing Pod, also RemovePeer,
// RemoveChild, TrimReclaimed and ClearField, unless a condition prevents it: [SkipMissing]
// leaves the change out, [Exists] makes it fail. An operation leaves alone every field
// that it does not name.
type Op interface {
	// Name is the operation's name, as in its JSON: "add_peer".
	Name() string
	// Touches are the fields that Apply reads or changes. Reclaim and TrimReclaimed
	// leave FieldReclaimed out: see [Metadata.Reclaim].
	Touches() FieldSet
	// Apply changes m as the operation says, for backends, and leaves it in normal
	// form. The operation must come from [Prepare]. Afterwards m may share memory with
	// it, which must not be changed. Delete and Remove do nothing here.
	Apply(m *Metadata)

	// prepare returns the operation in normal form, in memory of its own. Being
	// unexported, it also keeps other packages from adding operations.
	prepare(pod string) (Op, error)
}

// The operations. Names of other Pods inside them must be valid Pod names, or the error
// matches [ErrInvalidName]. Strings must be UTF-8, and JSON as for [Metadata.Normalize],
// or the error matches [ErrInvalid].
type (
	// Put replaces everything that is kept of the Pod, even if that is damaged.
	// Metadata.PodName must be the Pod's name. Names of children and peers may be any
	// UTF-8.
	Put struct {
		Metadata *Metadata
		// Created and Changed are the times that the Pod had in another store, or
		// zero. Created is used only for a new Pod. A time in the future is replaced by
		// the current time.
		Created, Changed time.Time
	}
	// Delete deletes the Pod, even a damaged one. A missing Pod is no error.
	// References to it stay: see [Remove].
	Delete struct{}
	// Remove deletes the Pod and every reference to it: afterwards no Pod that can be
	// read has it as a peer or as a spawned child. A damaged other Pod is left as it is
	// and makes no error: a reference in it stays, but nobody can read that list.
	// Reclaim history stays. A missing Pod is no error: the references to it are
	// removed.
	Remove struct{}
	// SetActive sets the active pointer and the manifest together. Nil clears either,
	// and so does JSON null for the manifest. To keep the manifest use [SetSegment].
	SetActive struct {
		Active   *ActiveSegment
		Manifest json.RawMessage
	}
	// SetSegment sets the active pointer and keeps the manifest; nil clears the
	// pointer.
	SetSegment struct{ Active *ActiveSegment }
	// SetChildren replaces the spawned children. It keeps their order, and names that
	// come twice.
	SetChildren struct{ Children []SpawnedChild }
	// AddChild puts the child in place of the first spawned child of its name and drops
	// any others of that name. If there is none, it appends the child.
	AddChild struct{ Child SpawnedChild }
	// RemoveChild drops every spawned child of that name, which may be any UTF-8. It
	// creates a missing Pod, unless the condition is [SkipMissing] or [Exists].
	RemoveChild struct{ PodName string }
	// SetPeers replaces the peers. It keeps their order, and names that come twice.
	SetPeers struct{ Peers []Peer }
	// AddPeer adds a peer and sorts the list by name. A peer that is there already
	// changes nothing.
	AddPeer struct{ PodName string }
	// RemovePeer drops every peer of that name, which may be any UTF-8. It creates a
	// missing Pod, unless the condition is [SkipMissing] or [Exists].
	RemovePeer struct{ PodName string }
	// Reclaim drops every spawned child that is named in Reclaimed, and appends all of
	// Reclaimed to the history, even for names that are not among the spawned children.
	// The scope recorded is the one given here, not the child's: nothing compares them. A
	// backend limits each entry or the whole history; its package says which. A larger
	// one fails with [ErrInvalid].
	Reclaim struct{ Reclaimed []ReclaimedChild }
	// TrimReclaimed drops the oldest entries of the history and keeps the newest Keep
	// entries, at least 0. Nothing trims a history by itself. It creates a missing Pod,
	// unless the condition is [SkipMissing] or [Exists].
	TrimReclaimed struct{ Keep int }
	// SetField sets one top-level field that this version does not know. With the name
	// of a known one it fails with [ErrInvalid].
	SetField struct {
		Field string
		Value json.RawMessage
	}
	// ClearField drops one top-level field that this version does not know. It creates
	// a missing Pod, unless the condition is [SkipMissing] or [Exists].
	ClearField struct{ Field string }
)

// Condition must hold for a change to be made: [Exists], [Missing], [SkipMissing]
// or [AtRevision]. Conditions can be compared with ==.
type Condition struct {
	kind     conditionKind
	revision Revision
}

type conditionKind uint8

const (
	always conditionKind = iota
	exists
	missing
	skipMissing
	atRevision
)

// The conditions without an argument. Each looks at the Pod as the changes before it in
// the same Apply left it.
var (
	// Exists holds if the Pod exists. Otherwise nothing is changed and the error matches
	// [ErrNotFound].
	Exists = Condition{kind: exists}
	// Missing holds if there is no such Pod. Otherwise nothing is changed and the error
	// matches [ErrExists].
	Missing = Condition{kind: missing}
	// SkipMissing leaves this change out if there is no such Pod. Apply makes the other
	// changes.
	SkipMissing = Condition{kind: skipMissing}
)

// AtRevision holds if the Pod had this revision before the whole Apply. Otherwise nothing
// is changed and the error matches [ErrConflict]. Unlike the other conditions, it does
// not look at what earlier changes of the same Apply made. The zero Revision holds for a
// missing Pod.
func AtRevision(r Revision) Condition { return Condition{atRevision, r} }

// String is the condition as in a change's JSON: "exists", "missing",
// "skip_missing" or a revision, and "" for the zero Condition.
func (c Condition) String() string {
	switch c.kind {
	case exists:
		return "exists"
	case missing:
		return "missing"
	case skipMissing:
		return "skip_missing"
	case atRevision:
		return c.revision.String()
	}
	return ""
}

// ParseCondition reads what [Condition.String] wrote. Anything else fails with
// [ErrInvalid].
func ParseCondition(s string) (Condition, error) {
	for _, c := range []Condition{{}, Exists, Missing, SkipMissing} {
		if c.String() == s {
			return c, nil
		}
	}
	r, err := ParseRevision(s)
	if err != nil {
		return Condition{}, &Error{Kind: ErrInvalid, Err: fmt.Errorf(`%.80q is no condition: expected "exists", "missing", "skip_missing" or a revision`, s)}
	}
	return AtRevision(r), nil
}

// Check tests a condition, for backends. there is true if the Pod exists now. at is its
// revision before the first change, zero if it did not exist then. Check returns false
// if the change must be left out.
func (c Condition) Check(pod string, there bool, at Revision) (do bool, err error) {
	switch {
	case c.kind == exists && !there:
		return false, &Error{Pod: pod, Kind: ErrNotFound, Err: errors.New("there is no such Pod, and the change is to be made only where there is; create it first")}
	case c.kind == missing && there:
		return false, &Error{Pod: pod, Kind: ErrExists, Err: errors.New("the Pod exists, and the change is to be made only where it does not")}
	case c.kind == atRevision && at != c.revision:
		return false, &Error{Pod: pod, Kind: ErrConflict, Err: errors.New("the Pod is not at the revision that was named; read it and decide again")}
	case c.kind == skipMissing && !there:
		return false, nil
	}
	return true, nil
}

// Unmet reports whether an error says that a condition did not hold: it matches
// [ErrNotFound], [ErrExists] or [ErrConflict]. It is for backends.
func Unmet(err error) bool {
	return errors.Is(err, ErrNotFound) || errors.Is(err, ErrExists) || errors.Is(err, ErrConflict)
}

// NeedsRevision reports whether [Condition.Check] looks at the Pod's revision.
func (c Condition) NeedsRevision() bool { return c.kind == atRevision }

// ApplyOptions are the options of an Apply. Nil is the zero value. The example shows what
// to do after [ErrUnknown].
type ApplyOptions struct {
	// Metadata asks for each Pod's metadata as it is after the changes.
	Metadata bool

	// With an ID the changes are made only once, however often they are sent, as long as
	// the store remembers the ID. Choose a random one for each set of changes
	// ([NewRequestID]) before you send them first. If they were already made under this
	// ID, they are not made again, and the result has the revision that they made. If a
	// Pod has changed since then, its result may have only the number of that revision
	// and no metadata. After a refusal, take a new ID to try again. Using one ID for
	// different changes to a Pod fails with [ErrInvalid]. The zero ID is none. To send
	// the changes again after a crash of your own process, keep the ID, the changes and
	// Seen where the crash leaves them; the store keeps its IDs through crashes. A store
	// that keeps no IDs fails with [errors.ErrUnsupported]. A store remembers a limited
	// number of IDs for each Pod: send a request again soon, with Resent, and not after
	// many other changes.
	ID RequestID
	// Resent says that the same changes were sent before under this ID, with an unknown
	// result. If the store has meanwhile forgotten so many IDs that it cannot tell
	// whether it made the changes, it changes nothing now, and the error matches
	// [ErrUnknown]. Any other error of such a call speaks only of this sending: an
	// earlier one may still have made the changes.
	Resent bool
	// Seen is used only with Resent. Set it to the highest Revision.Number that you had
	// got from this store, in any Metadata or Applied, before you first sent the changes;
	// 0 if you had got none. Note it before the first sending, and do not raise it later:
	// with a number that you got after the first sending, the store may make the changes
	// twice. A lower number is safe, but the store answers [ErrUnknown] more often.
	Seen uint64
}

// RequestID identifies one set of changes.
type RequestID uuid.UUID

// NewRequestID returns a random ID.
func NewRequestID() RequestID { return RequestID(uuid.New()) }

// ParseRequestID reads a UUID in the forms of [ParseSessionID]. The error matches
// [ErrInvalid].
func ParseRequestID(s string) (RequestID, error) {
	id, err := parseUUID(s)
	return RequestID(id), err
}

// String is the ID as a UUID, lower-case with hyphens.
func (id RequestID) String() string { return uuid.UUID(id).String() }

// Applied is the result of one change.
type Applied struct {
	Pod string
	// Version is the Pod's version after all of the changes. If they deleted the Pod,
	// only Version.Revision.Number is set: the number of the deletion. If there was no
	// Pod, Version is zero.
	Version Version
	// Metadata is the Pod after all of the changes, if ApplyOptions asked for it; nil
	// if the Pod does not exist. It belongs to the caller. Results for the same Pod may
	// share it.
	Metadata *Metadata
}

// Do makes operations on one Pod, in order, as one Apply without conditions. Use
// [DoAndRead] or Apply if you need the new revision.
func Do(ctx context.Context, s MetadataStore, pod string, ops ...Op) error {
	_, err := s.Apply(ctx, changesOf(pod, ops), nil)
	return err
}

// DoAndRead is [Do], and also returns the Pod as the operations left it, read in the
// same transaction; nil if the Pod does not exist then.
func DoAndRead(ctx context.Context, s MetadataStore, pod string, ops ...Op) (*Metadata, error) {
	applied, err := s.Apply(ctx, changesOf(pod, ops), &ApplyOptions{Metadata: true})
	if err != nil {
		return nil, err
	}
	return applied[len(applied)-1].Metadata, nil
}

func changesOf(pod string, ops []Op) []Change {
	changes := make([]Change, len(ops))
	for i, op := range ops {
		changes[i] = Change{Pod: pod, Op: op}
	}
	return changes
}

// Write creates the Pod named by m.PodName or replaces everything that is kept of
// it: a [Put]. It does not change or keep m.
func Write(ctx context.Context, s MetadataStore, m *Metadata) error {
	return Do(ctx, s, m.PodName, Put{Metadata: m})
}

// LinkPeers makes a and b peers of each other, on both Pods or on neither. If they are
// linked already, it changes nothing. Both Pods must exist, or the error matches
// [ErrNotFound]. A Pod cannot be its own peer ([ErrInvalid]). A store that cannot
// change several Pods at once fails with [errors.ErrUnsupported].
func LinkPeers(ctx context.Context, s MetadataStore, a, b string) error {
	const op = "link peers"
	if err := validatePair(op, a, b); err != nil {
		return err
	}
	_, err := s.Apply(ctx, []Change{{a, AddPeer{b}, Exists}, {b, AddPeer{a}, Exists}}, nil)
	return withOp(op, err)
}

// UnlinkPeers undoes [LinkPeers], on both Pods or on neither. If one Pod is gone, the
// other still loses it as a peer.
func UnlinkPeers(ctx context.Context, s MetadataStore, a, b string) error {
	const op = "unlink peers"
	if err := validatePair(op, a, b); err != nil {
		return err
	}
	_, err := s.Apply(ctx, []Change{{a, RemovePeer{b}, SkipMissing}, {b, RemovePeer{a}, SkipMissing}}, nil)
	return withOp(op, err)
}

func validatePair(op, a, b string) error {
	for _, name := range []string{a, b} {
		if err := validateOp(op, name); err != nil {
			return err
		}
	}
	if a == b {
		return &Error{Op: op, Pod: a, Kind: ErrInvalid, Err: errors.New("a Pod cannot be its own peer")}
	}
	return nil
}
