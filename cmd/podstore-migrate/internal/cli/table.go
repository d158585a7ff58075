package cli

import (
	"strings"

	"github.com/rivo/uniseg"
)

// column is one column of a table on a terminal.
type column struct {
	name  string
	right bool // aligned to the right, for numbers
	// narrow has the widths to which the column is cut, step by step, if the terminal is
	// too narrow. 0 leaves it out.
	narrow []int
	end    bool // show the end of a value that is cut
}

// table prints rows aligned under a header, each cut to the terminal's width.
func (c *console) table(columns []column, rows [][]string, width int) {
	widths := make([]int, len(columns))
	for i, col := range columns {
		widths[i] = uniseg.StringWidth(col.name)
		for _, row := range rows {
			if i < len(row) {
				widths[i] = max(widths[i], uniseg.StringWidth(row[i]))
			}
		}
	}
	fitColumns(columns, widths, width)
	names := make([]string, len(columns))
	for i, col := range columns {
		names[i] = col.name
	}
	for _, row := range append([][]string{names}, rows...) {
		var line strings.Builder
		for i, cell := range row {
			if widths[i] == 0 {
				continue
			}
			if line.Len() > 0 {
				line.WriteString("  ")
			}
			cell = cut(cell, widths[i], columns[i].end)
			pad := strings.Repeat(" ", widths[i]-uniseg.StringWidth(cell))
			if columns[i].right {
				line.WriteString(pad + cell)
			} else {
				line.WriteString(cell + pad)
			}
		}
		c.print("%s\n", cut(strings.TrimRight(line.String(), " "), width, false))
	}
}

// fitColumns makes columns narrower until a line fits, as far as it can.
func fitColumns(columns []column, widths []int, width int) {
	line := func() (sum int) {
		for _, w := range widths {
			if w > 0 {
				sum += w + 2
			}
		}
		return sum - 2
	}
	for step := 0; line() > width; step++ {
		more := false
		for i := len(columns) - 1; i >= 0 && line() > width; i-- {
			if step < len(columns[i].narrow) {
				more = true
				if to := columns[i].narrow[step]; to < widths[i] {
					widths[i] = to
					if to > 0 { // not narrower than necessary
						widths[i] += max(0, width-line())
					}
				}
			}
		}
		if !more {
			return
		}
	}
}

// cut shortens text to width columns of a terminal.
func cut(text string, width int, end bool) string {
	if uniseg.StringWidth(text) <= width {
		return text
	}
	if end { // plain letters, such as an id
		return "…" + text[max(0, len(text)-width+1):]
	}
	var b strings.Builder
	used := 1 // of the ellipsis
	for g := uniseg.NewGraphemes(text); g.Next(); b.WriteString(g.Str()) {
		if used += g.Width(); used > width {
			break
		}
	}
	return b.String() + "…"
}
