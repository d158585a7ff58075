package cli

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"podstore/store"
	"podstore/store/podjson"
)

const listHelp = `List prints one line for each Pod, sorted by the bytes of its name. Fields are
separated by tabs:
  name, active session, active segment, number of children, of reclaimed
  children, of peers, bytes of the manifest
What is not set is "-". A damaged Pod has the word "damaged" after its name, and
its damage is told on standard error; the exit code is then 5. One that another
program keeps in a format unknown here has the word "unknown-format", and 12.

For the names alone: podstore-migrate list DB | cut -f1

--sort takes name, session, segment, children, reclaimed, peers or manifest; with
a minus sign before it the largest comes first.
--filter takes name=PATTERN (with * ? and [...]), session=ID, segment=ID,
child=NAME, reclaimed=NAME, peer=NAME, workspace=PATH (the field workspace_root) or
active=yes|no. Several must all hold.
Damaged Pods are always listed.`

func listCmd(c *console) *cobra.Command {
	var sorting string
	var filters []string
	cmd := command(c, "list [flags] DB", "List the Pods of a database", listHelp,
		`  podstore-migrate list pods.db
  podstore-migrate list pods.db | cut -f1
  podstore-migrate list --sort -manifest unix:/run/supervisor.sock
  podstore-migrate list --filter active=yes --filter 'name=web-*' pods.db`,
		func(ctx context.Context, args []string) error { return runList(ctx, c, args[0], sorting, filters) })
	f := cmd.Flags()
	f.StringVar(&sorting, "sort", "", "sort by this `KEY` instead of the name")
	f.StringArrayVar(&filters, "filter", nil, "list only Pods for which this `KEY=VALUE` holds; may be repeated")
	keys := []string{"name", "session", "segment", "children", "reclaimed", "peers", "manifest"}
	for _, key := range keys[:len(keys):len(keys)] {
		keys = append(keys, "-"+key)
	}
	completeFlag(cmd, "sort", keys...)
	completeFlag(cmd, "filter", "name=", "session=", "segment=", "child=", "reclaimed=", "peer=", "workspace=", "active=yes", "active=no")
	return cmd
}

// listSummary is the summary of list in JSON.
type listSummary struct {
	Pods    int `json:"pods"`
	Damaged int `json:"damaged"`
}

func runList(ctx context.Context, c *console, db, sorting string, filters []string) error {
	keep, err := parseFilters(filters)
	if err != nil {
		return c.misuse("%w", err)
	}
	order, err := parseSort(sorting)
	if err != nil {
		return c.misuse("%w", err)
	}
	c.resume = "list changes nothing; run the same command again"
	s, err := c.openRead(ctx, db, 0)
	if err != nil {
		return err
	}
	var sum listSummary
	var rows []podItem // only where they must be sorted
	for m, podErr := range store.All(ctx, s.MetadataStore, store.ReadOptions{}) {
		var e *store.Error
		switch {
		case podErr == nil && !keep(m):
		case podErr == nil && order == nil:
			sum.Pods++
			c.listed(c.podItem(m))
		case podErr == nil:
			sum.Pods++
			rows = append(rows, c.podItem(m))
		case errors.As(podErr, &e) && e.Pod != "":
			sum.Pods++
			sum.Damaged++
			c.print("%s\t%s\n", quoteName(e.Pod), unreadableWord(podErr))
			c.damagedPod(e.Pod, podErr)
		default:
			err = errors.Join(err, podErr)
		}
		if c.hungUp() {
			break
		}
	}
	slices.SortStableFunc(rows, order)
	for _, row := range rows {
		c.listed(row)
	}
	c.summary = sum
	return errors.Join(err, s.Close())
}

// podItem is a Pod in a list, and its shape in JSON.
type podItem struct {
	head
	Pod           string      `json:"pod"`
	Active        *activeItem `json:"active"`
	Children      int         `json:"children"`
	Reclaimed     int         `json:"reclaimed"`
	Peers         int         `json:"peers"`
	ManifestBytes *int        `json:"manifest_bytes"`
	Workspace     string      `json:"workspace_root,omitempty"`
}

type activeItem struct {
	SessionID store.SessionID  `json:"session_id"`
	SegmentID *store.SegmentID `json:"segment_id"`
}

func (c *console) podItem(m *store.Metadata) podItem {
	item := podItem{head: c.head("pod"), Pod: m.PodName, Children: len(m.Children), Reclaimed: len(m.Reclaimed), Peers: len(m.Peers)}
	item.Workspace, _ = podjson.Workspace(m)
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

// listed writes one Pod of a list.
func (c *console) listed(p podItem) {
	manifest := "-"
	if p.ManifestBytes != nil {
		manifest = strconv.Itoa(*p.ManifestBytes)
	}
	c.emit(p)
	c.print("%s\t%s\t%s\t%d\t%d\t%d\t%s\n", quoteName(p.Pod), orDash(p.session()), orDash(p.segment()), p.Children, p.Reclaimed, p.Peers, manifest)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
