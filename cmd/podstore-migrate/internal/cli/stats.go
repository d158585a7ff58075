package cli

import (
	"context"
	"errors"
	"strconv"

	"github.com/spf13/cobra"

	"podstore/store"
	"podstore/store/boltstore"
)

const statsHelp = `Stats counts what a database, a directory or a store on servers holds, and for a
database also how full its file is. Each figure is one line: its name, a tab, the number.
On a terminal the figures are aligned under a header. Sizes are in bytes.

reclaimable_bytes is about what compact would save.`

func statsCmd(c *console) *cobra.Command {
	var maxFileSize int64
	cmd := command(c, "stats [flags] DB", "Count what a database holds", statsHelp,
		`  podstore-migrate stats pods.db
  podstore-migrate stats unix:/run/supervisor.sock
  podstore-migrate stats dir:/var/lib/pods`,
		func(ctx context.Context, args []string) error { return runStats(ctx, c, args[0], maxFileSize) })
	maxFileSizeFlag(cmd.Flags(), &maxFileSize)
	return cmd
}

// statsItem has the figures of stats, and is their JSON.
type statsItem struct {
	head
	Pods                 int   `json:"pods"`
	DamagedPods          int   `json:"damaged_pods"`
	UnreadablePods       int   `json:"unreadable_pods"`
	ActivePods           int   `json:"active_pods"`
	Children             int   `json:"children"`
	Reclaimed            int   `json:"reclaimed"`
	Peers                int   `json:"peers"`
	ManifestBytes        int64 `json:"manifest_bytes"`
	LargestManifestBytes int64 `json:"largest_manifest_bytes"`
	*spaceFigures
}

// spaceFigures are those of a database file.
type spaceFigures struct {
	FileBytes        int64 `json:"file_bytes"`
	PageBytes        int64 `json:"page_bytes"`
	UsedPages        int64 `json:"used_pages"`
	FreePages        int64 `json:"free_pages"`
	UsedBytes        int64 `json:"used_bytes"`
	ReclaimableBytes int64 `json:"reclaimable_bytes"`
}

func runStats(ctx context.Context, c *console, db string, maxFileSize int64) error {
	c.resume = "stats changes nothing; run the same command again"
	s, err := c.openRead(ctx, db, maxFileSize)
	if err != nil {
		return err
	}
	item := statsItem{head: c.head("stats")}
	if file, ok := s.MetadataStore.(*boltstore.Store); ok {
		err = item.measure(ctx, file.Path(), db)
	}
	counted := false
	if err == nil || errors.Is(err, store.ErrCorrupt) && item.spaceFigures != nil {
		more := item.count(ctx, s.MetadataStore, c)
		counted = more == nil || errors.Is(more, store.ErrCorrupt)
		if err == nil {
			err = more
		}
	}
	if counted && err == nil {
		_, err = c.besides(ctx, s)
	}
	err = errors.Join(err, s.Close())
	if counted && ctx.Err() == nil {
		c.emit(item)
		c.figures(item)
	}
	return err
}

// measure takes the figures of the file from a check. Damage is an error, returned after
// the figures are set.
func (i *statsItem) measure(ctx context.Context, path, db string) error {
	findings := 0
	sum, err := boltstore.Check(ctx, path, nil, func(boltstore.Finding) { findings++ })
	if err != nil {
		return err
	}
	space := sum.Space
	i.spaceFigures = &spaceFigures{space.FileSize, space.PageSize, space.UsedPages, space.FreePages, space.UsedBytes, space.Reclaimable()}
	if findings > 0 {
		return &store.Error{Op: "stats", Path: db, Kind: store.ErrCorrupt, Err: errors.New("some of it could not be counted")}
	}
	return nil
}

// count adds up the figures of all Pods. For a file, measure reports the damage.
func (i *statsItem) count(ctx context.Context, s store.MetadataStore, c *console) (failed error) {
	for m, err := range store.All(ctx, s, store.ReadOptions{}) {
		var e *store.Error
		switch {
		case err == nil:
			i.add(m)
		case !errors.As(err, &e) || e.Pod == "":
			failed = errors.Join(failed, err)
		case errors.Is(err, store.ErrCorrupt) && i.spaceFigures != nil:
			i.Pods++
			i.DamagedPods++
		default:
			i.Pods++
			if _, state := c.unread(err); state == damagedState {
				i.DamagedPods++
			} else {
				i.UnreadablePods++
			}
		}
	}
	return failed
}

func (i *statsItem) add(m *store.Metadata) {
	i.Pods++
	if m.Active != nil {
		i.ActivePods++
	}
	i.Children += len(m.Children)
	i.Reclaimed += len(m.Reclaimed)
	i.Peers += len(m.Peers)
	size := int64(len(m.Manifest))
	i.ManifestBytes += size
	i.LargestManifestBytes = max(i.LargestManifestBytes, size)
}

// figures prints what was counted.
func (c *console) figures(i statsItem) {
	type figure struct {
		name  string
		value int64
	}
	figures := []figure{
		{"pods", int64(i.Pods)}, {"damaged_pods", int64(i.DamagedPods)}, {"unreadable_pods", int64(i.UnreadablePods)}, {"active_pods", int64(i.ActivePods)},
		{"children", int64(i.Children)}, {"reclaimed", int64(i.Reclaimed)}, {"peers", int64(i.Peers)},
		{"manifest_bytes", i.ManifestBytes}, {"largest_manifest_bytes", i.LargestManifestBytes},
	}
	if s := i.spaceFigures; s != nil {
		figures = append(figures,
			figure{"file_bytes", s.FileBytes}, figure{"page_bytes", s.PageBytes}, figure{"used_pages", s.UsedPages},
			figure{"free_pages", s.FreePages}, figure{"used_bytes", s.UsedBytes}, figure{"reclaimable_bytes", s.ReclaimableBytes})
	}
	var rows [][]string
	for _, f := range figures {
		rows = append(rows, []string{f.name, strconv.FormatInt(f.value, 10)})
		if !c.terminal {
			c.print("%s\t%d\n", f.name, f.value)
		}
	}
	if c.terminal {
		c.table([]column{{name: "figure"}, {name: "value", right: true}}, rows, c.width())
	}
}
