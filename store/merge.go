package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The merge rules, pure: each changes what it names and nothing else. Those that
// set names of other Pods reject invalid ones with an error that matches
// ErrInvalidName, and then change nothing. What is passed in is copied.

// SetActive sets the active pointer and the manifest together; nil clears
// either.
func (m *Metadata) SetActive(active *ActiveSegment, manifest json.RawMessage) {
	m.Active = active.clone()
	m.Manifest = bytes.Clone(manifest)
}

// SetChildren replaces the spawned children. Order and repeated names are kept.
func (m *Metadata) SetChildren(children []SpawnedChild) error {
	for _, c := range children {
		if err := validateOp("set children", c.PodName); err != nil {
			return err
		}
	}
	m.Children = cloneChildren(children)
	return nil
}

// SetPeers replaces the peers. Order and repeated names are kept.
func (m *Metadata) SetPeers(peers []Peer) error {
	for _, p := range peers {
		if err := validateOp("set peers", p.PodName); err != nil {
			return err
		}
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
	if m.HasPeer(name) {
		return nil
	}
	m.Peers = append(m.Peers, Peer{PodName: name})
	slices.SortStableFunc(m.Peers, func(a, b Peer) int { return strings.Compare(a.PodName, b.PodName) })
	return nil
}

// HasPeer reports whether a peer of that name is listed.
func (m *Metadata) HasPeer(name string) bool {
	return slices.Contains(m.Peers, Peer{PodName: name})
}

// RemovePeer removes every peer of that name.
func (m *Metadata) RemovePeer(name string) {
	m.Peers = slices.DeleteFunc(m.Peers, func(p Peer) bool { return p.PodName == name })
}

// Reclaim drops every spawned child that is named in reclaimed and appends
// reclaimed to the history, also those that were not outstanding.
func (m *Metadata) Reclaim(reclaimed []ReclaimedChild) error {
	names := make(map[string]bool, len(reclaimed))
	for _, r := range reclaimed {
		if err := validateOp("reclaim", r.PodName); err != nil {
			return err
		}
		names[r.PodName] = true
	}
	m.Children = slices.DeleteFunc(m.Children, func(c SpawnedChild) bool { return names[c.PodName] })
	m.Reclaimed = append(m.Reclaimed, cloneReclaimed(reclaimed)...)
	return nil
}

// The merge operations: each is one Update, with all that Update guarantees. It
// creates a missing Pod, leaves every field that it does not name alone, and
// returns the resulting metadata.

// SetActive sets the active pointer and the manifest snapshot together; nil
// clears either. A manifest that is not JSON is refused with [ErrInvalid].
func SetActive(ctx context.Context, s MetadataStore, pod string, active *ActiveSegment, manifest json.RawMessage) (*Metadata, error) {
	return s.Update(ctx, pod, func(m *Metadata) error {
		m.SetActive(active, manifest)
		return nil
	})
}

// SetChildren replaces the spawned children.
func SetChildren(ctx context.Context, s MetadataStore, pod string, children []SpawnedChild) (*Metadata, error) {
	return s.Update(ctx, pod, func(m *Metadata) error { return m.SetChildren(children) })
}

// SetPeers replaces the peers.
func SetPeers(ctx context.Context, s MetadataStore, pod string, peers []Peer) (*Metadata, error) {
	return s.Update(ctx, pod, func(m *Metadata) error { return m.SetPeers(peers) })
}

// AddPeer adds one peer to one Pod; adding it again changes nothing. For both
// sides of a link see [LinkPeers].
func AddPeer(ctx context.Context, s MetadataStore, pod, peer string) (*Metadata, error) {
	return s.Update(ctx, pod, func(m *Metadata) error { return m.AddPeer(peer) })
}

// RemovePeer removes one peer from one Pod.
func RemovePeer(ctx context.Context, s MetadataStore, pod, peer string) (*Metadata, error) {
	return s.Update(ctx, pod, func(m *Metadata) error {
		m.RemovePeer(peer)
		return nil
	})
}

// Reclaim moves delegations to the reclaim history: see [Metadata.Reclaim].
func Reclaim(ctx context.Context, s MetadataStore, pod string, reclaimed []ReclaimedChild) (*Metadata, error) {
	return s.Update(ctx, pod, func(m *Metadata) error { return m.Reclaim(reclaimed) })
}

// LinkPeers makes a and b peers of each other, on both Pods or on neither; where
// both sides are there already it changes nothing. Both Pods must exist, or the
// error matches [ErrNotFound]; a Pod cannot be its own peer ([ErrInvalid]). A
// store that cannot edit several Pods at once gives [errors.ErrUnsupported].
func LinkPeers(ctx context.Context, s MetadataStore, a, b string) error {
	return editPair(ctx, s, "link peers", a, b, func(m *Metadata, peer string) error { return m.AddPeer(peer) })
}

// UnlinkPeers undoes [LinkPeers], under the same conditions.
func UnlinkPeers(ctx context.Context, s MetadataStore, a, b string) error {
	return editPair(ctx, s, "unlink peers", a, b, func(m *Metadata, peer string) error {
		m.RemovePeer(peer)
		return nil
	})
}

func editPair(ctx context.Context, s MetadataStore, op, a, b string, edit func(m *Metadata, peer string) error) error {
	if a == b {
		if err := validateOp(op, a); err != nil {
			return err
		}
		return &Error{Op: op, Pod: a, Kind: ErrInvalid, Err: errors.New("a Pod cannot be its own peer")}
	}
	_, err := UpdatePods(ctx, s, []string{a, b}, func(pods []*Metadata) error {
		for i, name := range []string{a, b} {
			if pods[i] == nil {
				return &Error{Op: op, Pod: name, Kind: ErrNotFound, Err: fmt.Errorf("both Pods must exist; create %q first", name)}
			}
		}
		if err := edit(pods[0], b); err != nil {
			return err
		}
		return edit(pods[1], a)
	})
	return err
}
