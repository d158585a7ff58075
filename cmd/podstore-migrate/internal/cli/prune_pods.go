package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"podstore/store"
)

// countReferences counts the references that the removal of an old Pod drops. An old
// Pod is nobody's child, so they are those of its peers.
func (p *pruning) countReferences() {
	p.references = map[string]int{}
	old := make(map[string]bool, len(p.old))
	for _, m := range p.old {
		old[m.PodName] = true
	}
	for name, m := range p.pods {
		for i, peer := range m.Peers {
			if !old[name] && !slices.Contains(m.Peers[:i], peer) {
				p.references[peer.PodName]++
			}
		}
	}
}

// isOld reports whether a Pod is old, and so removed.
func (p *pruning) isOld(name string) bool {
	return slices.ContainsFunc(p.old, func(m *store.Metadata) bool { return m.PodName == name })
}

// removeTogether Pods are removed in one transaction.
const removeTogether = 50

// removeOld removes the Pods that are old, if they still are.
func (p *pruning) removeOld(ctx context.Context) error {
	removed := map[string]bool{}
	for batch := range slices.Chunk(p.old, removeTogether) {
		batch := slices.Clone(batch)
		for p.opts.yes && len(batch) > 0 {
			changes := make([]store.Change, len(batch))
			for i, m := range batch {
				changes[i] = store.Change{Pod: m.PodName, Op: store.Remove{}, If: store.AtRevision(m.Version.Revision)}
			}
			_, err := p.s.Apply(ctx, changes, nil)
			if err == nil {
				break
			}
			if !errors.Is(err, store.ErrConflict) || podOf(err) == "" {
				return err
			}
			i := slices.IndexFunc(batch, func(m *store.Metadata) bool { return m.PodName == podOf(err) })
			if i < 0 {
				return err
			}
			if err := p.follow(ctx, batch[i], removed); errors.Is(err, errMoved) {
				p.keeps(pruneItem{Kind: "pod", Pod: batch[i].PodName}, "it was changed meanwhile, and kept")
				batch = slices.Delete(batch, i, i+1)
			} else if err != nil {
				return err
			}
		}
		for _, m := range batch {
			removed[m.PodName] = true
			what := fmt.Sprintf("old pod %s: not changed for %s, since %s", quoteName(m.PodName), ago(m.Version.Changed), timeText(m.Version.Changed))
			if m.Active != nil {
				what += ", active"
			}
			references := p.references[m.PodName]
			what += ", " + plural(references, "reference") + " to it"
			p.removes(&p.sum.Removed, pruneItem{Kind: "pod", Pod: m.PodName, Changed: knownTime(m.Version.Changed), References: &references}, "%s", what)
		}
	}
	return nil
}

// follow reads the new revision of a Pod that lost only its references to Pods that this
// command has removed. If others changed the Pod, the error is errMoved.
func (p *pruning) follow(ctx context.Context, m *store.Metadata, removed map[string]bool) error {
	now, err := store.ReadPart(ctx, p.s, m.PodName, m.Omitted)
	if errors.Is(err, store.ErrNotFound) {
		return errMoved
	} else if err != nil {
		return err
	}
	expected := m.Clone()
	expected.Peers = slices.DeleteFunc(expected.Peers, func(peer store.Peer) bool { return removed[peer.PodName] })
	if !expected.Equal(now) || now.Version.Revision == m.Version.Revision || len(expected.Peers) == len(m.Peers) {
		return errMoved
	}
	m.Peers, m.Version.Revision = expected.Peers, now.Version.Revision
	return nil
}
