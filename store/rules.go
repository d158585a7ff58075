package store

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// The merge rules: each method changes what it names and nothing else, and copies what
// it is given. Those that set names of other Pods refuse invalid ones with an error that
// matches ErrInvalidName, and then change nothing. Edits of [MetadataStore] Update use
// them. The operations of a [Change] follow the same rules.

// SetActive sets the active pointer and the manifest together; nil clears
// either. To keep the manifest assign to Active.
func (m *Metadata) SetActive(active *ActiveSegment, manifest json.RawMessage) {
	m.Active = active.clone()
	m.Manifest = bytes.Clone(manifest)
}

// SetChildren replaces the spawned children. Order and repeated names are kept.
func (m *Metadata) SetChildren(children []SpawnedChild) error {
	if err := validateNames("set children", children, spawnedName); err != nil {
		return err
	}
	m.Children = cloneChildren(children)
	return nil
}

// AddChild replaces the first spawned child of that name, drops any others of it,
// or appends the child.
func (m *Metadata) AddChild(child SpawnedChild) error {
	if err := validateOp("add child", child.PodName); err != nil {
		return err
	}
	m.addChild(child)
	return nil
}

func (m *Metadata) addChild(child SpawnedChild) {
	child.ScopeDelegated = slices.Clone(child.ScopeDelegated)
	i := slices.IndexFunc(m.Children, func(c SpawnedChild) bool { return c.PodName == child.PodName })
	if i < 0 {
		m.Children = append(m.Children, child)
		return
	}
	m.Children[i] = child
	rest := slices.DeleteFunc(m.Children[i+1:], func(c SpawnedChild) bool { return c.PodName == child.PodName })
	m.Children = m.Children[:i+1+len(rest)]
}

// RemoveChild drops every spawned child of that name. The history is left alone:
// see [Metadata.Reclaim].
func (m *Metadata) RemoveChild(name string) {
	m.Children = orNil(slices.DeleteFunc(m.Children, func(c SpawnedChild) bool { return c.PodName == name }))
}

// SetPeers replaces the peers. Order and repeated names are kept.
func (m *Metadata) SetPeers(peers []Peer) error {
	if err := validateNames("set peers", peers, peerName); err != nil {
		return err
	}
	m.Peers = slices.Clone(peers)
	return nil
}

// AddPeer adds a peer and sorts the list by name, or does nothing when a peer
// of that name is there.
func (m *Metadata) AddPeer(name string) error {
	if err := validateOp("add peer", name); err != nil {
		return err
	}
	m.addPeer(name)
	return nil
}

func (m *Metadata) addPeer(name string) {
	if m.HasPeer(name) {
		return
	}
	m.Peers = append(m.Peers, Peer{PodName: name})
	slices.SortStableFunc(m.Peers, func(a, b Peer) int { return strings.Compare(a.PodName, b.PodName) })
}

// HasPeer reports whether a peer of that name is listed.
func (m *Metadata) HasPeer(name string) bool {
	return slices.Contains(m.Peers, Peer{PodName: name})
}

// RemovePeer removes every peer of that name.
func (m *Metadata) RemovePeer(name string) {
	m.Peers = orNil(slices.DeleteFunc(m.Peers, func(p Peer) bool { return p.PodName == name }))
}

// Reclaim drops every spawned child that is named in reclaimed and appends all of
// reclaimed to the history, even names that were no spawned child. It does not read the
// history.
func (m *Metadata) Reclaim(reclaimed []ReclaimedChild) error {
	if err := validateNames("reclaim", reclaimed, reclaimedName); err != nil {
		return err
	}
	m.reclaim(reclaimed)
	return nil
}

func (m *Metadata) reclaim(reclaimed []ReclaimedChild) {
	m.Children = orNil(slices.DeleteFunc(m.Children, func(c SpawnedChild) bool {
		return slices.ContainsFunc(reclaimed, func(r ReclaimedChild) bool { return r.PodName == c.PodName })
	}))
	m.Reclaimed = append(m.Reclaimed, cloneReclaimed(reclaimed)...)
}

// TrimReclaimed drops the oldest entries of the history and keeps the newest
// keep.
func (m *Metadata) TrimReclaimed(keep int) {
	if keep = max(keep, 0); len(m.Reclaimed) > keep {
		m.Reclaimed = orNil(slices.Clone(m.Reclaimed[len(m.Reclaimed)-keep:]))
	}
}

// HasChild reports whether a spawned child of that name is listed.
func (m *Metadata) HasChild(name string) bool {
	return slices.ContainsFunc(m.Children, func(c SpawnedChild) bool { return c.PodName == name })
}

// RefersTo reports whether a Pod of that name is a peer or a spawned child.
func (m *Metadata) RefersTo(name string) bool { return m.HasPeer(name) || m.HasChild(name) }

func spawnedName(c SpawnedChild) string     { return c.PodName }
func reclaimedName(c ReclaimedChild) string { return c.PodName }
func peerName(p Peer) string                { return p.PodName }

func validateNames[T any](op string, list []T, name func(T) string) error {
	for _, e := range list {
		if err := validateOp(op, name(e)); err != nil {
			return err
		}
	}
	return nil
}
