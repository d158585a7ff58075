package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"podstore/store"
	"podstore/store/boltstore"
)

const statsHelp = `Stats counts what a database holds and how its file is filled. Each figure is one
line: its name, a tab, the number. Sizes are in bytes.

reclaimable_bytes is about what compact would save.`

func statsCmd(c *console) *cobra.Command {
	return command(c, "stats [flags] DB", "Count what a database holds", statsHelp,
		`  podstore-migrate stats pods.db
  podstore-migrate stats unix:/run/supervisor.sock`,
		func(ctx context.Context, args []string) error { return runStats(ctx, c, args[0]) })
}

// statsItem is what stats counts, and its shape in JSON.
type statsItem struct {
	head
	Pods                 int   `json:"pods"`
	DamagedPods          int   `json:"damaged_pods"`
	ActivePods           int   `json:"active_pods"`
	Children             int   `json:"children"`
	Reclaimed            int   `json:"reclaimed"`
	Peers                int   `json:"peers"`
	ManifestBytes        int64 `json:"manifest_bytes"`
	LargestManifestBytes int64 `json:"largest_manifest_bytes"`
	FileBytes            int64 `json:"file_bytes"`
	PageBytes            int64 `json:"page_bytes"`
	UsedPages            int64 `json:"used_pages"`
	FreePages            int64 `json:"free_pages"`
	UsedBytes            int64 `json:"used_bytes"`
	ReclaimableBytes     int64 `json:"reclaimable_bytes"`
}

func runStats(ctx context.Context, c *console, db string) error {
	c.resume = "stats changes nothing; run the same command again"
	s, err := c.openDatabase(ctx, db)
	if err != nil {
		return err
	}
	findings := 0
	checked, err := boltstore.Check(ctx, s.Path(), nil, func(boltstore.Finding) { findings++ })
	item := statsItem{head: c.head("stats")}
	if err == nil {
		item.fill(checked)
		err = item.count(ctx, s.Store)
	}
	if err == nil && findings > 0 {
		err = &store.Error{Op: "stats", Path: db, Kind: store.ErrCorrupt, Err: errors.New("some of it could not be counted")}
	}
	if item.PageBytes > 0 && ctx.Err() == nil {
		c.emit(item)
		for _, figure := range []struct {
			name  string
			value int64
		}{
			{"pods", int64(item.Pods)}, {"damaged_pods", int64(item.DamagedPods)}, {"active_pods", int64(item.ActivePods)},
			{"children", int64(item.Children)}, {"reclaimed", int64(item.Reclaimed)}, {"peers", int64(item.Peers)},
			{"manifest_bytes", item.ManifestBytes}, {"largest_manifest_bytes", item.LargestManifestBytes},
			{"file_bytes", item.FileBytes}, {"page_bytes", item.PageBytes}, {"used_pages", item.UsedPages},
			{"free_pages", item.FreePages}, {"used_bytes", item.UsedBytes}, {"reclaimable_bytes", item.ReclaimableBytes},
		} {
			c.print("%s\t%d\n", figure.name, figure.value)
		}
	}
	return errors.Join(err, s.Close())
}

// fill takes what a check found out about the file.
func (i *statsItem) fill(sum boltstore.Summary) {
	i.Pods, i.DamagedPods = sum.Pods, sum.Damaged
	i.FileBytes, i.PageBytes = sum.Space.FileSize, sum.Space.PageSize
	i.UsedPages, i.FreePages = sum.Space.UsedPages, sum.Space.FreePages
	i.UsedBytes, i.ReclaimableBytes = sum.Space.UsedBytes, sum.Space.Reclaimable()
}

// count adds up what the Pods hold. Damaged ones have been counted.
func (i *statsItem) count(ctx context.Context, s *boltstore.Store) error {
	for m, err := range s.All(ctx, store.ReadOptions{}) {
		if errors.Is(err, store.ErrCorrupt) {
			continue
		}
		if err != nil {
			return err
		}
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
	return nil
}
