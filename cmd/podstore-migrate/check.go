package main

import (
	"context"
	"errors"
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
		`  podstore-migrate check pods.db
  podstore-migrate check unix:/run/supervisor.sock`,
		func(ctx context.Context, args []string) error { return runCheck(ctx, c, args[0]) })
}

// findingItem is one finding in JSON.
type findingItem struct {
	head
	Pod    *string `json:"pod"`
	Reason string  `json:"reason"`
	Advice string  `json:"advice"`
}

// checkSummary is the summary of check in JSON.
type checkSummary struct {
	Pods     int `json:"pods"`
	Damaged  int `json:"damaged"`
	Findings int `json:"findings"`
}

func runCheck(ctx context.Context, c *console, db string) error {
	c.resume = "check changes nothing; run the same command again"
	path, closer, err := c.readFile(ctx, db)
	if err != nil {
		return err
	}
	sum, err := boltstore.Check(ctx, path, nil, func(f boltstore.Finding) {
		c.note(exitDamage)
		item := findingItem{c.head("finding"), nil, oneLine(f.Reason), oneLine(f.Advice)}
		what := "file " + place(nil, db)
		if f.Pod != "" {
			what = "pod " + quoteName(f.Pod)
			item.Pod = &f.Pod
		}
		c.emit(item)
		c.print("damaged %s: %s; %s\n", what, item.Reason, item.Advice)
	})
	c.summary = checkSummary{sum.Pods, sum.Damaged, sum.Findings}
	if err == nil {
		verdict := "no damage"
		if sum.Findings > 0 {
			verdict = fmt.Sprintf("%s, %d damaged", plural(sum.Findings, "finding"), sum.Damaged)
		}
		c.say("check: %s, %s", plural(sum.Pods, "Pod"), verdict)
	}
	return errors.Join(err, closer.Close())
}
