package cli

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/rivo/uniseg"
	"golang.org/x/term"
)

// bar is the line with a command's progress. Only a terminal on standard error shows it.
type bar struct {
	name  string // of the current step, or "" for the whole command
	start time.Time
	drawn time.Time
	shown bool
}

// redraw is the least time between two drawings.
const redraw = 100 * time.Millisecond

// progress shows the progress of a command, with count, rate and time left.
func (c *console) progress(done, total int) {
	if !c.showsProgress() {
		return
	}
	now := time.Now()
	if c.bar.start.IsZero() {
		c.bar.start = now
	}
	if now.Sub(c.bar.drawn) < redraw && done < total || c.queue.behind() {
		return
	}
	name := c.bar.name
	if name == "" {
		name = c.command
	}
	width := widthOf(c.stderr)
	line := progressLine(name, done, total, now.Sub(c.bar.start), width-1) // in the last column some terminals wrap
	c.bar.drawn = now
	if line == "" {
		return
	}
	c.bar.shown = true
	fmt.Fprint(c.err, "\r", line, strings.Repeat(" ", max(0, width-1-uniseg.StringWidth(line))))
}

// progressLine is the longest form of the line that fits, or "".
func progressLine(name string, done, total int, passed time.Duration, width int) string {
	count := fmt.Sprintf("%d Pods", done)
	if total > 0 {
		count = fmt.Sprintf("%3d%%  %d of %d Pods", done*100/total, done, total)
	}
	rate := ""
	if perSecond := float64(done) / passed.Seconds(); passed > 0 && perSecond >= 1 {
		rate = fmt.Sprintf("  %.0f/s", perSecond)
		if left := time.Duration(float64(total-done) / perSecond * float64(time.Second)); total > 0 {
			rate += "  " + left.Round(time.Second).String() + " left"
		}
	}
	filled := 0
	if total > 0 {
		filled = done * 20 / total
	}
	drawing := "  [" + strings.Repeat("=", filled) + strings.Repeat(" ", 20-filled) + "]"
	short, _, _ := strings.Cut(strings.TrimSpace(count), "  ")
	for _, line := range []string{name + "  " + count + drawing + rate, name + "  " + count + rate, name + "  " + count, name + "  " + short, short} {
		if len(line) <= width {
			return line
		}
	}
	return ""
}

func (c *console) showsProgress() bool { return c.errTerminal && os.Getenv("TERM") != "dumb" }

// nextBar ends the bar and begins one for the next step.
func (c *console) nextBar(name string) {
	c.clearBar()
	c.bar = bar{name: name}
}

// endBar ends the bar for good.
func (c *console) endBar() { c.nextBar("") }

// clearBar clears the bar for a line on the terminal. The next progress draws it again.
func (c *console) clearBar() {
	if c.bar.shown {
		c.bar.shown = false
		fmt.Fprint(c.err, "\r", strings.Repeat(" ", widthOf(c.stderr)-1), "\r")
	}
}

// widthOf is the number of columns of a terminal, at least 2.
func widthOf(w any) int {
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return max(2, width)
		}
	}
	return 80
}
