package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"podstore/store"
)

// danglingItem is a Pod in JSON whose session log does not exist.
type danglingItem struct {
	head
	Pod string `json:"pod"`
	activeItem
	NoSession bool `json:"no_session"`
}

// checkSessions looks for the session logs of all Pods, and for the Pods of all
// session logs. Damage was printed before.
func (c *console) checkSessions(ctx context.Context, pods store.MetadataStore, logs store.SessionLog, total *checkSummary) (err error) {
	total.Dangling = new(int)
	for d, podErr := range store.DanglingActive(ctx, pods, logs) {
		switch {
		case errors.Is(podErr, store.ErrCorrupt):
			c.note(exitDamage)
		case podErr != nil && podOf(podErr) != "" && transient(podErr): // printed as unreadable before
		case podErr != nil:
			err = errors.Join(err, podErr)
		default:
			kind, advice := "dangling", "restore the log, or clear or set the active segment"
			what := fmt.Sprintf("there is no session %v", d.Active.SessionID)
			switch {
			case d.Active.SegmentID == nil:
				kind, advice = "pending", "nothing to do, unless it should have begun long ago"
				what = fmt.Sprintf("session %v has no segment yet", d.Active.SessionID)
			case !d.NoSession:
				what = fmt.Sprintf("session %v has no segment %v", d.Active.SessionID, *d.Active.SegmentID)
			}
			if kind == "dangling" {
				*total.Dangling++
				c.note(exitDifferent)
			}
			c.emit(danglingItem{c.head(kind), d.Pod, activeItem{d.Active.SessionID, d.Active.SegmentID}, d.NoSession})
			c.print("%s pod %s: %s; %s\n", kind, quoteName(d.Pod), what, advice)
		}
	}
	if err != nil {
		return err
	}
	sessions, err := logs.ListSessions(ctx)
	if err != nil {
		return err
	}
	all := len(sessions)
	total.Sessions = &all
	if total.Damaged+total.Unreadable > 0 {
		c.say("unreferenced sessions are not listed: a Pod that could not be read may refer to any session")
		return nil
	}
	unreferenced := 0
	for u, err := range store.UnreferencedSessions(ctx, pods, logs) {
		if err != nil {
			return err
		}
		unreferenced++
		c.emit(unreferencedItem{c.head("unreferenced"), u.Session, u.Modified.UTC()})
		c.print("unreferenced session %v: changed %s, and no Pod is in it; nothing to do, unless it should have been deleted\n",
			u.Session, u.Modified.UTC().Format(time.RFC3339))
	}
	total.Unreferenced = &unreferenced
	return nil
}

// unreferencedItem is a session in JSON that no Pod is in.
type unreferencedItem struct {
	head
	Session  store.SessionID `json:"session_id"`
	Modified time.Time       `json:"modified"`
}
