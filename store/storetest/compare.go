package storetest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"podstore/store"
)

// mismatch says how got differs from want, nil values included. It ignores versions,
// which other tests compare.
func mismatch(got, want *store.Metadata) string {
	if got == nil || want == nil {
		if got == want {
			return ""
		}
		return fmt.Sprintf("got %v, want %v", got, want)
	}
	plain := *got
	plain.Version = want.Version
	switch {
	case reflect.DeepEqual(&plain, want):
		return ""
	case got.Omitted != want.Omitted:
		return fmt.Sprintf("omitted differs: got %+v, want %+v", got.Omitted, want.Omitted)
	case got.Equal(want):
		return fmt.Sprintf("not in normal form: got %.1000s, want %.1000s", fmt.Sprintf("%#v", got), fmt.Sprintf("%#v", want))
	}
	field := want.Diff(got)
	return fmt.Sprintf("%s differs: got %.600s, want %.600s", field, show(got, field), show(want, field))
}

// show returns one field of metadata for a message, or all fields if field is "".
func show(m *store.Metadata, field string) string {
	active := ""
	if m.Active != nil {
		active = m.Active.SessionID.String()
		if m.Active.SegmentID != nil {
			active += "/" + m.Active.SegmentID.String()
		}
	}
	var all []string
	for _, f := range []struct {
		name  string
		value any
	}{
		{"pod_name", m.PodName}, {"active", active}, {"spawned_children", m.Children}, {"reclaimed_children", m.Reclaimed},
		{"peers", m.Peers}, {"resolved_manifest_snapshot", string(m.Manifest)},
	} {
		text := fmt.Sprintf("%s %+q", f.name, fmt.Sprint(f.value))
		if f.name == field {
			return text
		}
		all = append(all, text)
	}
	for _, k := range sortedKeys(m.Extra) {
		if k == field {
			return string(m.Extra[k])
		}
		all = append(all, fmt.Sprintf("%q %s", k, m.Extra[k]))
	}
	if field != "" {
		return "none"
	}
	return strings.Join(all, ", ")
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
