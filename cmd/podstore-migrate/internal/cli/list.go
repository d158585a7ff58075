package cli

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"podstore/store"
	"podstore/store/podjson"
)

const listHelp = `List prints one line for each Pod, sorted by the bytes of its name:
  name, active session, active segment, number of children, of reclaimed
  children, of peers, bytes of the manifest, when it was changed
On a terminal the columns are aligned under a header and cut to its width, and the last
says how long ago the change was. Otherwise they are whole, separated by tabs, without a
header, and the last is a time such as 2026-11-27T10:00:00Z. "-" means not set. A damaged
Pod has the word "damaged" after its name, and a line on standard error; the exit code is
then 5. A Pod that this user may not read has "unreadable"; the exit code is 1. A Pod in a
format of another program has "unknown-format"; the exit code is 12.

For the names alone: podstore-migrate list DB | cut -f1

--sort takes name, session, segment, children, reclaimed, peers, manifest or changed.
With a minus sign before it the largest, or the newest, comes first.
--filter takes name=PATTERN (with * ? and [...]), session=ID, segment=ID,
parent=NAME, child=NAME, reclaimed=NAME, peer=NAME, workspace=PATH (the field
workspace_root), active=yes|no, older-than=AGE or newer-than=AGE, with an AGE such as 30d,
12h or 1h30m. A Pod must match all filters. Pods that cannot be read are always listed.`

func listCmd(c *console) *cobra.Command {
	var sorting string
	var filters []string
	var maxFileSize int64
	cmd := command(c, "list [flags] DB", "List the Pods of a database", listHelp,
		`  podstore-migrate list pods.db
  podstore-migrate list pods.db | cut -f1
  podstore-migrate list --sort -manifest unix:/run/supervisor.sock
  podstore-migrate list --filter active=yes --filter 'name=web-*' pods.db
  podstore-migrate list --sort -changed --filter newer-than=1h pods.db`,
		func(ctx context.Context, args []string) error {
			return runList(ctx, c, args[0], sorting, filters, maxFileSize)
		})
	f := cmd.Flags()
	f.StringVar(&sorting, "sort", "", "sort by this `KEY` instead of the name")
	f.StringArrayVar(&filters, "filter", nil, "list only Pods for which this `KEY=VALUE` holds; may be repeated")
	maxFileSizeFlag(f, &maxFileSize)
	keys := []string{"name", "session", "segment", "children", "reclaimed", "peers", "manifest", "changed"}
	for _, key := range keys[:len(keys):len(keys)] {
		keys = append(keys, "-"+key)
	}
	completeFlag(cmd, "sort", keys...)
	completeFlag(cmd, "filter", "name=", "session=", "segment=", "parent=", "child=", "reclaimed=", "peer=", "workspace=", "active=yes", "active=no", "older-than=", "newer-than=")
	return cmd
}

// listSummary is the summary of list in JSON.
type listSummary struct {
	Pods       int `json:"pods"`
	Damaged    int `json:"damaged"`
	Unreadable int `json:"unreadable"`
	besidesCounts
}

func runList(ctx context.Context, c *console, db, sorting string, filters []string, maxFileSize int64) error {
	keep, parents, err := parseFilters(filters)
	if err != nil {
		return c.misuse("%w", err)
	}
	order, err := parseSort(sorting)
	if err != nil {
		return c.misuse("%w", err)
	}
	c.resume = "list changes nothing; run the same command again"
	s, err := c.openRead(ctx, db, maxFileSize)
	if err != nil {
		return err
	}
	l := lister{c: c}
	var rows []podItem // only if they must be sorted
	if err = parents.read(ctx, s); err == nil {
		for m, podErr := range store.All(ctx, s.MetadataStore, store.ReadOptions{}) {
			name, state := c.unread(podErr)
			switch {
			case podErr == nil && !keep(m):
			case podErr == nil && order == nil:
				l.add(c.podItem(m))
			case podErr == nil:
				rows = append(rows, c.podItem(m))
			case name != "":
				l.unread(name, state)
			default:
				err = errors.Join(err, podErr)
			}
			if c.hungUp() {
				break
			}
		}
	}
	slices.SortStableFunc(rows, order)
	for _, row := range rows {
		l.add(row)
	}
	if err == nil {
		l.sum.besidesCounts, err = c.besides(ctx, s)
	}
	err = errors.Join(err, s.Close())
	c.summary = l.sum
	l.print()
	return err
}

// lister prints the Pods of a list: each at once, or on a terminal, where the widths of the
// columns depend on all of them, at the end.
type lister struct {
	c    *console
	rows [][]string
	sum  listSummary
}

func (l *lister) add(p podItem) {
	l.sum.Pods++
	l.c.emit(p)
	manifest := "-"
	if p.ManifestBytes != nil {
		manifest = strconv.Itoa(*p.ManifestBytes)
	}
	l.row(quoteName(p.Pod), orDash(p.session()), orDash(p.segment()), strconv.Itoa(p.Children), strconv.Itoa(p.Reclaimed), strconv.Itoa(p.Peers), manifest, l.when(p.changed))
}

// when writes when a Pod was changed: on a terminal how long ago, otherwise the time.
func (l *lister) when(t time.Time) string {
	if l.c.terminal {
		return orDash(ago(t))
	}
	return orDash(timeText(t))
}

// unread adds a Pod that could not be read. The error was printed before.
func (l *lister) unread(pod, state string) {
	l.sum.Pods++
	if state != unreadableState {
		l.sum.Damaged++
	} else {
		l.sum.Unreadable++
	}
	l.row(quoteName(pod), state)
}

func (l *lister) row(cells ...string) {
	if l.c.terminal && !l.c.json {
		l.rows = append(l.rows, cells)
		return
	}
	l.c.print("%s\n", strings.Join(cells, "\t"))
}

// The widths of columns on narrower terminals, step by step: first ids and the longest
// names are cut, then segments are left out, then manifests and histories, then sessions.
// The name and the time of change stay to the end.
var (
	early = []int{13, 0}
	later = []int{100, 100, 0}
	late  = []int{13, 100, 100, 0}
	never = []int{100, 100, 100, 100, 0}
)

var listColumns = []column{
	{name: "name", narrow: []int{24, 24, 24, 12}},
	{name: "session", narrow: late, end: true},
	{name: "segment", narrow: early, end: true},
	{name: "children", right: true, narrow: never},
	{name: "reclaimed", right: true, narrow: later},
	{name: "peers", right: true, narrow: never},
	{name: "manifest", right: true, narrow: later},
	{name: "changed", right: true, narrow: never},
}

func (l *lister) print() {
	if len(l.rows) > 0 {
		l.c.table(listColumns, l.rows, l.c.width())
	}
}

// podItem is a Pod in a list, and its JSON.
type podItem struct {
	head
	Pod           string      `json:"pod"`
	Active        *activeItem `json:"active"`
	Children      int         `json:"children"`
	Reclaimed     int         `json:"reclaimed"`
	Peers         int         `json:"peers"`
	ManifestBytes *int        `json:"manifest_bytes"`
	Workspace     string      `json:"workspace_root,omitempty"`
	Revision      string      `json:"revision"`
	Created       *string     `json:"created"`
	Changed       *string     `json:"changed"`

	changed time.Time
}

type activeItem struct {
	SessionID store.SessionID  `json:"session_id"`
	SegmentID *store.SegmentID `json:"segment_id"`
}

func (c *console) podItem(m *store.Metadata) podItem {
	item := podItem{head: c.head("pod"), Pod: m.PodName, Children: len(m.Children), Reclaimed: len(m.Reclaimed), Peers: len(m.Peers)}
	item.Workspace, _ = podjson.Workspace(m)
	item.changed = m.Version.Changed
	item.Revision, item.Created, item.Changed = m.Version.Revision.String(), knownTime(m.Version.Created), knownTime(m.Version.Changed)
	if m.Active != nil {
		item.Active = &activeItem{m.Active.SessionID, m.Active.SegmentID}
	}
	if m.Manifest != nil {
		n := len(m.Manifest)
		item.ManifestBytes = &n
	}
	return item
}

func (p *podItem) session() string {
	if p.Active == nil {
		return ""
	}
	return p.Active.SessionID.String()
}

func (p *podItem) segment() string {
	if p.Active == nil || p.Active.SegmentID == nil {
		return ""
	}
	return p.Active.SegmentID.String()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
