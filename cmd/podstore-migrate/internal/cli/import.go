package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"podstore/store"
	"podstore/store/jsonexport"
)

const importHelp = `Import reads every DIR/{pod}/metadata.json into the database. It creates the database if
it is missing. It only reads DIR, which may be in use meanwhile.

Bad Pods do not stop the others. Each is one line on standard error,
  refused PATH:LINE:COL: reason
  conflict PATH: reason
A conflict is a Pod that the database already has with other content. It is kept, unless
--overwrite is given. The exit code is then 3, or 1 if this user may not read a Pod. It is
also 3 if DIR has no Pod at all.

Two old writers at once can leave a file torn: a whole document, and after it the tail of
an older, longer one. Such a Pod is refused. With --repair the document is taken, if it is
canonical to the byte and the rest is such a tail. Each is a line
  repaired PATH: the document was taken; N bytes of an older one after it were not
and the exit code is 3. The file is left as it is; export writes it anew.

If import is interrupted, the database is intact: run the same command again, and the
result is the same as without the interruption. If it created the database and no Pod
was imported, because all were refused, it removes the database again.`

func importCmd(c *console) *cobra.Command {
	opts := jsonexport.ImportOptions{MaxFileSize: jsonexport.DefaultMaxFileSize}
	cmd := command(c, "import [flags] DB DIR", "Read a directory of Pods into a database", importHelp,
		`  podstore-migrate import pods.db /var/lib/pods
  podstore-migrate import --dry-run pods.db /var/lib/pods
  podstore-migrate import --strict pods.db /var/lib/pods`,
		func(ctx context.Context, args []string) error { return runImport(ctx, c, args[0], args[1], opts) })
	f := cmd.Flags()
	f.BoolVar(&opts.Overwrite, "overwrite", false, "replace Pods that are stored with other content")
	f.BoolVar(&opts.Repair, "repair", false, "take the whole document of a file that two writers at once left torn")
	f.BoolVar(&opts.Strict, "strict", false, "import all Pods in one transaction, or none if any is refused or in conflict")
	allowNetworkFlag(f, c)
	f.BoolVar(&opts.DryRun, "dry-run", false, "print what would happen and change nothing")
	maxFileSizeFlag(f, &opts.MaxFileSize)
	return cmd
}

func runImport(ctx context.Context, c *console, db, dir string, opts jsonexport.ImportOptions) error {
	dir, err := c.directory(dir)
	if err != nil {
		return err
	}
	if err := c.writable(db); err != nil {
		return err
	}
	// A directory that is not there must not leave an empty database behind.
	if _, err := jsonexport.OpenDir(dir, &jsonexport.DirOptions{ReadOnly: true}); err != nil {
		return err
	}
	c.resume = "what was imported so far is safe; run the same command again to import the rest"
	switch {
	case opts.DryRun:
		c.resume = "a dry run changes nothing"
	case opts.Strict:
		c.resume = "nothing was imported; run the same command again"
	}
	dst, err := c.openTarget(ctx, location{arg: db, path: db}, opts.DryRun, 0)
	if err != nil {
		return err
	}
	opts.Progress = func(r jsonexport.Result, done, total int) {
		c.imported(r, opts.DryRun)
		c.progress(done, total)
	}
	report, err := jsonexport.Import(ctx, dst.MetadataStore, dir, opts)
	if opts.Strict && report.Counts[jsonexport.Imported]+report.Counts[jsonexport.Repaired] > 0 {
		c.resume = "all Pods were imported before it was noticed" // a commit that has begun is finished
	}
	outcomes := importOutcomes
	if opts.Repair {
		outcomes = append(outcomes[:len(outcomes):len(outcomes)], jsonexport.Repaired)
	}
	c.sumUp(report, outcomes, opts.DryRun, err)
	if err == nil {
		c.noPods(dir, report.Counts)
	}
	return errors.Join(err, dst.Close())
}

// imported prints the result of one Pod.
func (c *console) imported(r jsonexport.Result, dryRun bool) {
	c.result(r, dryRun)
	switch r.Outcome {
	case jsonexport.Refused:
		c.note(exitPartial)
		c.say("refused %s: %s", place(r.Err, r.Path), c.why(r.Err))
		switch {
		case transient(r.Err):
			c.note(exitFailure)
		case errors.Is(r.Err, store.ErrCorrupt):
			c.note(exitDamage)
		}
	case jsonexport.Conflict:
		c.note(exitPartial)
		c.say("conflict %s: the database has other content, first in %s; it was kept, --overwrite replaces it", place(nil, r.Path), quoteName(r.Field))
	case jsonexport.Repaired:
		c.note(exitPartial)
		c.say("repaired %s: the document was taken; %s of an older one after it %s not", place(nil, r.Path), plural(r.Left, "byte"), were(r.Left))
	}
	if dryRun && r.Err == nil && r.Outcome != jsonexport.Conflict {
		c.print("%s\t%s\n", quoteName(r.Pod), r.Outcome)
	}
}

func were(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}
