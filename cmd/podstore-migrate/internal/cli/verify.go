package cli

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"podstore/store"
	"podstore/store/jsonexport"
)

const verifyHelp = `Verify compares every Pod of the database with DIR/{pod}/metadata.json, both ways, and
changes nothing. Each difference is one line on standard output that begins with one of
  differs               the content is not the same
  not-canonical         the same content, but not the bytes that export writes
  missing-in-store      only the directory has the Pod
  missing-in-directory  only the database has the Pod
  unreadable            the file, or the entry in its place, is not metadata
The exit code is then 4, or 1 if this user may not read a file. With --content,
not-canonical files count as the same.`

func verifyCmd(c *console) *cobra.Command {
	opts := jsonexport.VerifyOptions{MaxFileSize: jsonexport.DefaultMaxFileSize}
	cmd := command(c, "verify [flags] DB DIR", "Compare a database with a directory of Pods", verifyHelp,
		`  podstore-migrate verify pods.db /var/lib/pods
  podstore-migrate verify --content pods.db /var/lib/pods`,
		func(ctx context.Context, args []string) error { return runVerify(ctx, c, args[0], args[1], opts) })
	f := cmd.Flags()
	f.BoolVar(&opts.ContentOnly, "content", false, "compare content only, not its bytes")
	maxFileSizeFlag(f, &opts.MaxFileSize)
	return cmd
}

func runVerify(ctx context.Context, c *console, db, dir string, opts jsonexport.VerifyOptions) error {
	c.resume = "verify changes nothing; run the same command again"
	dir, err := c.directory(dir)
	if err != nil {
		return err
	}
	s, err := c.openRead(ctx, db, opts.MaxFileSize)
	if err != nil {
		return err
	}
	opts.Progress = func(r jsonexport.Result, done, total int) {
		c.verified(r)
		c.progress(done, total)
	}
	report, err := jsonexport.Verify(ctx, s.MetadataStore, dir, opts)
	c.sumUp(report, verifyOutcomes, false, err)
	delete(report.Counts, jsonexport.MissingInDir)
	if err == nil {
		c.noPods(dir, report.Counts)
	}
	return errors.Join(err, s.Close())
}

// verified prints the result of one Pod.
func (c *console) verified(r jsonexport.Result) {
	c.result(r, false)
	name, path, adds := quoteName(r.Pod), place(nil, r.Path), "copy"
	if c.db.kind == kindFile {
		adds = "import"
	}
	switch r.Outcome {
	case jsonexport.Same:
		return
	case jsonexport.Damaged:
		if !errors.Is(r.Err, store.ErrCorrupt) || transient(r.Err) {
			c.unreadable(r.Pod, r.Err)
		} else {
			c.damaged(r.Pod, r.Err)
		}
		return
	case jsonexport.Differs:
		c.print("differs %s: %s has other content than %s, first in %s; %s --overwrite takes the file's, export %s's\n", name, path, c.db.inMessage(), quoteName(r.Field), adds, c.db.inMessage())
	case jsonexport.NotCanonical:
		c.print("not-canonical %s: %s has the same content in other bytes; export writes the canonical ones, --content accepts these\n", name, path)
	case jsonexport.MissingInStore:
		c.print("missing-in-store %s: only %s has it; %s adds it, export --prune removes the file\n", name, path, adds)
	case jsonexport.MissingInDir:
		c.print("missing-in-directory %s: there is no %s; export writes it\n", name, path)
	case jsonexport.Unreadable:
		advice := "; correct or remove it"
		switch {
		case errors.Is(r.Err, store.ErrFormat), strings.Contains(reason(r.Err), "; "):
			advice = "" // there is nothing to correct, or the reason says how
		case transient(r.Err):
			c.note(exitFailure)
			advice = "; it may be undamaged; run it as a user who may read it"
			if !errors.Is(r.Err, fs.ErrPermission) {
				advice = "; it may be undamaged; run it again"
			}
		}
		c.print("unreadable %s: %s%s\n", place(r.Err, r.Path), c.why(r.Err), advice)
	}
	c.note(exitDifferent)
}
