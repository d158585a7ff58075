package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"podstore/store"
)

// change is a change of a Pod that arrived.
type change struct {
	at        time.Time
	pod, what string
}

// The last keptChanges changes are kept.
const keptChanges = 1000

func (ps *pods) note(c change) {
	ps.noted++
	if len(ps.changes) >= 2*keptChanges {
		ps.changes = slices.Clone(ps.changes[len(ps.changes)-keptChanges:])
	}
	ps.changes = append(ps.changes, c)
}

// difference says what changed of a Pod, or "".
func difference(was, is *pod) string {
	switch {
	case was == nil:
		return "new"
	case is.err != nil && was.err != nil:
		return ""
	case is.err != nil:
		return "damaged"
	case was.err != nil:
		return "mended"
	}
	a, b := was.meta, is.meta
	var parts []string
	switch from, to := a.Active, b.Active; {
	case from == nil && to == nil:
	case from == nil:
		parts = append(parts, "active")
	case to == nil:
		parts = append(parts, "not active")
	case from.SessionID != to.SessionID:
		parts = append(parts, "session")
	case (from.SegmentID == nil) != (to.SegmentID == nil) || from.SegmentID != nil && *from.SegmentID != *to.SegmentID:
		parts = append(parts, "segment")
	}
	peers := func(m *store.Metadata) (names []string) {
		for _, p := range m.Peers {
			names = append(names, p.PodName)
		}
		return names
	}
	parts = append(parts, listed("child", was.children, is.children)...)
	if len(parts) == 0 && !slices.EqualFunc(a.Children, b.Children, func(x, y store.SpawnedChild) bool {
		return x.PodName == y.PodName && x.SocketPath == y.SocketPath && x.CallbackAddress == y.CallbackAddress &&
			slices.Equal(x.ScopeDelegated, y.ScopeDelegated)
	}) {
		parts = append(parts, "child")
	}
	parts = append(parts, listed("peer", peers(a), peers(b))...)
	if !maps.EqualFunc(a.Extra, b.Extra, func(x, y json.RawMessage) bool { return bytes.Equal(x, y) }) {
		parts = append(parts, "field")
	}
	if len(parts) == 0 && a.Version.Revision != b.Version.Revision {
		parts = append(parts, "manifest/history") // neither is watched
	}
	return strings.Join(parts, ", ")
}

// listed says how many names were added to a list and removed.
func listed(noun string, was, is []string) (parts []string) {
	count := func(in, not []string) (n int) {
		there := make(map[string]bool, len(not))
		for _, name := range not {
			there[name] = true
		}
		for _, name := range in {
			n += btoi(!there[name])
		}
		return n
	}
	if n := count(is, was); n > 0 {
		parts = append(parts, fmt.Sprintf("%s +%d", noun, n))
	}
	if n := count(was, is); n > 0 {
		parts = append(parts, fmt.Sprintf("%s -%d", noun, n))
	}
	return parts
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
