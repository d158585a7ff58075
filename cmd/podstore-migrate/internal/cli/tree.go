package cli

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/rivo/uniseg"
	"github.com/spf13/cobra"

	"podstore/store"
)

const treeHelp = `Tree draws which Pod spawned which. Notes follow a name in parentheses: "no such Pod" for
a reference to a Pod that does not exist, and the Pod's peers, with those links that are
one-sided. A Pod with several parents is drawn below the first and named below the others.
A cycle ends where it closes.

With --reclaimed it also draws the history: below a Pod, marked "reclaimed", the children
from which it took back what it had delegated. The history may be long.

With POD it draws only the Pods below that Pod and those that lead to it. With --format
dot or mermaid it writes a graph for Graphviz or Mermaid.`

func treeCmd(c *console) *cobra.Command {
	var format string
	var history bool
	var maxFileSize int64
	cmd := command(c, "tree [flags] DB [POD]", "Draw parents, children, peers and dangling references", treeHelp,
		`  podstore-migrate tree pods.db
  podstore-migrate tree unix:/run/supervisor.sock coordinator
  podstore-migrate tree --reclaimed pods.db
  podstore-migrate tree --format dot pods.db | dot -Tsvg >pods.svg`,
		func(ctx context.Context, args []string) error {
			pod := ""
			if len(args) == 2 {
				pod = args[1]
			}
			return runTree(ctx, c, args[0], pod, len(args) == 2, format, history, maxFileSize)
		})
	cmd.Flags().BoolVar(&history, "reclaimed", false, "also draw the history of reclaimed children")
	maxFileSizeFlag(cmd.Flags(), &maxFileSize)
	cmd.Flags().StringVar(&format, "format", "text", "write `text`, dot or mermaid")
	completeFlag(cmd, "format", "text", "dot", "mermaid")
	cmd.MarkFlagsMutuallyExclusive("format", "json")
	return cmd
}

// treeSummary is the summary of tree in JSON.
type treeSummary struct {
	Pods       int `json:"pods"`
	Damaged    int `json:"damaged"`
	Unreadable int `json:"unreadable"`
	Dangling   int `json:"dangling"`
	besidesCounts
}

func runTree(ctx context.Context, c *console, db, pod string, one bool, format string, history bool, maxFileSize int64) error {
	formats := map[string]func(*console, *graph, map[string]bool){"text": drawText, "dot": drawDOT, "mermaid": drawMermaid}
	draw := formats[format]
	if draw == nil {
		return c.misuse("--format %s: expected text, dot or mermaid", format)
	}
	c.resume = "tree changes nothing; run the same command again"
	g, err := c.readGraph(ctx, db, history || c.json, maxFileSize)
	if g == nil {
		return err
	}
	part := make(map[string]bool, len(g.names))
	switch n := g.nodes[pod]; {
	case one && (n == nil || !n.exists):
		return errors.Join(err, &store.Error{Op: "tree", Pod: pod, Kind: store.ErrNotFound})
	case one:
		part = g.around(pod)
	default:
		for _, name := range g.names {
			part[name] = true
		}
	}
	if c.json {
		draw = emitGraph
	}
	draw(c, g, part)
	return err
}

// readGraph reads all Pods, with their histories if history is set. It prints damaged Pods;
// they have nodes too.
func (c *console) readGraph(ctx context.Context, db string, history bool, maxFileSize int64) (*graph, error) {
	s, err := c.openRead(ctx, db, maxFileSize)
	if err != nil {
		return nil, err
	}
	g := &graph{nodes: make(map[string]*node)}
	for m, podErr := range store.All(ctx, s.MetadataStore, store.ReadOptions{OmitManifest: true, OmitReclaimed: !history}) {
		if podErr == nil {
			g.addPod(m.PodName, m)
		} else if name, state := c.unread(podErr); name != "" {
			g.addUnread(name, state)
		} else {
			err = errors.Join(err, podErr)
		}
	}
	if err == nil {
		g.besides, err = c.besides(ctx, s)
	}
	if err = errors.Join(err, s.Close()); ctx.Err() != nil {
		return nil, err
	}
	g.finish()
	return g, err
}

// maxDrawnDepth bounds the indentation. Deeper Pods begin anew at the margin.
const maxDrawnDepth = 50

// drawText draws a part of a graph as trees of lines.
func drawText(c *console, g *graph, part map[string]bool) {
	d := &textTree{c: c, g: g, part: part, drawn: make(map[string]bool), open: make(map[string]bool)}
	isRoot := func(n *node) bool {
		return n.exists && !slices.ContainsFunc(n.parents, func(p string) bool { return part[p] && p != n.name })
	}
	for _, name := range g.names {
		if n := g.nodes[name]; part[name] && isRoot(n) && !d.belowFormer(n) {
			d.roots(n)
		}
	}
	// The remaining Pods are in cycles, or below them.
	for _, name := range g.names {
		if n := g.nodes[name]; part[name] && n.exists && !d.drawn[name] {
			d.roots(n)
		}
	}
}

type textTree struct {
	c     *console
	g     *graph
	part  map[string]bool
	drawn map[string]bool // names that were drawn with everything below them
	open  map[string]bool // names above the current line
	later []*node         // Pods too deep to draw in their place
}

// belowFormer reports whether a root with nothing below it will be drawn below the Pod that
// reclaimed it, and so needs no tree of its own.
func (d *textTree) belowFormer(n *node) bool {
	if len(n.children)+len(n.reclaimed) > 0 || !slices.ContainsFunc(n.formerParents, func(p string) bool { return d.part[p] && p != n.name }) {
		return false
	}
	d.drawn[n.name] = true
	return true
}

// roots draws a tree, and then the Pods that were too deep in it.
func (d *textTree) roots(n *node) {
	d.later = append(d.later, n)
	for len(d.later) > 0 && !d.c.hungUp() {
		n, d.later = d.later[0], d.later[1:]
		if !d.drawn[n.name] {
			d.line("", "", d.g.label(n))
			d.below(n, "", 1)
		}
	}
}

// line prints a line. On a terminal that is too narrow, it wraps the line within the tree.
func (d *textTree) line(before, below, text string) {
	width := d.c.width()
	if !d.c.terminal || uniseg.StringWidth(before+text) <= width {
		d.c.print("%s%s\n", before, text)
		return
	}
	line := before
	used := false // the line has a word already
	for word := range strings.SplitSeq(text, " ") {
		if used && uniseg.StringWidth(line+" "+word) > width {
			d.c.print("%s\n", line)
			line, used = below+"    ", false
		}
		if used {
			line += " "
		}
		line, used = line+word, true
	}
	d.c.print("%s\n", line)
}

// below draws what is below a name that has been printed.
func (d *textTree) below(n *node, indent string, depth int) {
	d.drawn[n.name], d.open[n.name] = true, true
	defer delete(d.open, n.name)
	outside := func(name string) bool { return !d.part[name] }
	children := slices.DeleteFunc(slices.Clone(n.children), outside)
	reclaimed := slices.DeleteFunc(slices.Clone(n.reclaimed), outside)
	for i, name := range slices.Concat(children, reclaimed) {
		branch, rest := "├── ", "│   "
		if i == len(children)+len(reclaimed)-1 {
			branch, rest = "└── ", "    "
		}
		child := d.g.nodes[name]
		var notes []string
		descend := false
		switch {
		case i >= len(children):
			notes = append(notes, "reclaimed")
		case d.open[name]:
			notes = append(notes, "cycle")
		case d.drawn[name]:
			notes = append(notes, "see above")
		case depth == maxDrawnDepth:
			notes = append(notes, "continued below")
			d.later = append(d.later, child)
		default:
			descend = child.exists
		}
		d.line(indent+branch, indent+rest, d.g.label(child, notes...))
		if descend {
			d.below(child, indent+rest, depth+1)
		}
	}
}
