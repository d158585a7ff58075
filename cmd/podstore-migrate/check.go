package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"podstore/store/boltstore"
)

const checkHelp = `Check reads every page of a database, verifies every checksum and every record,
and changes nothing. It works on any file, however damaged. Each finding is one
line on standard output that says what is wrong and what to do next:
  damaged pod NAME: ...
  damaged file PATH: ...
The exit code is then 5.`

func checkCmd(c *console) *cobra.Command {
	return command(c, "check [flags] DB", "Look for damage in a database", checkHelp,
		`  podstore-migrate check pods.db`,
		func(ctx context.Context, args []string) error { return runCheck(ctx, c, args[0]) })
}

func runCheck(ctx context.Context, c *console, db string) error {
	c.db = db
	c.resume = "check changes nothing; run the same command again"
	sum, err := boltstore.Check(ctx, db, nil, func(f boltstore.Finding) {
		c.note(exitDamage)
		what := "file " + place(nil, db)
		if f.Pod != "" {
			what = "pod " + quoteName(f.Pod)
		}
		c.print("damaged %s: %s; %s\n", what, oneLine(f.Reason), oneLine(f.Advice))
	})
	if err != nil {
		return err
	}
	verdict := "no damage"
	if sum.Findings > 0 {
		verdict = fmt.Sprintf("%s, %d damaged", plural(sum.Findings, "finding"), sum.Damaged)
	}
	c.say("check: %s, %s", plural(sum.Pods, "Pod"), verdict)
	return nil
}
