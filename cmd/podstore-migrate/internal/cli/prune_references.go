package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"podstore/store"
)

// dropReferences drops references to Pods that do not exist. If such a Pod is created
// meanwhile, the references to it stay.
func (p *pruning) dropReferences(ctx context.Context) error {
	if !p.opts.references {
		return nil
	}
	for _, name := range sortedKeys(p.pods) {
		m := p.pods[name]
		var dropped []reference
		for i, child := range m.Children {
			if p.pods[child.PodName] == nil && !slices.ContainsFunc(m.Children[:i], func(c store.SpawnedChild) bool { return c.PodName == child.PodName }) {
				dropped = append(dropped, reference{child.PodName, true})
			}
		}
		for i, peer := range m.Peers {
			if p.pods[peer.PodName] == nil && !slices.Contains(m.Peers[:i], peer) {
				dropped = append(dropped, reference{peer.PodName, false})
			}
		}
		for _, r := range dropped {
			item := pruneItem{Kind: "missing-" + r.kind(), Pod: name, Other: &r.pod}
			if p.opts.yes {
				err := p.drop(ctx, name, r)
				if errors.Is(err, store.ErrExists) {
					p.keeps(item, fmt.Sprintf("its %s %s exists by now; the reference was kept", r.kind(), quoteName(r.pod)))
					continue
				} else if err != nil {
					return err
				}
			}
			p.removes(&p.sum.References, item, "missing-%s pod %s: its %[1]s %[3]s does not exist", r.kind(), quoteName(name), quoteName(r.pod))
		}
	}
	return nil
}

// drop drops a reference, on the condition that the Pod still does not exist.
func (p *pruning) drop(ctx context.Context, from string, r reference) error {
	op := store.Op(store.RemovePeer{PodName: r.pod})
	if r.child {
		op = store.RemoveChild{PodName: r.pod}
	}
	changes := []store.Change{{Pod: from, Op: op, If: store.SkipMissing}}
	if store.ValidateName(r.pod) == nil { // otherwise no Pod can have the name
		changes = append(changes, store.Change{Pod: r.pod, If: store.Missing})
	}
	_, err := p.s.Apply(ctx, changes, nil)
	// This change of ours must not make the Pod look changed by others.
	if err == nil {
		err = p.refresh(ctx, from)
	}
	return err
}

// refresh reads the revision of a Pod that this command has changed.
func (p *pruning) refresh(ctx context.Context, name string) error {
	now, err := store.ReadPart(ctx, p.s, name, store.ReadOptions{OmitManifest: true, OmitReclaimed: true})
	if errors.Is(err, store.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	now.Version.Changed = p.pods[name].Version.Changed
	*p.pods[name] = *now
	return nil
}
