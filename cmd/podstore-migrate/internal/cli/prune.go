package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"podstore/store"
	"podstore/store/jsonlstore"
)

const pruneHelp = `Prune clears away what is old. It shows what that is, and changes nothing unless --yes
is given. DB is a database file, or while a supervisor runs unix:SOCKET.

--older-than AGE removes Pods that have not changed for so long, in a session or not,
with all references to them, as remove does: what referred to them is changed by that,
and no longer old. It keeps a Pod that is a child of another or has children that
were not reclaimed, and one of which it is not known when it was changed. While any
Pod cannot be read, nobody knows whose child a Pod is, and none is removed.
--keep-history N keeps the newest N entries of each history of reclaimed children.
--references drops children and peers that do not exist.
--sessions DIR with --older-than deletes session logs in DIR that have not changed for
so long, and that no Pod is in.

Each is one line on standard output:
  old pod NAME: ...           and how many references of Pods that stay go with it
  history of pod NAME: ...
  missing-child pod NAME: ..., missing-peer pod NAME: ...
  unreferenced session ID: ...
What was changed by others meanwhile is kept, and is one line on standard error,
  conflict pod NAME: reason
and the exit code is 3. Each Pod is removed with its references in one transaction;
stopped at any moment, run the same command again.`

// pruneOptions are the flags of prune.
type pruneOptions struct {
	olderThan   ageFlag
	keepHistory int
	references  bool
	sessions    string
	yes         bool
}

func pruneCmd(c *console) *cobra.Command {
	var opts pruneOptions
	cmd := command(c, "prune [flags] DB", "Clear away old Pods, histories and references to nothing", pruneHelp,
		`  podstore-migrate prune --older-than 30d pods.db
  podstore-migrate prune --older-than 30d --yes unix:/run/supervisor.sock
  podstore-migrate prune --keep-history 1000 --references --yes pods.db`,
		func(ctx context.Context, args []string) error { return runPrune(ctx, c, args[0], opts) })
	f := cmd.Flags()
	f.Var(&opts.olderThan, "older-than", "remove Pods that have not changed for so long, such as 30d or 12h")
	f.IntVar(&opts.keepHistory, "keep-history", -1, "keep only the newest `N` entries of each history")
	f.BoolVar(&opts.references, "references", false, "drop children and peers that do not exist")
	f.StringVar(&opts.sessions, "sessions", "", "delete old session logs in `DIR` that no Pod is in")
	f.BoolVar(&opts.yes, "yes", false, "do it; without it prune only shows what it would do")
	f.Bool("dry-run", false, "show what it would do and change nothing, as without --yes")
	cmd.MarkFlagsMutuallyExclusive("yes", "dry-run")
	f.Lookup("keep-history").DefValue = "0" // says nothing of a default
	allowNetworkFlag(f, c)
	return cmd
}

// pruneSummary is the summary of prune in JSON.
type pruneSummary struct {
	Removed    int  `json:"removed"`
	Trimmed    int  `json:"trimmed"`
	References int  `json:"references"`
	Sessions   int  `json:"sessions"`
	Conflicts  int  `json:"conflicts"`
	Unknown    int  `json:"unknown_time"`
	DryRun     bool `json:"dry_run"`
}

// pruneItem is one thing that goes, in JSON.
type pruneItem struct {
	head
	Kind    string  `json:"kind"`
	Pod     string  `json:"pod,omitempty"`
	Session string  `json:"session_id,omitempty"`
	Other   *string `json:"other,omitempty"`
	Changed *string `json:"changed,omitempty"`
	Entries *int    `json:"entries,omitempty"`
	// References are those of Pods that stay to one that goes.
	References *int   `json:"references,omitempty"`
	Outcome    string `json:"outcome"`
	DryRun     bool   `json:"dry_run,omitempty"`
	Reason     string `json:"reason,omitempty"`
}

// pruning is one run of prune.
type pruning struct {
	*console
	opts pruneOptions
	s    store.MetadataStore
	sum  pruneSummary
	pods map[string]*store.Metadata // what was read, without manifests
	old  []*store.Metadata
	// references counts, for each name, the references that Pods which stay have to it.
	references map[string]int
}

func runPrune(ctx context.Context, c *console, db string, opts pruneOptions) (err error) {
	c.resume = "what was done so far is whole; run the same command again to do the rest"
	if !opts.yes {
		c.resume = "nothing was changed; run the same command again"
	}
	at, err := c.several(db)
	switch {
	case err != nil:
		return err
	case opts.olderThan == 0 && opts.keepHistory < 0 && !opts.references:
		if opts.sessions != "" {
			return c.misuse("--sessions deletes what is old: it needs --older-than AGE")
		}
		return c.misuse("say what is to go: --older-than AGE, --keep-history N or --references")
	case opts.sessions != "" && opts.olderThan == 0:
		return c.misuse("--sessions deletes what is old: it needs --older-than AGE")
	}
	open := c.openLive
	if opts.yes {
		open = func(ctx context.Context, s side) (opened, error) { return c.openChange(ctx, s, 0) }
	}
	var logs *jsonlstore.Store
	if opts.sessions != "" {
		if logs, err = jsonlstore.Open(opts.sessions, &jsonlstore.Options{ReadOnly: true}); err == nil && opts.yes {
			logs, err = jsonlstore.Open(opts.sessions, nil)
		}
		if err != nil {
			return err
		}
	}
	s, err := open(ctx, at)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	p := &pruning{console: c, opts: opts, s: s.MetadataStore, pods: map[string]*store.Metadata{}}
	p.sum.DryRun = !opts.yes
	unread, err := p.read(ctx)
	if err != nil {
		return err
	}
	steps := []func(context.Context) error{p.trim, p.dropReferences}
	if logs != nil {
		steps = append(steps, func(ctx context.Context) error { return p.deleteSessions(ctx, logs) })
	}
	if steps = append(steps, p.removeOld); unread > 0 && (opts.olderThan > 0 || opts.references) {
		c.say("%s cannot be read, so nobody knows whose child a Pod is: no Pod and no reference is removed", plural(unread, "Pod"))
		steps = steps[:1]
	}
	for _, step := range steps {
		if err = step(ctx); err != nil {
			break
		}
	}
	p.tell()
	return err
}

// read reads all Pods, and finds those that are old.
func (p *pruning) read(ctx context.Context) (unread int, err error) {
	children := map[string]bool{}
	for m, podErr := range store.All(ctx, p.s, store.ReadOptions{OmitManifest: true, OmitReclaimed: p.opts.keepHistory < 0}) {
		switch {
		case podErr == nil:
			p.pods[m.PodName] = m
			for _, child := range m.Children {
				children[child.PodName] = true
			}
		case podOf(podErr) != "":
			unread++
			p.unread(podErr)
		default:
			err = errors.Join(err, podErr)
		}
	}
	if err != nil || p.opts.olderThan == 0 {
		return unread, err
	}
	limit := time.Now().Add(-time.Duration(p.opts.olderThan))
	for _, name := range sortedKeys(p.pods) {
		switch m := p.pods[name]; {
		case m.Version.Changed.IsZero():
			p.sum.Unknown++
		case m.Version.Changed.Before(limit) && len(m.Children) == 0 && !children[name]:
			p.old = append(p.old, m)
		}
	}
	p.countReferences()
	return unread, ctx.Err()
}

// countReferences counts the references that the removal of an old Pod drops. An old
// Pod is nobody's child, so they are those of its peers.
func (p *pruning) countReferences() {
	p.references = map[string]int{}
	goes := make(map[string]bool, len(p.old))
	for _, m := range p.old {
		goes[m.PodName] = true
	}
	for name, m := range p.pods {
		for i, peer := range m.Peers {
			if !goes[name] && !slices.Contains(m.Peers[:i], peer) {
				p.references[peer.PodName]++
			}
		}
	}
}

// goes tells of one thing that goes, and counts it.
func (p *pruning) goes(count *int, item pruneItem, format string, args ...any) {
	*count++
	item.head, item.Outcome, item.DryRun = p.head("result"), "pruned", p.sum.DryRun
	p.emit(item)
	p.print(format+"\n", args...)
}

// stays tells of one thing that others changed meanwhile.
func (p *pruning) stays(item pruneItem, why string) {
	p.sum.Conflicts++
	p.note(exitPartial)
	item.head, item.Outcome, item.Reason = p.head("result"), "conflict", why
	p.emit(item)
	p.say("conflict pod %s: %s", quoteName(item.Pod), why)
}

// isOld reports whether a Pod goes as a whole.
func (p *pruning) isOld(name string) bool {
	return slices.ContainsFunc(p.old, func(m *store.Metadata) bool { return m.PodName == name })
}

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
		p.goes(&p.sum.Trimmed, pruneItem{Kind: "history", Pod: name, Entries: &over}, "history of pod %s: the oldest %d of %s", quoteName(name), over, plural(len(p.pods[name].Reclaimed), "entry"))
	}
	return nil
}

// dropReferences drops what leads nowhere. A Pod that comes to be meanwhile keeps its
// references.
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
					p.stays(item, fmt.Sprintf("its %s %s exists by now; the reference was kept", r.kind(), quoteName(r.pod)))
					continue
				} else if err != nil {
					return err
				}
			}
			p.goes(&p.sum.References, item, "missing-%s pod %s: its %[1]s %[3]s does not exist", r.kind(), quoteName(name), quoteName(r.pod))
		}
	}
	return nil
}

// drop drops a reference while there is nothing that it leads to.
func (p *pruning) drop(ctx context.Context, from string, r reference) error {
	op := store.Op(store.RemovePeer{PodName: r.pod})
	if r.child {
		op = store.RemoveChild{PodName: r.pod}
	}
	changes := []store.Change{{Pod: from, Op: op, If: store.SkipMissing}}
	if store.ValidateName(r.pod) == nil { // otherwise there never will be one
		changes = append(changes, store.Change{Pod: r.pod, If: store.Missing})
	}
	_, err := p.s.Apply(ctx, changes, nil)
	// What was dropped is no change to a Pod that is old.
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

// removeTogether is how many Pods are removed in one transaction.
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
				p.stays(pruneItem{Kind: "pod", Pod: batch[i].PodName}, "it was changed meanwhile, and kept")
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
			p.goes(&p.sum.Removed, pruneItem{Kind: "pod", Pod: m.PodName, Changed: knownTime(m.Version.Changed), References: &references}, "%s", what)
		}
	}
	return nil
}

// follow takes the new revision of a Pod that lost nothing but its references to Pods
// that this command has removed. One that others changed is errMoved.
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
		p.goes(&p.sum.Sessions, pruneItem{Kind: "session", Session: u.Session.String(), Changed: knownTime(u.Modified)},
			"unreferenced session %s: not changed for %s, since %s", u.Session, ago(u.Modified), timeText(u.Modified))
	}
	return nil
}

// tell writes the line that ends prune.
func (p *pruning) tell() {
	p.summary = p.sum
	line := fmt.Sprintf("prune: %s removed", plural(p.sum.Removed, "Pod"))
	if p.opts.keepHistory >= 0 {
		line += fmt.Sprintf(", %s trimmed", plural(p.sum.Trimmed, "history"))
	}
	if p.opts.references {
		line += fmt.Sprintf(", %s dropped", plural(p.sum.References, "reference"))
	}
	if p.opts.sessions != "" {
		line += fmt.Sprintf(", %s deleted", plural(p.sum.Sessions, "session"))
	}
	if p.sum.Conflicts > 0 {
		line += fmt.Sprintf(", %d in conflict", p.sum.Conflicts)
	}
	if p.sum.Unknown > 0 {
		line += fmt.Sprintf("; %s of unknown time kept", plural(p.sum.Unknown, "Pod"))
	}
	if p.sum.DryRun {
		line += " (dry run, nothing was changed; --yes does it)"
	}
	p.say("%s", line)
}
