package cli

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"podstore/store"
	"podstore/store/podjson"
)

// parseSort returns the order of a list, or nil for the store's order, by name.
func parseSort(key string) (func(a, b podItem) int, error) {
	key, down := strings.CutPrefix(key, "-")
	key = shortName(key)
	var order func(a, b podItem) int
	switch key {
	case "":
		if !down {
			return nil, nil
		}
	case "name":
		order = func(a, b podItem) int { return cmp.Compare(a.Pod, b.Pod) }
	case "session":
		order = func(a, b podItem) int { return cmp.Compare(a.session(), b.session()) }
	case "segment":
		order = func(a, b podItem) int { return cmp.Compare(a.segment(), b.segment()) }
	case "children":
		order = func(a, b podItem) int { return cmp.Compare(a.Children, b.Children) }
	case "reclaimed":
		order = func(a, b podItem) int { return cmp.Compare(a.Reclaimed, b.Reclaimed) }
	case "peers":
		order = func(a, b podItem) int { return cmp.Compare(a.Peers, b.Peers) }
	case "changed": // unknown times come first
		order = func(a, b podItem) int { return a.changed.Compare(b.changed) }
	case "manifest":
		order = func(a, b podItem) int { return cmp.Compare(size(a.ManifestBytes), size(b.ManifestBytes)) }
	}
	switch {
	case order == nil:
		return nil, fmt.Errorf("--sort %s: expected name, session, segment, children, reclaimed, peers, manifest or changed", key)
	case down:
		return func(a, b podItem) int { return order(b, a) }, nil
	}
	return order, nil
}

func size(n *int) int {
	if n == nil {
		return -1
	}
	return *n
}

// parents are the Pods in filters parent=NAME, each with its children.
type parents map[string]map[string]bool

// read reads their children.
func (p parents) read(ctx context.Context, s store.MetadataStore) error {
	for name, children := range p {
		m, err := s.Read(ctx, name)
		if err != nil {
			return err
		}
		for _, child := range m.Children {
			children[child.PodName] = true
		}
	}
	return nil
}

// parseFilters returns a condition that holds if all filters do. It works once the parents
// were read.
func parseFilters(filters []string) (func(*store.Metadata) bool, parents, error) {
	asked := parents{}
	var conditions []func(*store.Metadata) bool
	for _, f := range filters {
		if name, ok := strings.CutPrefix(f, "parent="); ok {
			children := asked[name]
			if children == nil {
				children = map[string]bool{}
				asked[name] = children
			}
			conditions = append(conditions, func(m *store.Metadata) bool { return children[m.PodName] })
			continue
		}
		condition, err := parseFilter(f)
		if err != nil {
			return nil, nil, fmt.Errorf("--filter %q: %w", f, err)
		}
		conditions = append(conditions, condition)
	}
	return func(m *store.Metadata) bool {
		for _, holds := range conditions {
			if !holds(m) {
				return false
			}
		}
		return true
	}, asked, nil
}

func parseFilter(filter string) (func(*store.Metadata) bool, error) {
	key, value, _ := strings.Cut(filter, "=")
	switch key {
	case "name":
		if _, err := path.Match(value, ""); err != nil {
			return nil, err
		}
		return func(m *store.Metadata) bool {
			ok, _ := path.Match(value, m.PodName) // the pattern was checked above
			return ok
		}, nil
	case "session":
		id, err := store.ParseSessionID(value)
		return func(m *store.Metadata) bool { return m.Active != nil && m.Active.SessionID == id }, err
	case "segment":
		id, err := store.ParseSegmentID(value)
		return func(m *store.Metadata) bool {
			return m.Active != nil && m.Active.SegmentID != nil && *m.Active.SegmentID == id
		}, err
	case "child":
		return func(m *store.Metadata) bool {
			return slices.ContainsFunc(m.Children, func(c store.SpawnedChild) bool { return c.PodName == value })
		}, nil
	case "reclaimed":
		return func(m *store.Metadata) bool {
			return slices.ContainsFunc(m.Reclaimed, func(c store.ReclaimedChild) bool { return c.PodName == value })
		}, nil
	case "peer":
		return func(m *store.Metadata) bool { return m.HasPeer(value) }, nil
	case "workspace":
		return func(m *store.Metadata) bool {
			root, ok := podjson.Workspace(m)
			return ok && root == value
		}, nil
	case "older-than", "newer-than":
		age, err := parseAge(value)
		if err != nil {
			return nil, err
		}
		limit := time.Now().Add(-age)
		return func(m *store.Metadata) bool {
			t := m.Version.Changed
			return !t.IsZero() && t.Before(limit) == (key == "older-than")
		}, nil
	case "active":
		if value != "yes" && value != "no" {
			return nil, fmt.Errorf("expected active=yes or active=no")
		}
		return func(m *store.Metadata) bool { return (m.Active != nil) == (value == "yes") }, nil
	}
	return nil, fmt.Errorf("expected name=, session=, segment=, parent=, child=, reclaimed=, peer=, workspace=, active=, older-than= or newer-than=")
}
