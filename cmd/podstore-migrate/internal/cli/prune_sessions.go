package cli

import (
	"context"
	"time"

	"podstore/store"
	"podstore/store/jsonlstore"
)

// deleteSessions deletes session logs that are old and that no Pod is in.
func (p *pruning) deleteSessions(ctx context.Context, logs *jsonlstore.Store) error {
	limit := time.Now().Add(-time.Duration(p.opts.olderThan))
	for u, err := range store.UnreferencedSessions(ctx, p.s, logs) {
		if err != nil {
			return err
		}
		if !u.Modified.Before(limit) {
			continue
		}
		if p.opts.yes {
			if err := logs.DeleteSession(ctx, u.Session); err != nil {
				return err
			}
		}
		p.removes(&p.sum.Sessions, pruneItem{Kind: "session", Session: u.Session.String(), Changed: knownTime(u.Modified)},
			"unreferenced session %s: not changed for %s, since %s", u.Session, ago(u.Modified), timeText(u.Modified))
	}
	return nil
}
