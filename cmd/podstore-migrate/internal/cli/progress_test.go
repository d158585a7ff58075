package cli

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rivo/uniseg"
)

// The line fits any width, and says as much as there is room for.
func TestProgressLineFits(t *testing.T) {
	for width := -1; width < 200; width++ {
		for _, total := range []int{0, 1, 20000} {
			if line := progressLine("import", total/2, total, time.Minute, width); uniseg.StringWidth(line) > max(0, width) {
				t.Errorf("%d columns: %q", width, line)
			}
		}
	}
	for width, want := range map[int]string{
		79: "import   45%  900 of 2000 Pods  [=========           ]  90/s  12s left",
		60: "import   45%  900 of 2000 Pods  90/s  12s left", 39: "import   45%  900 of 2000 Pods", 19: "import  45%", 10: "45%",
	} {
		if line := progressLine("import", 900, 2000, 10*time.Second, width); line != want {
			t.Errorf("%d columns: %q, want %q", width, line, want)
		}
	}
}

// Columns are kept by what takes two columns, or none.
func TestTableKeepsColumns(t *testing.T) {
	for width := 1; width < 130; width++ {
		var out strings.Builder
		c := newConsole(&out, &out)
		rows := [][]string{{"日本語", strings.Repeat("a", 36), "-", "1", "2", "3", "4"}, {"e\u0301e\u0301", "-", "-", "10000", "0", "0", "-"}, {"damaged", "damaged"}, {strings.Repeat("x", 255), "-", "-", "1", "1", "1", "1"}}
		c.table(listColumns, rows, width)
		c.flush()
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if len(lines) != len(rows)+1 {
			t.Fatalf("%d columns: %q", width, lines)
		}
		for _, line := range lines {
			if uniseg.StringWidth(line) > width {
				t.Errorf("%d columns: %q", width, line)
			}
		}
		if at := strings.Index(lines[0], "children"); at >= 0 && width > 60 { // the last digit stands under the last letter
			for i, n := range map[int]string{1: "1", 2: "10000", 4: "1"} {
				if got := columnEnd(lines[i], at+len("children")); !strings.HasSuffix(got, n) {
					t.Errorf("%d columns: %q under\n%q\n%q", width, got, lines[0], lines[i])
				}
			}
		}
	}
}

// columnEnd is a line up to a column of the terminal.
func columnEnd(line string, end int) string {
	used := 0
	for g := uniseg.NewGraphemes(line); g.Next(); {
		if used += g.Width(); used == end {
			_, to := g.Positions()
			return line[:to]
		}
	}
	return fmt.Sprintf("%s ends before column %d", line, end)
}
