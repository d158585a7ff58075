package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"podstore/store"
	"podstore/store/jsonlstore"
)

const pruneHelp = `Prune removes what is old. Without --yes it only shows what it would remove. DB is a
database file, or unix:SOCKET while a supervisor runs.

--older-than AGE removes Pods that have not changed for that long, active or not, with
all references to them, as remove does. The Pods that referred to them change by that,
and are no longer old. It keeps a Pod that is a child of another, or has children that
were not reclaimed, or whose time of change is not known. If any Pod cannot be read, it
removes none: that Pod might be the parent of any.
--keep-history N keeps the newest N entries of each history of reclaimed children.
--references drops children and peers that do not exist.
--sessions DIR with --older-than deletes session logs in DIR that have not changed for
that long, and that no Pod is in.

Each is one line on standard output:
  old pod NAME: ...           and how many references of Pods that stay go with it
  history of pod NAME: ...
  missing-child pod NAME: ..., missing-peer pod NAME: ...
  unreferenced session ID: ...
A Pod that others changed meanwhile is kept. It is one line on standard error,
  conflict pod NAME: reason
and the exit code is 3. Each Pod is removed with its references in one transaction. If
prune is interrupted, run the same command again.`

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
	var cmd *cobra.Command
	cmd = command(c, "prune [flags] DB", "Clear away old Pods, histories and references to nothing", pruneHelp,
		`  podstore-migrate prune --older-than 30d pods.db
  podstore-migrate prune --older-than 30d --yes unix:/run/supervisor.sock
  podstore-migrate prune --keep-history 1000 --references --yes pods.db`,
		func(ctx context.Context, args []string) error {
			if opts.keepHistory < 0 && cmd.Flags().Changed("keep-history") {
				return c.misuse("--keep-history must be 0 or more")
			}
			return runPrune(ctx, c, args[0], opts)
		})
	f := cmd.Flags()
	f.Var(&opts.olderThan, "older-than", "remove Pods that have not changed for this `AGE`, such as 30d or 12h")
	f.IntVar(&opts.keepHistory, "keep-history", -1, "keep only the newest `N` entries of each history")
	f.BoolVar(&opts.references, "references", false, "drop children and peers that do not exist")
	f.StringVar(&opts.sessions, "sessions", "", "delete old session logs in `DIR` that no Pod is in")
	f.BoolVar(&opts.yes, "yes", false, "remove; without it prune only shows what it would remove")
	f.Bool("dry-run", false, "only show what prune would remove, the default")
	cmd.MarkFlagsMutuallyExclusive("yes", "dry-run")
	f.Lookup("keep-history").DefValue = "0" // so that the help shows no default
	allowNetworkFlag(f, c)
	return cmd
}

// pruning is one run of prune.
type pruning struct {
	*console
	opts pruneOptions
	s    store.MetadataStore
	sum  pruneSummary
	pods map[string]*store.Metadata // all Pods, without manifests
	old  []*store.Metadata
	// references counts, for each name, the references that Pods which stay have to it.
	references map[string]int
}

func runPrune(ctx context.Context, c *console, db string, opts pruneOptions) (err error) {
	c.resume = "run the same command again to do the rest"
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
		return c.misuse("say what to remove: --older-than AGE, --keep-history N or --references")
	case opts.sessions != "" && opts.olderThan == 0:
		return c.misuse("--sessions deletes what is old: it needs --older-than AGE")
	}
	open := c.openLive
	if opts.yes {
		open = func(ctx context.Context, s location) (opened, error) { return c.openChange(ctx, s, 0) }
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
		c.say("%s cannot be read and might refer to any Pod: no Pod and no reference is removed", plural(unread, "Pod"))
		steps = steps[:1]
	}
	for _, step := range steps {
		if err = step(ctx); err != nil {
			break
		}
	}
	p.sumUp()
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
