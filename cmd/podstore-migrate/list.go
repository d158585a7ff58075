package main

import (
	"context"
	"errors"
	"strconv"

	"github.com/spf13/cobra"

	"podstore/store"
)

const listHelp = `List prints one line for each Pod, sorted by the bytes of its name. Fields are
separated by tabs:
  name, active session, active segment, number of children, of reclaimed
  children, of peers, bytes of the manifest
What is not set is "-". A damaged Pod has the word "damaged" after its name, and
its damage is told on standard error; the exit code is then 5.

For the names alone: podstore-migrate list DB | cut -f1`

func listCmd(c *console) *cobra.Command {
	return command(c, "list [flags] DB", "List the Pods of a database", listHelp,
		`  podstore-migrate list pods.db
  podstore-migrate list pods.db | cut -f1`,
		func(ctx context.Context, args []string) error { return runList(ctx, c, args[0]) })
}

func runList(ctx context.Context, c *console, db string) error {
	c.resume = "list changes nothing; run the same command again"
	s, err := c.openRead(ctx, db)
	if err != nil {
		return err
	}
	for m, err2 := range s.All(ctx, store.ReadOptions{}) {
		var e *store.Error
		switch {
		case err2 == nil:
			c.listed(m)
		case errors.As(err2, &e) && e.Pod != "" && errors.Is(err2, store.ErrCorrupt):
			c.print("%s\tdamaged\n", quoteName(e.Pod))
			c.damaged(e.Pod, err2)
		default:
			err = errors.Join(err, err2)
		}
		if c.hungUp() {
			break
		}
	}
	return errors.Join(err, s.Close())
}

// listed prints one Pod.
func (c *console) listed(m *store.Metadata) {
	session, segment, manifest := "-", "-", "-"
	if m.Active != nil {
		session = m.Active.SessionID.String()
		if m.Active.SegmentID != nil {
			segment = m.Active.SegmentID.String()
		}
	}
	if m.Manifest != nil {
		manifest = strconv.Itoa(len(m.Manifest))
	}
	c.print("%s\t%s\t%s\t%d\t%d\t%d\t%s\n", quoteName(m.PodName), session, segment, len(m.Children), len(m.Reclaimed), len(m.Peers), manifest)
}
