package cli

import (
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress shows how far a command is, with count, rate and time left, on a
// terminal's standard error and nowhere else.
func (c *console) progress(done, total int) {
	if !c.showsProgress() {
		return
	}
	if c.bar == nil {
		if c.barName == "" {
			c.barName = c.command
		}
		c.bar = progressbar.NewOptions(max(total, done),
			progressbar.OptionSetWriter(c.err),
			progressbar.OptionSetDescription(c.barName),
			progressbar.OptionShowCount(),
			progressbar.OptionShowIts(),
			progressbar.OptionSetItsString("Pods"),
			progressbar.OptionSetWidth(24),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(),
		)
	}
	c.bar.ChangeMax(max(total, done))
	_ = c.bar.Set(done) // a bar that cannot be drawn must not stop the work
}

func (c *console) showsProgress() bool { return c.errTerminal && os.Getenv("TERM") != "dumb" }

// nextBar ends the bar, so that what comes has one of its own.
func (c *console) nextBar(name string) {
	c.clearBar()
	c.bar, c.barName = nil, name
}

// clearBar makes way for a line on the terminal; the bar comes back by itself.
func (c *console) clearBar() {
	if c.bar != nil && !c.bar.IsFinished() {
		_ = c.bar.Clear()
	}
}
