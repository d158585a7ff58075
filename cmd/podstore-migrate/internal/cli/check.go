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

const checkHelp = `Check reads every page of a database and verifies every checksum and every record. It
changes nothing, and works on any file, however damaged. In a directory or a store on
servers it reads every Pod and everything beside them. Each finding is one line on
standard output that says what is wrong and what to do next:
  damaged file PATH: ...
  damaged pod NAME: ...
The exit code is then 5.

It also names broken references between Pods. They are no damage, may be intended, and do
not change the exit code:
  one-sided pod NAME: ...       its peer does not have it as a peer
  missing-peer pod NAME: ...    its peer does not exist
  missing-child pod NAME: ...   its child does not exist
prune --references drops the last two.

With --sessions it also looks at the session logs, in the layout
DIR/{session}/{segment}.jsonl, and refuses a directory in another layout:
  dangling pod NAME: ...        its session or segment does not exist; exit code 4
  pending pod NAME: ...         its session has no segment yet, which may be intended
  unreferenced session ID: ...  no Pod is in it, which may be intended`

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
	cmd.Flags().StringVar(&sessions, "sessions", "", "also compare with the session logs in this `DIR`")
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

// checkSummary is the summary of check in JSON. A count of what was not checked is absent.
type checkSummary struct {
	Pods            int  `json:"pods"`
	Damaged         int  `json:"damaged"`
	Unreadable      int  `json:"unreadable"`
	Findings        int  `json:"findings"`
	OneSided        *int `json:"one_sided,omitempty"`
	MissingPeers    *int `json:"missing_peers,omitempty"`
	MissingChildren *int `json:"missing_children,omitempty"`
	Dangling        *int `json:"dangling,omitempty"`
	Sessions        *int `json:"sessions,omitempty"`
	Unreferenced    *int `json:"unreferenced,omitempty"`
	besidesCounts
}

func runCheck(ctx context.Context, c *console, db, sessions string, maxFileSize int64) error {
	c.resume = "check changes nothing; run the same command again"
	var logs store.SessionLog
	if sessions != "" {
		s, err := jsonlstore.Open(sessions, &jsonlstore.Options{ReadOnly: true})
		if err != nil {
			return err
		}
		logs = s
	}
	location, err := c.parseLocation(db)
	if err != nil {
		return err
	}
	var total checkSummary
	if location.kind == kindFile || location.kind == kindSocket {
		err = c.checkFile(ctx, location, logs, &total)
		if location.kind == kindSocket && errors.Is(err, errors.ErrUnsupported) {
			err = c.checkStore(ctx, location, logs, &total, maxFileSize)
		}
	} else {
		err = c.checkStore(ctx, location, logs, &total, maxFileSize)
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
	verdict += total.references()
	c.summary = total
	if err == nil {
		c.say("check: %s, %s", plural(total.Pods, "Pod"), verdict)
	}
	return err
}

// checkFile checks a database file, or a copy of the one that a supervisor serves.
func (c *console) checkFile(ctx context.Context, s location, logs store.SessionLog, total *checkSummary) error {
	path, closer, err := c.readFile(ctx, s.arg)
	if err != nil {
		return err
	}
	sum, err := boltstore.Check(ctx, path, &boltstore.Options{Progress: c.progress}, func(f boltstore.Finding) { c.found(f) })
	total.Pods, total.Damaged, total.Findings = sum.Pods, sum.Damaged, sum.Findings
	if err == nil {
		var pods *boltstore.Store
		if pods, err = c.openChecked(path, logs, total); pods != nil {
			err = errors.Join(c.checkReferences(ctx, pods, logs, total), pods.Close())
		}
	}
	return errors.Join(err, closer.Close())
}

// openChecked opens a file that was checked. It returns nil if the file is too damaged.
func (c *console) openChecked(path string, logs store.SessionLog, total *checkSummary) (*boltstore.Store, error) {
	s, err := boltstore.Open(path, &boltstore.Options{ReadOnly: true})
	if errors.Is(err, store.ErrCorrupt) && total.Findings > 0 {
		if logs != nil {
			c.say("the session logs were not checked: the file is damaged")
		}
		return nil, nil
	}
	return s, err
}

// references is the part of the verdict about references.
func (t *checkSummary) references() (verdict string) {
	if t.OneSided != nil && *t.OneSided > 0 {
		verdict += fmt.Sprintf(", %d one-sided", *t.OneSided)
	}
	if t.MissingPeers != nil && *t.MissingPeers > 0 {
		verdict += fmt.Sprintf(", %d missing-peer", *t.MissingPeers)
	}
	if t.MissingChildren != nil && *t.MissingChildren > 0 {
		verdict += fmt.Sprintf(", %d missing-child", *t.MissingChildren)
	}
	if t.Dangling != nil {
		verdict += fmt.Sprintf(", %d dangling", *t.Dangling)
	}
	switch {
	case t.Unreferenced != nil:
		verdict += fmt.Sprintf(", %d of %s unreferenced", *t.Unreferenced, plural(*t.Sessions, "session"))
	case t.Sessions != nil:
		verdict += ", " + plural(*t.Sessions, "session")
	}
	return verdict
}

// checker is a store with a check of its own, which finds more than reading all Pods does.
type checker interface {
	Check(ctx context.Context, report func(error)) (pods int, err error)
}

// checkStore checks a store by reading it.
func (c *console) checkStore(ctx context.Context, place location, logs store.SessionLog, total *checkSummary, maxFileSize int64) error {
	open := c.readLocation
	if place.kind == kindServers { // not a snapshot: Check reads one moment by itself
		open = func(ctx context.Context, s location, _ int64) (opened, error) { return c.openScheme(ctx, s, true) }
	}
	s, err := open(ctx, place, maxFileSize)
	if err != nil {
		return err
	}
	c.db = place
	// report prints and counts a Pod that cannot be read. It returns errors that end the check.
	report := func(err error) error {
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
		case place.kind == kindDirectory:
			advice = "correct or remove that file"
		case e.Pod == "":
			advice = "restore a backup"
		}
		c.found(boltstore.Finding{Pod: e.Pod, Reason: c.fullReason(err), Advice: advice})
		return nil
	}
	if own, ok := s.MetadataStore.(checker); ok {
		var failed error
		total.Pods, err = own.Check(ctx, func(e error) { failed = errors.Join(failed, report(e)) })
		err = errors.Join(err, failed)
	} else {
		for m, podErr := range store.All(ctx, s.MetadataStore, store.ReadOptions{}) {
			if podErr != nil {
				err = errors.Join(err, report(podErr))
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
	if err == nil {
		err = c.checkReferences(ctx, s.MetadataStore, logs, total)
	}
	return errors.Join(err, s.Close())
}

// found prints one finding.
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
