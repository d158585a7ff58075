package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"podstore/store"
)

const snapshotHelp = `Snapshot copies a database as it is at one moment, even one that a supervisor has open
and serves on a socket. The copy gets its name only after it was checked completely.
Snapshot never overwrites a file at DEST.

To restore a snapshot, stop the supervisor, put its file aside, and make a snapshot
of the copy in its place: podstore-migrate snapshot backup.db pods.db`

func snapshotCmd(c *console) *cobra.Command {
	return command(c, "snapshot [flags] DB DEST", "Copy a database, also one in use, and check the copy", snapshotHelp,
		`  podstore-migrate snapshot pods.db backup.db
  podstore-migrate snapshot unix:/run/supervisor.sock backup.db`,
		func(ctx context.Context, args []string) error { return runSnapshot(ctx, c, args[0], args[1]) })
}

// snapshotSummary is the summary of snapshot in JSON.
type snapshotSummary struct {
	Pods  int   `json:"pods"`
	Bytes int64 `json:"bytes"`
}

func runSnapshot(ctx context.Context, c *console, db, dest string) error {
	if err := c.writable(dest); err != nil {
		return err
	}
	if _, err := os.Lstat(dest); !errors.Is(err, fs.ErrNotExist) {
		return existsAt("snapshot", dest, err)
	}
	c.resume = "nothing was written; run the same command again"
	s, err := c.openDatabase(ctx, db)
	if err != nil {
		return err
	}
	sum, err := s.Backup(ctx, dest)
	if err == nil {
		size := sum.Space.FileSize
		c.summary = snapshotSummary{sum.Pods, size}
		c.say("snapshot: %s, %s in %s, checked", plural(sum.Pods, "Pod"), humanBytes(size), place(nil, dest))
	}
	return errors.Join(err, s.Close())
}

// existsAt is the error for a destination that exists, or cannot be looked at.
func existsAt(op, dest string, err error) error {
	if err == nil {
		return &store.Error{Op: op, Path: dest, Kind: store.ErrExists}
	}
	return &store.Error{Op: op, Path: dest, Err: err}
}
