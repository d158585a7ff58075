package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"podstore/store"
	"podstore/store/boltstore"
)

const snapshotHelp = `Snapshot copies a database as it is at one moment, also one that a supervisor has
open and serves on a socket. The copy is checked whole, and only then gets its
name; what stands at DEST already is never overwritten.

To restore a snapshot, stop the supervisor and put the copy in place of the
database.`

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
	s, err := c.openRead(ctx, db)
	if err != nil {
		return err
	}
	sum, err := takeSnapshot(ctx, s.Store, dest)
	if err == nil {
		c.summary = sum
		c.say("snapshot: %s, %s in %s, checked", plural(sum.Pods, "Pod"), humanBytes(sum.Bytes), place(nil, dest))
	}
	return errors.Join(err, s.Close())
}

// existsAt is the error for a destination at which something is.
func existsAt(op, dest string, err error) error {
	if err == nil || errors.Is(err, fs.ErrExist) {
		return &store.Error{Op: op, Path: dest, Kind: store.ErrExists}
	}
	return &store.Error{Op: op, Path: dest, Err: err}
}

// takeSnapshot copies a database to a temporary file beside dest, checks that,
// and gives it its name.
func takeSnapshot(ctx context.Context, s *boltstore.Store, dest string) (sum snapshotSummary, err error) {
	f, err := os.CreateTemp(filepath.Dir(dest), "."+filepath.Base(dest)+".new-*")
	if err != nil {
		return sum, &store.Error{Op: "snapshot", Path: dest, Err: err}
	}
	defer os.Remove(f.Name())
	sum.Bytes, err = s.WriteTo(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return sum, err
	}
	findings := 0
	checked, err := boltstore.Check(ctx, f.Name(), nil, func(boltstore.Finding) { findings++ })
	sum.Pods = checked.Pods
	switch {
	case err != nil:
		return sum, err
	case findings > 0:
		return sum, &store.Error{Op: "snapshot", Path: s.Path(), Kind: store.ErrCorrupt, Err: fmt.Errorf("%s in it; no snapshot was made", plural(findings, "finding"))}
	}
	if err := publish(f.Name(), dest); err != nil {
		return sum, existsAt("snapshot", dest, err)
	}
	return sum, syncDir(filepath.Dir(dest))
}

// publish gives a finished file its name. A link, unlike a rename, never replaces
// what is there; where the file system has no links, a look has to do.
func publish(tmp, dest string) error {
	err := os.Link(tmp, dest)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := os.Lstat(dest); !errors.Is(err, fs.ErrNotExist) {
		return fs.ErrExist
	}
	return os.Rename(tmp, dest)
}

// syncDir makes a new name in a directory durable, where the system can.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
