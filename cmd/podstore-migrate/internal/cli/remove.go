package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"podstore/store"
)

const removeHelp = `Remove deletes Pods together with all references to them, from parents and peers, in
one transaction. DB is a database file, or unix:SOCKET while a supervisor runs. The
supervisor still has whatever it keeps in memory, such as the process of the Pod.

First it prints what each Pod loses: its session, manifest and history, and every
reference to it. Children of a removed Pod stay, without this parent. With --dry-run it
does nothing else. On a terminal it then asks, unless --yes or --json is given, and
removes a Pod only if it is still as it was shown. After any other answer than y nothing
is removed, and the exit code is 3. Without a terminal it does not ask.

A Pod that does not exist is no failure: remove says so, and drops the references to it.
Session logs stay; check --sessions names those that no Pod is in.`

func removeCmd(c *console) *cobra.Command {
	var opts removeOptions
	cmd := command(c, "remove [flags] DB POD...", "Delete Pods with all references to them", removeHelp,
		`  podstore-migrate remove --dry-run pods.db scout
  podstore-migrate remove unix:/run/supervisor.sock scout tester
  podstore-migrate remove --yes pods.db -- -dash`,
		func(ctx context.Context, args []string) error { return runRemove(ctx, c, args[0], args[1:], opts) })
	f := cmd.Flags()
	f.BoolVar(&opts.dryRun, "dry-run", false, "print what would go and change nothing")
	f.BoolVar(&opts.yes, "yes", false, "do not ask")
	allowNetworkFlag(f, c)
	return cmd
}

// removeOptions are the flags of remove.
type removeOptions struct{ dryRun, yes bool }

// removeSummary is the summary of remove in JSON.
type removeSummary struct {
	Removed    int  `json:"removed"`
	Missing    int  `json:"missing"`
	References int  `json:"references"`
	DryRun     bool `json:"dry_run"`
}

// loss is what is removed with one Pod.
type loss struct {
	pod    string
	m      *store.Metadata // nil if there is no such Pod, or it is damaged
	damage error
	from   []reference // references to it, which are dropped
}

// reference is a reference of one Pod to another.
type reference struct {
	pod   string
	child bool // to a child; otherwise to a peer
}

func (r reference) kind() string {
	if r.child {
		return "child"
	}
	return "peer"
}

func runRemove(ctx context.Context, c *console, db string, pods []string, opts removeOptions) error {
	c.resume = "nothing was removed; run the same command again"
	s, err := c.several(db)
	if err != nil {
		return err
	}
	losses, err := c.losses(ctx, s, pods)
	if err != nil {
		return err
	}
	sum := removeSummary{DryRun: opts.dryRun}
	changed := map[string]bool{}
	for _, l := range losses {
		c.printLoss(l)
		if l.exists() {
			sum.Removed++
		} else {
			sum.Missing++
		}
		sum.References += len(l.from)
		for _, r := range l.from {
			changed[r.pod] = true
		}
	}
	what := plural(sum.Removed, "Pod")
	if sum.References > 0 {
		what += fmt.Sprintf(", %s in %s", plural(sum.References, "reference"), plural(len(changed), "other Pod"))
	}
	if sum.Missing > 0 {
		what += fmt.Sprintf(", %d not there", sum.Missing)
	}
	c.summary = sum
	switch {
	case opts.dryRun:
		c.say("remove: %s (dry run, nothing was changed)", what)
		return nil
	case sum.Removed+sum.References == 0:
		c.say("remove: %s; nothing to remove", what)
		return nil
	}
	asked := !opts.yes && c.asks()
	if asked {
		answer, err := c.ask(ctx, "remove "+what+"?", "yn")
		if err == nil && answer != 'y' {
			c.note(exitPartial)
		}
		if err != nil || answer != 'y' {
			c.summary = removeSummary{Missing: sum.Missing}
			c.say("remove: 0 Pods; nothing was removed")
			return err
		}
	}
	if err := c.remove(ctx, s, losses, asked); err != nil {
		c.summary = nil
		return err
	}
	c.resume = "the Pods were removed"
	c.say("remove: %s", what)
	return nil
}

// losses finds out what is removed with each of the Pods, each name once, in the order
// given.
func (c *console) losses(ctx context.Context, at location, pods []string) (losses []*loss, err error) {
	s, err := c.openLive(ctx, at)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	by := map[string]*loss{}
	for _, pod := range pods {
		if by[pod] != nil {
			continue
		}
		l := &loss{pod: pod}
		l.m, l.damage = c.readNamed(ctx, s, pod)
		switch {
		case errors.Is(l.damage, store.ErrNotFound):
			l.damage = nil
		case l.damage != nil && (!errors.Is(l.damage, store.ErrCorrupt) || transient(l.damage)):
			return nil, l.damage
		}
		if l.m == nil && l.damage == nil && c.similar != "" { // the name is list's output
			return nil, &store.Error{Op: "remove", Pod: pod, Kind: store.ErrNotFound}
		}
		by[pod] = l
		losses = append(losses, l)
	}
	for m, podErr := range store.All(ctx, s.MetadataStore, store.ReadOptions{OmitManifest: true, OmitReclaimed: true}) {
		if podErr != nil {
			if l := by[podOf(podErr)]; l == nil && podOf(podErr) != "" {
				c.unread(podErr) // its references are not known, and stay
			} else if l == nil {
				err = errors.Join(err, podErr)
			}
			continue
		}
		if by[m.PodName] != nil {
			continue // it is removed itself
		}
		for i, child := range m.Children {
			if l := by[child.PodName]; l != nil && !slices.ContainsFunc(m.Children[:i], func(c store.SpawnedChild) bool { return c.PodName == child.PodName }) {
				l.from = append(l.from, reference{m.PodName, true})
			}
		}
		for i, peer := range m.Peers {
			if l := by[peer.PodName]; l != nil && !slices.Contains(m.Peers[:i], peer) {
				l.from = append(l.from, reference{m.PodName, false})
			}
		}
	}
	return losses, err
}

func (l *loss) exists() bool { return l.m != nil || l.damage != nil }

// lossItem is a loss in JSON.
type lossItem struct {
	head
	Pod        string          `json:"pod"`
	Exists     bool            `json:"exists"`
	Damaged    bool            `json:"damaged,omitempty"`
	Active     *activeItem     `json:"active"`
	Changed    *string         `json:"changed"`
	Children   []string        `json:"children"`
	Peers      []string        `json:"peers"`
	Reclaimed  int             `json:"reclaimed"`
	Manifest   *int            `json:"manifest_bytes"`
	Fields     []string        `json:"fields"`
	References []referenceFrom `json:"references"`
}

// referenceFrom is a reference that is dropped, in JSON.
type referenceFrom struct {
	Pod  string `json:"pod"`
	Kind string `json:"kind"`
}

// printLoss prints what is removed with a Pod.
func (c *console) printLoss(l *loss) {
	item := lossItem{head: c.head("loss"), Pod: l.pod, Exists: l.exists(), Damaged: l.damage != nil, Children: []string{}, Peers: []string{}, Fields: []string{}, References: []referenceFrom{}}
	switch {
	case l.damage != nil:
		c.print("pod %s is damaged, and goes with whatever it has\n", quoteName(l.pod))
	case l.m == nil:
		c.print("pod %s: there is none\n", quoteName(l.pod))
	default:
		pod := c.podItem(l.m)
		item.Active, item.Changed, item.Reclaimed, item.Manifest = pod.Active, pod.Changed, pod.Reclaimed, pod.ManifestBytes
		c.print("pod %s, changed %s\n", quoteName(l.pod), orDash(timeText(l.m.Version.Changed)))
		if pod.Active != nil {
			c.print("  active in session %s\n", pod.session())
		}
		if pod.ManifestBytes != nil {
			c.print("  its manifest of %s\n", humanBytes(int64(*pod.ManifestBytes)))
		}
		if pod.Reclaimed > 0 {
			c.print("  its history, %s of reclaimed children\n", plural(pod.Reclaimed, "entry"))
		}
		for _, child := range l.m.Children {
			if !slices.Contains(item.Children, child.PodName) {
				item.Children = append(item.Children, child.PodName)
				c.print("  its child %s stays, without this parent\n", quoteName(child.PodName))
			}
		}
		for _, peer := range l.m.Peers {
			item.Peers = append(item.Peers, peer.PodName)
		}
		if item.Fields = append(item.Fields, sortedKeys(l.m.Extra)...); len(item.Fields) > 0 {
			c.print("  its fields %s\n", shownFields(item.Fields))
		}
	}
	for _, r := range l.from {
		item.References = append(item.References, referenceFrom{r.pod, r.kind()})
		c.print("  pod %s no longer has it as a %s\n", quoteName(r.pod), r.kind())
	}
	c.emit(item)
}

// remove removes Pods in one transaction. With asShown it fails if one of them is no longer
// as it was shown.
func (c *console) remove(ctx context.Context, at location, losses []*loss, asShown bool) (err error) {
	s, err := c.openChange(ctx, at, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	changes := make([]store.Change, len(losses))
	for i, l := range losses {
		changes[i] = store.Change{Pod: l.pod, Op: store.Remove{}}
		if asShown && l.m != nil {
			changes[i].If = store.AtRevision(l.m.Version.Revision)
		}
	}
	_, err = s.Apply(ctx, changes, nil)
	var e *store.Error
	if errors.Is(err, store.ErrConflict) && errors.As(err, &e) {
		err = &store.Error{Op: "remove", Pod: e.Pod, Kind: store.ErrConflict, Err: errors.New("nothing was removed; run the same command again to see what goes now")}
	}
	if errors.Is(err, store.ErrTooLarge) && len(losses) > 1 {
		err = fmt.Errorf("%w; name fewer Pods at a time", err)
	}
	return err
}
