package cli

import (
	"encoding/json"
	"strings"

	"podstore/store"
)

// What a Pod has goes by one name in every command: in list's header, --sort and
// --filter, in show --field, in what stats counts. In a metadata.json some of it has a
// longer name, which is understood too.
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

// shortName is the name that the commands have for a field of a metadata.json.
func shortName(field string) string {
	for short, long := range fieldNames {
		if field == long {
			return short
		}
	}
	return field
}

// ids are the session and segment of a Pod as text, "" where there is none.
func ids(active *store.ActiveSegment) (session, segment string) {
	if active == nil {
		return "", ""
	}
	if active.SegmentID != nil {
		segment = active.SegmentID.String()
	}
	return active.SessionID.String(), segment
}

// changedFields are the fields in which two states of a Pod differ, as
// [store.Metadata.Diff] names them.
func changedFields(was, is *store.Metadata) (fields []string) {
	rest := was.Clone()
	for field := rest.Diff(is); field != ""; field = rest.Diff(is) {
		fields = append(fields, field)
		takeField(rest, is, field)
	}
	return fields
}

// takeField gives a Pod a field of another state of it.
func takeField(to, from *store.Metadata, field string) {
	switch field {
	case "pod_name":
		to.PodName = from.PodName
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
	case `""`: // what Diff calls the field without a name
		takeExtra(to, from, "")
		takeExtra(to, from, field)
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

// shownFields are fields as a message lists them.
func shownFields(fields []string) string {
	shown := make([]string, len(fields))
	for i, field := range fields {
		shown[i] = quoteName(shortName(field))
	}
	return strings.Join(shown, ", ")
}
