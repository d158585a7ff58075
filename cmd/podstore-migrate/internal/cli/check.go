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
and changes nothing. It works on any file, however damaged. Of a directory, and of a
store on servers, it reads every Pod and all that is beside them. Each finding is one
line on standard output that says what is wrong and what to do next:
  damaged file PATH: ...
  damaged pod NAME: ...
The exit code is then 5.

With --sessions it also looks for the session log of every active Pod, in the
layout DIR/{session}/{segment}.jsonl:
  dangling pod NAME: ...   its session or segment is not there; exit code 4
  pending pod NAME: ...    its session has no segment yet, which may be right`

func checkCmd(c *console) *cobra.Command {
	var sessions string
	var maxFileSize int64
	cmd := command(c, "check [flags] DB", "Look for damage in a database", checkHelp,
		`  podstore-migrate check pods.db
  podstore-migrate check --sessions /var/lib/sessions pods.db
  podstore-migrate check unix:/run/supervisor.sock`,
		func(ctx context.Context, args []string) error {
			return runCheck(ctx, c, args[0], sessions, maxFileSize)
		})
	cmd.Flags().StringVar(&sessions, "sessions", "", "also look for the Pods' session logs in this `DIR`")
	maxFileSizeFlag(cmd.Flags(), &maxFileSize)
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
	Pods       int  `json:"pods"`
	Damaged    int  `json:"damaged"`
	Unreadable int  `json:"unreadable"`
	Findings   int  `json:"findings"`
	Dangling   *int `json:"dangling,omitempty"`
	besidesCounts
}

func runCheck(ctx context.Context, c *console, db, sessions string, maxFileSize int64) error {
	c.resume = "check changes nothing; run the same command again"
	var logs *jsonlstore.Store
	if sessions != "" {
		var err error
		if logs, err = jsonlstore.Open(sessions, &jsonlstore.Options{ReadOnly: true}); err != nil {
			return err
		}
	}
	side, err := c.parseSide(db)
	if err != nil {
		return err
	}
	var total checkSummary
	if side.kind == inFile || side.kind == behindSocket {
		err = c.checkFile(ctx, side, logs, &total)
		if side.kind == behindSocket && errors.Is(err, errors.ErrUnsupported) {
			err = c.checkStore(ctx, side, logs, &total, maxFileSize)
		}
	} else {
		err = c.checkStore(ctx, side, logs, &total, maxFileSize)
	}
	verdict := "no damage"
	switch {
	case total.Findings > 0:
		verdict = fmt.Sprintf("%s, %d damaged", plural(total.Findings, "finding"), total.Damaged)
	case total.Unreadable > 0:
		verdict = "no damage in what could be read"
	}
	if total.Unreadable > 0 {
		verdict += fmt.Sprintf(", %d unreadable", total.Unreadable)
	}
	if total.Dangling != nil {
		verdict += fmt.Sprintf(", %d dangling", *total.Dangling)
	}
	c.summary = total
	if err == nil {
		c.say("check: %s, %s", plural(total.Pods, "Pod"), verdict)
	}
	return err
}

// checkFile checks a database file, or a copy of the one that a supervisor serves.
func (c *console) checkFile(ctx context.Context, s side, logs *jsonlstore.Store, total *checkSummary) error {
	path, closer, err := c.readFile(ctx, s.arg)
	if err != nil {
		return err
	}
	sum, err := boltstore.Check(ctx, path, &boltstore.Options{Progress: c.progress}, func(f boltstore.Finding) { c.found(f) })
	total.Pods, total.Damaged, total.Findings = sum.Pods, sum.Damaged, sum.Findings
	if err == nil && logs != nil {
		var pods *boltstore.Store
		if pods, err = boltstore.Open(path, &boltstore.Options{ReadOnly: true}); err == nil {
			err = errors.Join(c.checkSessions(ctx, pods, logs, total), pods.Close())
		}
	}
	return errors.Join(err, closer.Close())
}

// checker is a store that can say more of itself than what reading it tells.
type checker interface {
	Check(ctx context.Context, report func(error)) (pods int, err error)
}

// checkStore checks a store by reading it.
func (c *console) checkStore(ctx context.Context, place side, logs *jsonlstore.Store, total *checkSummary, maxFileSize int64) error {
	open := c.readSide
	if place.kind == onServers { // as it is, not as it was at one moment: Check does that by itself
		open = func(ctx context.Context, s side, _ int64) (opened, error) { return c.openScheme(ctx, s, true) }
	}
	s, err := open(ctx, place, maxFileSize)
	if err != nil {
		return err
	}
	c.db = place
	tell := func(err error) error {
		var e *store.Error
		switch {
		case !errors.Is(err, store.ErrCorrupt) || !errors.As(err, &e) || transient(err):
			if name, _ := c.unread(err); name == "" {
				return err
			}
			total.Unreadable++
			return nil
		case e.Pod != "":
			total.Damaged++
		}
		total.Findings++
		advice := "write or import this Pod again, or delete it; the others are not affected"
		switch {
		case place.kind == inDirectory:
			advice = "correct or remove that file"
		case e.Pod == "":
			advice = "restore a backup"
		}
		c.found(boltstore.Finding{Pod: e.Pod, Reason: c.fullReason(err), Advice: advice})
		return nil
	}
	if own, ok := s.MetadataStore.(checker); ok {
		total.Pods, err = own.Check(ctx, func(e error) { err = errors.Join(err, tell(e)) })
	} else {
		for m, podErr := range store.All(ctx, s.MetadataStore, store.ReadOptions{}) {
			if podErr != nil {
				err = errors.Join(err, tell(podErr))
			}
			var e *store.Error
			if m != nil || errors.As(podErr, &e) && e.Pod != "" {
				total.Pods++
				c.progress(total.Pods, 0)
			}
		}
	}
	if err == nil {
		total.besidesCounts, err = c.besides(ctx, s)
	}
	if err == nil && logs != nil {
		err = c.checkSessions(ctx, s.MetadataStore, logs, total)
	}
	return errors.Join(err, s.Close())
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
func (c *console) checkSessions(ctx context.Context, s store.MetadataStore, logs store.SessionLog, total *checkSummary) (err error) {
	total.Dangling = new(int)
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
				*total.Dangling++
				c.note(exitDifferent)
			}
			c.emit(danglingItem{c.head(kind), d.Pod, activeItem{d.Active.SessionID, d.Active.SegmentID}, d.NoSession})
			c.print("%s pod %s: %s; %s\n", kind, quoteName(d.Pod), what, advice)
		}
	}
	return err
}
