package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"podstore/store"
	"podstore/store/boltstore"
)

const compactHelp = `Compact copies a database into a new one without free space. It only reads SRC. DEST
appears when it is complete; compact never overwrites a file there. It refuses a damaged
database: salvage copies what is whole.

With --dry-run it prints what would be saved, and writes nothing.`

func compactCmd(c *console) *cobra.Command {
	var dryRun bool
	cmd := command(c, "compact [flags] SRC DEST", "Copy a database into a new one without free space", compactHelp,
		`  podstore-migrate compact --dry-run pods.db small.db
  podstore-migrate compact pods.db small.db`,
		func(ctx context.Context, args []string) error { return runCompact(ctx, c, args[0], args[1], dryRun) })
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print what would happen and write nothing")
	return cmd
}

// compactSummary is the summary of compact in JSON. After a dry run AfterBytes is
// an estimate.
type compactSummary struct {
	BeforeBytes int64 `json:"before_bytes"`
	AfterBytes  int64 `json:"after_bytes"`
	DryRun      bool  `json:"dry_run"`
}

func runCompact(ctx context.Context, c *console, src, dest string, dryRun bool) error {
	if err := c.writable(dest); err != nil {
		return err
	}
	if _, err := os.Lstat(dest); !errors.Is(err, os.ErrNotExist) {
		return existsAt("compact", dest, err)
	}
	c.resume = "nothing was written; run the same command again"
	path, closer, err := c.readFile(ctx, src)
	if err != nil {
		return err
	}
	sum, err := c.compact(ctx, path, dest, dryRun)
	if err == nil {
		c.summary = sum
		words, gain, end := "compact: %s before, %s after", "", ""
		if dryRun {
			words, end = "compact: %s now, about %s after", " (dry run, nothing was written)"
		}
		if sum.AfterBytes >= sum.BeforeBytes {
			gain = "; nothing to gain"
		}
		c.say(words+"%s%s", humanBytes(sum.BeforeBytes), humanBytes(sum.AfterBytes), gain, end)
	}
	return errors.Join(err, closer.Close())
}

// compact makes the copy. In a dry run it only checks whether it could.
func (c *console) compact(ctx context.Context, src, dest string, dryRun bool) (compactSummary, error) {
	sum := compactSummary{DryRun: dryRun}
	opts := &boltstore.Options{Progress: c.progress}
	if dryRun {
		findings := 0
		checked, err := boltstore.Check(ctx, src, opts, func(boltstore.Finding) { findings++ })
		if err == nil && findings > 0 {
			err = &store.Error{Op: "compact", Path: src, Kind: store.ErrCorrupt, Err: fmt.Errorf("%s in it", plural(findings, "finding"))}
		}
		sum.BeforeBytes = checked.Space.FileSize
		sum.AfterBytes = sum.BeforeBytes - checked.Space.Reclaimable()
		return sum, err
	}
	if err := boltstore.Compact(ctx, src, dest, opts); err != nil {
		return sum, err
	}
	for path, size := range map[string]*int64{src: &sum.BeforeBytes, dest: &sum.AfterBytes} {
		info, err := os.Stat(path)
		if err != nil {
			return sum, err
		}
		*size = info.Size()
	}
	return sum, nil
}
