package podjson

import (
	"fmt"
	"slices"
	"strings"

	"podstore/store"
	"podstore/store/jsonvalue"
)

// Naming is the key for a Pod's name in a document, the same at every level.
type Naming uint8

// The namings. Later writers use Workers.
const (
	Pods    Naming = iota // pod_name
	Workers               // worker_name
)

var namings = [...]string{Pods: "pods", Workers: "workers"}

// nameKeys are the keys for a Pod's name, by naming.
var nameKeys = [...]string{Pods: "pod_name", Workers: "worker_name"}

// String is "pods" or "workers".
func (n Naming) String() string { return namings[n] }

// Key is the key for a Pod's name.
func (n Naming) Key() string { return nameKeys[n] }

// ParseNaming is the inverse of [Naming.String].
func ParseNaming(s string) (Naming, error) {
	if i := slices.Index(namings[:], s); i >= 0 {
		return Naming(i), nil
	}
	return Pods, fmt.Errorf("expected %s", strings.Join(namings[:], " or "))
}

// nameField stands for the name's key, which depends on the naming.
const nameField = ""

// structure is one kind of object in a document: its fields in the order in which
// they are written. Decoder and encoder share it, so they cannot disagree.
type structure struct {
	what     string      // for messages, with its article
	fields   [2][]string // by naming
	required int         // so many fields must be there, the first ones
	keys     [2][]string // what is written before each value, by naming
}

// newStructure makes a structure whose fields are indented by so many spaces.
func newStructure(what string, indent, required int, fields ...string) *structure {
	st := &structure{what: what, required: required}
	for n, nameKey := range nameKeys {
		separator := "\n" + strings.Repeat(" ", indent)
		for _, f := range fields {
			if f == nameField {
				f = nameKey
			}
			st.fields[n] = append(st.fields[n], f)
			st.keys[n] = append(st.keys[n], separator+`"`+f+`": `)
			separator = ",\n" + strings.Repeat(" ", indent)
		}
	}
	return st
}

// index returns the place of a field, or the number of fields if key is none of them. It
// finds a name's key in either naming. It looks at expected first, the next place if
// the fields come in their order.
func (st *structure) index(key []byte, expected int) int {
	fields := st.fields[Pods]
	if expected < len(fields) && string(key) == fields[expected] {
		return expected
	}
	for i, f := range fields {
		if string(key) == f || string(key) == st.fields[Workers][i] {
			return i
		}
	}
	return len(fields)
}

// isName reports whether a field is the Pod's name.
func (st *structure) isName(i int) bool { return st.fields[Pods][i] == nameKeys[Pods] }

// The fields of a document. Fields that this version does not know follow them.
const (
	fieldName = iota
	fieldActive
	fieldWorkspaceRoot // kept in Extra
	fieldWorkspaceID   // kept in Extra
	fieldChildren
	fieldReclaimed
	fieldPeers
	fieldManifest
	numFields
)

var documentFields = newStructure("metadata", 2, 1, nameField, "active", WorkspaceRoot, WorkspaceID,
	"spawned_children", "reclaimed_children", "peers", "resolved_manifest_snapshot")

// The objects inside a document.
var (
	activeFields    = newStructure("active", 4, 1, "session_id", "segment_id")
	childFields     = newStructure("a spawned child", 6, 4, nameField, "socket_path", "scope_delegated", "callback_address")
	reclaimedFields = newStructure("a reclaimed child", 6, 2, nameField, "scope_delegated")
	peerFields      = newStructure("a peer", 6, 1, nameField)
	ruleFields      = newStructure("a scope rule", 10, 3, "target", "permission", "recursive")
)

// The fields that later writers put behind active, and that Metadata keeps in Extra.
const (
	WorkspaceRoot = "workspace_root"
	WorkspaceID   = "workspace_id"
)

// inExtra reports whether a field of the document is kept in Extra.
func inExtra(field int) bool { return field == fieldWorkspaceRoot || field == fieldWorkspaceID }

// hasPlace reports whether a key of Extra is written in a place of its own.
func hasPlace(key string) bool { return key == WorkspaceRoot || key == WorkspaceID }

// Workspace returns the field workspace_root, the directory that a Pod works in. ok is
// false if there is none, or it is not a string.
func Workspace(m *store.Metadata) (root string, ok bool) {
	v, ok := m.Extra[WorkspaceRoot]
	if !ok {
		return "", false
	}
	s := jsonvalue.NewScanner(v)
	if s.Peek() != jsonvalue.String {
		return "", false
	}
	return s.ReadString(), true
}
