package cli

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"podstore/store"
)

// A Pod's field has the same name in every command: in list's header, --sort and --filter,
// in show --field, in the figures of stats. Commands also take its name in metadata.json,
// which may be longer.
var fieldNames = map[string]string{
	"name":      "pod_name",
	"active":    "active",
	"session":   "session_id",
	"segment":   "segment_id",
	"children":  "spawned_children",
	"reclaimed": "reclaimed_children",
	"peers":     "peers",
	"manifest":  "resolved_manifest_snapshot",
}

// shortName is the commands' name for a field of a metadata.json.
func shortName(field string) string {
	for short, long := range fieldNames {
		if field == long {
			return short
		}
	}
	return field
}

// ids returns the session and segment of a Pod as text, "" if there is none.
func ids(active *store.ActiveSegment) (session, segment string) {
	if active == nil {
		return "", ""
	}
	if active.SegmentID != nil {
		segment = active.SegmentID.String()
	}
	return active.SessionID.String(), segment
}

// changedFields are the names in a metadata.json of the fields in which two states of
// a Pod differ, in the order of that file.
func changedFields(was, is *store.Metadata) (fields []string) {
	others := maps.Clone(was.Extra)
	if others == nil {
		others = map[string]json.RawMessage{}
	}
	maps.Copy(others, is.Extra)
	for _, field := range slices.Concat(store.FieldNames(), sortedKeys(others)) {
		var a, b store.Metadata // with only this field
		takeField(&a, was, field)
		takeField(&b, is, field)
		if !a.Equal(&b) {
			fields = append(fields, field)
		}
	}
	return fields
}

// takeField copies one field of a Pod from another state of it.
func takeField(to, from *store.Metadata, field string) {
	switch field {
	case "active":
		to.Active = from.Active
	case "spawned_children":
		to.Children = from.Children
	case "reclaimed_children":
		to.Reclaimed = from.Reclaimed
	case "peers":
		to.Peers = from.Peers
	case "resolved_manifest_snapshot":
		to.Manifest = from.Manifest
	default:
		takeExtra(to, from, field)
	}
}

func takeExtra(to, from *store.Metadata, field string) {
	value, ok := from.Extra[field]
	switch {
	case !ok:
		delete(to.Extra, field)
	case to.Extra == nil:
		to.Extra = map[string]json.RawMessage{field: value}
	default:
		to.Extra[field] = value
	}
}

// shownFields lists fields for a message.
func shownFields(fields []string) string {
	shown := make([]string, len(fields))
	for i, field := range fields {
		shown[i] = quoteName(shortName(field))
	}
	return strings.Join(shown, ", ")
}
