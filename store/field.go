package store

import "slices"

// Field is one of the fields of [Metadata] besides the Pod's name. The order is that of
// the stored keys.
type Field uint8

// The fields.
const (
	FieldActive Field = iota
	FieldChildren
	FieldExtra
	FieldManifest
	FieldPeers
	FieldReclaimed
	NumFields = iota
)

// FieldSet is a set of fields.
type FieldSet uint16

// Fields makes a set.
func Fields(fields ...Field) (set FieldSet) {
	for _, f := range fields {
		set |= 1 << f
	}
	return set
}

// Has reports whether f is in the set.
func (s FieldSet) Has(f Field) bool { return s&(1<<f) != 0 }

// AllFields is the set of every field.
const AllFields FieldSet = 1<<NumFields - 1

// fieldNames are the top-level fields of the JSON layout, which Extra cannot
// hold. Later writers call pod_name worker_name.
var fieldNames = [...]string{
	"pod_name", "worker_name", "active", "spawned_children", "reclaimed_children", "peers", "resolved_manifest_snapshot",
}

// IsFieldName reports whether name is a top-level field of the JSON layout that
// this version knows, and so can be no key of Extra.
func IsFieldName(name string) bool { return slices.Contains(fieldNames[:], name) }

// FieldNames returns the names of the fields in layout order, except the name field.
// The caller must not change them.
func FieldNames() []string { return fieldNames[2:] }
