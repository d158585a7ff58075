package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/jsonlstore"
)

const checkHelp = `Check reads every page of a database, verifies every checksum and every record,
and changes nothing. It works on any file, however damaged. Each finding is one
line on standard output that says what is wrong and what to do next:
  damaged pod NAME: ...
  damaged file PATH: ...
The exit code is then 5.

With --sessions it also looks for the session log of every active Pod, in the
layout DIR/{session}/{segment}.jsonl:
  dangling pod NAME: ...   its session or segment is not there; exit code 4
  pending pod NAME: ...    its session has no segment yet, which may be right`

func checkCmd(c *console) *cobra.Command {
	var sessions string
	cmd := command(c, "check [flags] DB", "Look for damage in a database", checkHelp,
		`  podstore-migrate check pods.db
  podstore-migrate check --sessions /var/lib/sessions pods.db
  podstore-migrate check unix:/run/supervisor.sock`,
		func(ctx context.Context, args []string) error { return runCheck(ctx, c, args[0], sessions) })
	cmd.Flags().StringVar(&sessions, "sessions", "", "also look for the Pods' session logs in this `DIR`")
	return cmd
}

// findingItem is one finding in JSON.
type findingItem struct {
	head
	Pod    *string `json:"pod"`
	Reason string  `json:"reason"`
	Advice string  `json:"advice"`
}

// checkSummary is the summary of check in JSON.
type checkSummary struct {
	Pods     int  `json:"pods"`
	Damaged  int  `json:"damaged"`
	Findings int  `json:"findings"`
	Dangling *int `json:"dangling,omitempty"`
}

func runCheck(ctx context.Context, c *console, db, sessions string) error {
	c.resume = "check changes nothing; run the same command again"
	var logs *jsonlstore.Store
	if sessions != "" {
		var err error
		if logs, err = jsonlstore.Open(sessions, &jsonlstore.Options{ReadOnly: true}); err != nil {
			return err
		}
	}
	path, closer, err := c.readFile(ctx, db)
	if err != nil {
		return err
	}
	sum, err := boltstore.Check(ctx, path, &boltstore.Options{Progress: c.progress}, func(f boltstore.Finding) { c.found(f) })
	total := checkSummary{Pods: sum.Pods, Damaged: sum.Damaged, Findings: sum.Findings}
	verdict := "no damage"
	if sum.Findings > 0 {
		verdict = fmt.Sprintf("%s, %d damaged", plural(sum.Findings, "finding"), sum.Damaged)
	}
	if err == nil && logs != nil {
		total.Dangling = new(int)
		*total.Dangling, err = c.checkSessions(ctx, path, logs)
		verdict += fmt.Sprintf(", %d dangling", *total.Dangling)
	}
	c.summary = total
	if err == nil {
		c.say("check: %s, %s", plural(sum.Pods, "Pod"), verdict)
	}
	return errors.Join(err, closer.Close())
}

// found tells one finding.
func (c *console) found(f boltstore.Finding) {
	c.note(exitDamage)
	item := findingItem{c.head("finding"), nil, oneLine(f.Reason), oneLine(f.Advice)}
	what := "file " + c.db.name()
	if f.Pod != "" {
		what = "pod " + quoteName(f.Pod)
		item.Pod = &f.Pod
	}
	c.emit(item)
	c.print("damaged %s: %s; %s\n", what, item.Reason, item.Advice)
}

// danglingItem is a Pod in JSON whose session log is not there.
type danglingItem struct {
	head
	Pod string `json:"pod"`
	activeItem
	NoSession bool `json:"no_session"`
}

// checkSessions looks for the session logs of all Pods and counts those that are
// not there. What is damaged has been told.
func (c *console) checkSessions(ctx context.Context, path string, logs store.SessionLog) (dangling int, err error) {
	s, err := boltstore.Open(path, &boltstore.Options{ReadOnly: true})
	if err != nil {
		return 0, err
	}
	for d, podErr := range store.DanglingActive(ctx, s, logs) {
		switch {
		case errors.Is(podErr, store.ErrCorrupt):
			c.note(exitDamage)
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
				dangling++
				c.note(exitDifferent)
			}
			c.emit(danglingItem{c.head(kind), d.Pod, activeItem{d.Active.SessionID, d.Active.SegmentID}, d.NoSession})
			c.print("%s pod %s: %s; %s\n", kind, quoteName(d.Pod), what, advice)
		}
	}
	return dangling, errors.Join(err, s.Close())
}
