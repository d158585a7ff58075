package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"podstore/store/boltstore"
)

const salvageHelp = `Salvage copies every undamaged Pod from a damaged database into a new one. It only reads
DB. NEWDB appears when it is complete; salvage never overwrites a file there.

If the newest state is damaged, it also searches the state before the last commit. Each
Pod that is lost or older is one line on standard error,
  lost pod NAME: reason
  older pod NAME: it is as it was before the last commit
and the exit code is then 5.`

func salvageCmd(c *console) *cobra.Command {
	return command(c, "salvage [flags] DB NEWDB", "Copy what is whole in a damaged database into a new one", salvageHelp,
		`  podstore-migrate salvage pods.db rescued.db`,
		func(ctx context.Context, args []string) error { return runSalvage(ctx, c, args[0], args[1]) })
}

// salvagedItem is the result for one Pod in JSON.
type salvagedItem struct {
	head
	Pod     string `json:"pod"`
	Outcome string `json:"outcome"`
	Reason  string `json:"reason,omitempty"`
}

// salvageSummary is the summary of salvage in JSON. Missing is null if it cannot be known.
type salvageSummary struct {
	Saved   int  `json:"saved"`
	Older   int  `json:"older"`
	Lost    int  `json:"lost"`
	Missing *int `json:"missing"`
}

func runSalvage(ctx context.Context, c *console, db, newDB string) error {
	if err := c.writable(newDB); err != nil {
		return err
	}
	c.resume = "nothing was written; run the same command again"
	path, closer, err := c.readFile(ctx, db)
	if err != nil {
		return err
	}
	var older []string // printed after the lost Pods, which matter more
	sum, err := boltstore.Salvage(ctx, path, newDB, &boltstore.Options{Progress: c.progress}, func(p boltstore.Salvaged) {
		item := salvagedItem{c.head("result"), p.Pod, "saved", ""}
		switch {
		case p.Err != nil:
			item.Outcome, item.Reason = "lost", reason(p.Err)
			c.note(exitDamage)
			c.say("lost pod %s: %s", quoteName(p.Pod), item.Reason)
		case p.Older:
			item.Outcome = "older"
			c.note(exitDamage)
			older = append(older, p.Pod)
		}
		c.emit(item)
	})
	for _, pod := range older {
		c.say("older pod %s: it is as it was before the last commit, which may have changed or deleted it", quoteName(pod))
	}
	if err == nil {
		c.salvaged(sum, newDB)
	}
	return errors.Join(err, closer.Close())
}

// salvaged prints the last lines of salvage.
func (c *console) salvaged(sum boltstore.SalvageSummary, newDB string) {
	line := fmt.Sprintf("salvage: %d saved, %d older, %d lost", sum.Saved, sum.Older, sum.Lost)
	item := salvageSummary{sum.Saved, sum.Older, sum.Lost, &sum.Missing}
	switch {
	case sum.Missing > 0:
		line += fmt.Sprintf("; %d more were recorded, but not found", sum.Missing)
	case sum.Missing < 0:
		line += "; whether there were more is not known"
		item.Missing = nil
	}
	if sum.Missing != 0 {
		c.note(exitDamage)
	}
	c.summary = item
	c.say("%s", line)
	if sum.Saved+sum.Older == 0 {
		c.say("hint: keep %s and restore a backup; the new database is empty", c.db.name())
		return
	}
	if sum.Lost > 0 || sum.Missing != 0 {
		c.say("hint: %s import %s DIR adds what is missing from a tree of a backup (%[1]s export BACKUP DIR)", c.program, shellWord(newDB))
	}
	c.say("hint: %s check %s, then put it in place of the damaged one", c.program, shellWord(newDB))
}
