package mirror

import (
	"slices"
	"strings"
	"time"

	"podstore/store"
)

// Parents returns the Pods that have a Pod of this name among their spawned children,
// sorted by name. The child need not exist.
func (m *Mirror) Parents(name string) []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return slices.Clone(m.parents[name])
}

// Children returns the names of a Pod's spawned children, sorted and each once. The
// children need not exist.
func (m *Mirror) Children(name string) []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return childrenOf(m.have[name].Metadata)
}

// Peers returns the Pods that a Pod is linked with on both sides, sorted by name.
func (m *Mirror) Peers(name string) (linked []string) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, to := range peersOf(m.have[name].Metadata) {
		if other := m.have[to].Metadata; other != nil && other.HasPeer(name) {
			linked = append(linked, to)
		}
	}
	return linked
}

// OneSidedPeers returns the links that only one side has, sorted by the Pod that has
// the link and then by the Pod that lacks it or does not exist. It leaves out links to
// Pods that cannot be read or are not mirrored.
func (m *Mirror) OneSidedPeers() (links []store.Reference) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for name, e := range m.have {
		for _, to := range peersOf(e.Metadata) {
			other, exists := m.have[to]
			switch {
			case m.opts.Pods != nil && !slices.Contains(m.opts.Pods, to):
			case exists && (other.Err != nil || other.Metadata.HasPeer(name)):
			default:
				links = append(links, store.Reference{Pod: name, To: to, Missing: !exists})
			}
		}
	}
	slices.SortFunc(links, func(a, b store.Reference) int {
		if c := strings.Compare(a.Pod, b.Pod); c != 0 {
			return c
		}
		return strings.Compare(a.To, b.To)
	})
	return links
}

// BySession returns the Pods whose active pointer names the session, sorted by name.
func (m *Mirror) BySession(id store.SessionID) []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return slices.Clone(m.sessions[id])
}

// InWorkspace returns the Pods that work in a directory according to their unknown
// field workspace_root, sorted by name.
func (m *Mirror) InWorkspace(root string) []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return slices.Clone(m.places[root])
}

// ChangedBefore returns the Pods that have not changed since t, the longest unchanged
// first. It leaves out Pods whose time of change is unknown.
func (m *Mirror) ChangedBefore(t time.Time) (names []string) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for name, e := range m.have {
		if c := changedAt(e); !c.IsZero() && c.Before(t) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		if c := changedAt(m.have[a]).Compare(changedAt(m.have[b])); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	return names
}

func changedAt(e store.Event) time.Time {
	if e.Metadata == nil {
		return time.Time{}
	}
	return e.Metadata.Version.Changed
}

func childrenOf(m *store.Metadata) []string {
	if m == nil {
		return nil
	}
	return names(m.Children, func(c store.SpawnedChild) string { return c.PodName })
}

func peersOf(m *store.Metadata) []string {
	if m == nil {
		return nil
	}
	return names(m.Peers, func(p store.Peer) string { return p.PodName })
}

// names returns the names in a list, sorted and each once.
func names[T any](list []T, name func(T) string) []string {
	if len(list) == 0 {
		return nil
	}
	all := make([]string, len(list))
	for i, e := range list {
		all[i] = name(e)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// insert adds a name to a sorted list.
func insert(list []string, name string) []string {
	if i, found := slices.BinarySearch(list, name); !found {
		return slices.Insert(list, i, name)
	}
	return list
}

// remove removes a name from a sorted list.
func remove(list []string, name string) []string {
	if i, found := slices.BinarySearch(list, name); found {
		return slices.Delete(list, i, i+1)
	}
	return list
}

func insertInto[K comparable](index map[K][]string, key K, name string) {
	index[key] = insert(index[key], name)
}

func removeFrom[K comparable](index map[K][]string, key K, name string) {
	if index[key] = remove(index[key], name); len(index[key]) == 0 {
		delete(index, key)
	}
}
