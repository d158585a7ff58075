package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

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

It also names references between Pods that lead nowhere. They are no damage, may be
right, and do not change the exit code:
  one-sided pod NAME: ...       its peer does not have it as a peer, or does not exist
  missing-child pod NAME: ...   its child does not exist

With --sessions it also looks into the session logs, in the layout
DIR/{session}/{segment}.jsonl, and refuses a directory in another layout:
  dangling pod NAME: ...        its session or segment is not there; exit code 4
  pending pod NAME: ...         its session has no segment yet, which may be right
  unreferenced session ID: ...  no Pod is in it, which may be right`

func checkCmd(c *console) *cobra.Command {
	var sessions string
	cmd := command(c, "check [flags] DB", "Look for damage in a database", checkHelp,
		`  podstore-migrate check pods.db
  podstore-migrate check --sessions /var/lib/sessions pods.db
  podstore-migrate check unix:/run/supervisor.sock`,
		func(ctx context.Context, args []string) error { return runCheck(ctx, c, args[0], sessions) })
	cmd.Flags().StringVar(&sessions, "sessions", "", "also compare with the session logs in this `DIR`")
	return cmd
}

// findingItem is one finding in JSON.
type findingItem struct {
	head
	Pod    *string `json:"pod"`
	Reason string  `json:"reason"`
	Advice string  `json:"advice"`
}

// checkSummary is the summary of check in JSON. What was not looked at is absent.
type checkSummary struct {
	Pods            int  `json:"pods"`
	Damaged         int  `json:"damaged"`
	Findings        int  `json:"findings"`
	OneSided        *int `json:"one_sided,omitempty"`
	MissingChildren *int `json:"missing_children,omitempty"`
	Dangling        *int `json:"dangling,omitempty"`
	Sessions        *int `json:"sessions,omitempty"`
	Unreferenced    *int `json:"unreferenced,omitempty"`
}

func runCheck(ctx context.Context, c *console, db, sessions string) error {
	c.resume = "check changes nothing; run the same command again"
	var logs store.SessionLog
	if sessions != "" {
		s, err := jsonlstore.Open(sessions, &jsonlstore.Options{ReadOnly: true})
		if err != nil {
			return err
		}
		logs = s
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
	if err == nil {
		var more string
		more, err = c.checkReferences(ctx, path, logs, &total)
		verdict += more
	}
	c.summary = total
	if err == nil {
		c.say("check: %s, %s", plural(sum.Pods, "Pod"), verdict)
	}
	return errors.Join(err, closer.Close())
}

// checkReferences looks where the Pods' references lead, those to sessions where
// there are logs, and adds to the verdict. Damage has been told.
func (c *console) checkReferences(ctx context.Context, path string, logs store.SessionLog, total *checkSummary) (verdict string, err error) {
	s, err := boltstore.Open(path, &boltstore.Options{ReadOnly: true})
	if errors.Is(err, store.ErrCorrupt) && total.Findings > 0 {
		if logs != nil {
			c.say("the session logs were not looked at: the file is damaged")
		}
		return "", nil
	}
	if err != nil {
		return "", err
	}
	verdict, err = c.checkPods(ctx, s, total)
	if err == nil && logs != nil {
		var more string
		more, err = c.checkSessions(ctx, s, logs, total)
		verdict += more
	}
	return verdict, errors.Join(err, s.Close())
}

// referenceItem is a reference in JSON that leads nowhere: a peer or a child.
type referenceItem struct {
	head
	Pod     string  `json:"pod"`
	Peer    *string `json:"peer,omitempty"`
	Child   *string `json:"child,omitempty"`
	Missing *bool   `json:"missing,omitempty"`
}

// checkPods tells of links with one side and of children that do not exist.
func (c *console) checkPods(ctx context.Context, pods store.MetadataStore, total *checkSummary) (verdict string, err error) {
	var oneSided, missing int
	for r, podErr := range store.BrokenReferences(ctx, pods) {
		switch {
		case errors.Is(podErr, store.ErrCorrupt):
			c.note(exitDamage)
		case podErr != nil:
			return "", podErr
		case r.Child:
			missing++
			c.emit(referenceItem{head: c.head("missing-child"), Pod: r.Pod, Child: &r.To})
			c.print("missing-child pod %s: there is no Pod %s, which is its child; restore it or reclaim the child, unless it is only beginning\n",
				quoteName(r.Pod), quoteName(r.To))
		default:
			oneSided++
			c.emit(referenceItem{head: c.head("one-sided"), Pod: r.Pod, Peer: &r.To, Missing: &r.Missing})
			what := fmt.Sprintf("its peer %s does not have it as a peer", quoteName(r.To))
			if r.Missing {
				what = fmt.Sprintf("there is no Pod %s, which is its peer", quoteName(r.To))
			}
			c.print("one-sided pod %s: %s; link them or remove the peer, unless that is meant\n", quoteName(r.Pod), what)
		}
	}
	total.OneSided, total.MissingChildren = &oneSided, &missing
	if oneSided > 0 {
		verdict += fmt.Sprintf(", %d one-sided", oneSided)
	}
	if missing > 0 {
		verdict += fmt.Sprintf(", %d missing-child", missing)
	}
	return verdict, nil
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

// checkSessions looks for the session logs of all Pods, and for the Pods of all
// session logs.
func (c *console) checkSessions(ctx context.Context, pods store.MetadataStore, logs store.SessionLog, total *checkSummary) (verdict string, err error) {
	dangling := 0
	for d, podErr := range store.DanglingActive(ctx, pods, logs) {
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
	total.Dangling = &dangling
	verdict = fmt.Sprintf(", %d dangling", dangling)
	if err != nil {
		return verdict, err
	}
	sessions, err := logs.ListSessions(ctx)
	if err != nil {
		return verdict, err
	}
	all := len(sessions)
	total.Sessions = &all
	if total.Damaged > 0 {
		c.say("which sessions no Pod refers to is not known: a damaged Pod may refer to any")
		return verdict + fmt.Sprintf(", %s", plural(all, "session")), nil
	}
	unreferenced := 0
	for u, err := range store.UnreferencedSessions(ctx, pods, logs) {
		if err != nil {
			return verdict, err
		}
		unreferenced++
		c.emit(unreferencedItem{c.head("unreferenced"), u.Session, u.Modified.UTC()})
		c.print("unreferenced session %v: changed %s, and no Pod is in it; nothing to do, unless it should have been deleted\n",
			u.Session, u.Modified.UTC().Format(time.RFC3339))
	}
	total.Unreferenced = &unreferenced
	return verdict + fmt.Sprintf(", %d of %s unreferenced", unreferenced, plural(all, "session")), nil
}

// unreferencedItem is a session in JSON that no Pod is in.
type unreferencedItem struct {
	head
	Session  store.SessionID `json:"session_id"`
	Modified time.Time       `json:"modified"`
}
