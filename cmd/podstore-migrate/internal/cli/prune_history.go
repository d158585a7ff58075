package cli

import (
	"context"

	"podstore/store"
)

// trim shortens long histories.
func (p *pruning) trim(ctx context.Context) error {
	for _, name := range sortedKeys(p.pods) {
		over := len(p.pods[name].Reclaimed) - p.opts.keepHistory
		if p.opts.keepHistory < 0 || over <= 0 || p.isOld(name) {
			continue
		}
		if p.opts.yes {
			change := store.Change{Pod: name, Op: store.TrimReclaimed{Keep: p.opts.keepHistory}, If: store.SkipMissing}
			if _, err := p.s.Apply(ctx, []store.Change{change}, nil); err != nil {
				return err
			}
		}
		p.removes(&p.sum.Trimmed, pruneItem{Kind: "history", Pod: name, Entries: &over}, "history of pod %s: the oldest %d of %s", quoteName(name), over, plural(len(p.pods[name].Reclaimed), "entry"))
	}
	return nil
}
