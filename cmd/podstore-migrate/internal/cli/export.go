package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"podstore/store/jsonexport"
	"podstore/store/podjson"
)

const exportHelp = `Export writes every Pod of the database to DIR/{pod}/metadata.json, as it is at one
moment. It creates DIR if it is missing. Each file appears whole or not at all, with mode
0600. Files that have the same content already, and other files, are left alone. A file
that is replaced keeps its mode and owner. A new one that root writes gets the owner of
the directory that it is in.

A Pod that cannot be written is one line on standard error,
  refused PATH: reason
and the others go on; the exit code is then 3. A Pod that is damaged in the database is
printed too, and its file left as it is; the exit code is 5.

All files are in the naming "pods", where a Pod's name is "pod_name". With --naming
workers it is "worker_name", as in later versions of this layout. A file that had the
other naming is one line on standard error, "renamed PATH: …".

With --prune every other metadata.json in DIR is removed, even a broken one, and its
directory if nothing else is in it. Each is a line "pruned NAME" on standard error. If the
database has no Pods, nothing is pruned, unless --prune-all is given. Use --dry-run first:
it prints each Pod's name and "exported", "unchanged" or "pruned", and changes nothing.`

func exportCmd(c *console) *cobra.Command {
	opts := jsonexport.ExportOptions{MaxFileSize: jsonexport.DefaultMaxFileSize}
	cmd := command(c, "export [flags] DB DIR", "Write the Pods of a database to a directory", exportHelp,
		`  podstore-migrate export pods.db /var/lib/pods
  podstore-migrate export --prune --dry-run pods.db /var/lib/pods
  podstore-migrate export --prune pods.db /var/lib/pods`,
		func(ctx context.Context, args []string) error { return runExport(ctx, c, args[0], args[1], opts) })
	f := cmd.Flags()
	f.BoolVar(&opts.Prune, "prune", false, "remove Pods from DIR that the database does not have")
	f.BoolVar(&opts.PruneAll, "prune-all", false, "prune even if the database has no Pods, which removes all Pods from DIR")
	f.BoolVar(&opts.DryRun, "dry-run", false, "print what would happen and change nothing")
	f.Var((*namingFlag)(&opts.Naming), "naming", "write the Pods' names in this naming, pods or workers")
	completeFlag(cmd, "naming", podjson.Pods.String(), podjson.Workers.String())
	maxFileSizeFlag(f, &opts.MaxFileSize)
	return cmd
}

func runExport(ctx context.Context, c *console, db, dir string, opts jsonexport.ExportOptions) error {
	opts.Prune = opts.Prune || opts.PruneAll
	c.resume = "every file that was written is whole; run the same command again to write the rest"
	if opts.DryRun {
		c.resume = "a dry run changes nothing"
	}
	dir, err := c.directory(dir)
	if err != nil {
		return err
	}
	to := location{arg: dir, kind: kindDirectory, path: dir}
	if from, err := c.parseLocation(db); err == nil && from.same(to) {
		return c.misuse("%s is the directory to write to", from.name())
	} else if err == nil && from.within(to) {
		return c.misuse("of %s and %s one is inside the other", from.name(), to.name())
	}
	s, err := c.openRead(ctx, db, opts.MaxFileSize)
	if err != nil {
		return err
	}
	opts.Progress = func(r jsonexport.Result, done, total int) {
		c.exported(r, opts.Naming, opts.DryRun)
		c.progress(done, total)
	}
	report, err := jsonexport.Export(ctx, s.MetadataStore, dir, opts)
	c.sumUp(report, exportOutcomes, opts.DryRun, err)
	if err == nil {
		_, err = c.besides(ctx, s)
	}
	return errors.Join(err, s.Close())
}

// exported prints the result of one Pod.
func (c *console) exported(r jsonexport.Result, naming podjson.Naming, dryRun bool) {
	c.result(r, dryRun)
	switch r.Outcome {
	case jsonexport.Refused:
		c.note(exitPartial)
		c.say("refused %s: %s", place(r.Err, r.Path), c.why(r.Err))
		if transient(r.Err) {
			c.note(exitFailure)
		}
	case jsonexport.Damaged:
		c.damaged(r.Pod, r.Err)
	default:
		if r.Renamed {
			c.renamed(r, naming, dryRun)
		}
		switch {
		case dryRun:
			c.print("%s\t%s\n", quoteName(r.Pod), r.Outcome)
		case r.Outcome == jsonexport.Pruned:
			c.say("pruned %s", quoteName(r.Pod))
		}
	}
}

// renamed prints that a file's naming was changed.
func (c *console) renamed(r jsonexport.Result, to podjson.Naming, dryRun bool) {
	from, became := podjson.Workers, "became"
	if to == podjson.Workers {
		from = podjson.Pods
	}
	if dryRun {
		became = "would become"
	}
	c.say("renamed %s: %s %s %s; --naming %v keeps it", place(nil, r.Path), from.Key(), became, to.Key(), from)
}

// namingFlag is a flag with a naming.
type namingFlag podjson.Naming

func (n *namingFlag) String() string { return podjson.Naming(*n).String() }
func (n *namingFlag) Type() string   { return "NAMING" }

func (n *namingFlag) Set(s string) error {
	naming, err := podjson.ParseNaming(s)
	*n = namingFlag(naming)
	return err
}
