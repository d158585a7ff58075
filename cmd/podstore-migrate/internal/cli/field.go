package cli

import "podstore/store"

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
