package cli

import (
	"context"
	"errors"

	"podstore/store"
)

// checkReferences checks the references between Pods, and with logs those to sessions.
// Damage was printed before.
func (c *console) checkReferences(ctx context.Context, pods store.MetadataStore, logs store.SessionLog, total *checkSummary) error {
	err := c.checkPods(ctx, pods, total)
	if err == nil && logs != nil {
		err = c.checkSessions(ctx, pods, logs, total)
	}
	return err
}

// referenceItem is a broken reference in JSON, to a peer or a child.
type referenceItem struct {
	head
	Pod   string  `json:"pod"`
	Peer  *string `json:"peer,omitempty"`
	Child *string `json:"child,omitempty"`
}

// checkPods prints links with one side, and peers and children that do not exist.
func (c *console) checkPods(ctx context.Context, pods store.MetadataStore, total *checkSummary) error {
	var oneSided, missingPeers, missingChildren int
	for r, podErr := range store.BrokenReferences(ctx, pods) {
		switch {
		case errors.Is(podErr, store.ErrCorrupt):
			c.note(exitDamage)
		case podErr != nil && podOf(podErr) != "": // printed as unreadable before
		case podErr != nil:
			return podErr
		case r.Child:
			missingChildren++
			c.emit(referenceItem{head: c.head("missing-child"), Pod: r.Pod, Child: &r.To})
			c.print("missing-child pod %s: its child %s does not exist; restore that Pod or reclaim the child, unless it is only beginning\n", quoteName(r.Pod), quoteName(r.To))
		case r.Missing:
			missingPeers++
			c.emit(referenceItem{head: c.head("missing-peer"), Pod: r.Pod, Peer: &r.To})
			c.print("missing-peer pod %s: its peer %s does not exist; restore that Pod or remove the peer\n", quoteName(r.Pod), quoteName(r.To))
		default:
			oneSided++
			c.emit(referenceItem{head: c.head("one-sided"), Pod: r.Pod, Peer: &r.To})
			c.print("one-sided pod %s: its peer %s does not have it as a peer; link them or remove the peer, unless that is meant\n", quoteName(r.Pod), quoteName(r.To))
		}
	}
	total.OneSided, total.MissingPeers, total.MissingChildren = &oneSided, &missingPeers, &missingChildren
	return nil
}
