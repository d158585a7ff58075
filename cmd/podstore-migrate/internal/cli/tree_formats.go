package cli

import (
	"slices"
	"strings"
)

// edges calls f for each reference between two Pods in part, with the numbers of their
// nodes. A mutual link of peers is one edge.
func (g *graph) edges(part map[string]bool, f func(from, to int, kind string)) {
	number := make(map[string]int, len(g.names))
	for i, name := range g.names {
		number[name] = i
	}
	for _, name := range g.names {
		if !part[name] {
			continue
		}
		n := g.nodes[name]
		for _, to := range n.children {
			if part[to] {
				f(number[name], number[to], "child")
			}
		}
		for _, to := range n.reclaimed {
			if part[to] {
				f(number[name], number[to], "reclaimed")
			}
		}
		for _, to := range n.peers {
			switch {
			case !part[to]:
			case !g.nodes[to].exists || !g.mutual(name, to):
				f(number[name], number[to], "one-sided")
			case name < to || g.nodes[to].unread != "":
				f(number[name], number[to], "peer")
			}
		}
	}
}

// drawDOT writes a part of a graph for Graphviz.
func drawDOT(c *console, g *graph, part map[string]bool) {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	c.print("digraph pods {\n  node [shape=box];\n")
	for i, name := range g.names {
		if !part[name] {
			continue
		}
		look := ""
		switch n := g.nodes[name]; {
		case !n.exists:
			look = ", style=dashed"
		case n.unread != "":
			look = ", style=bold"
		}
		c.print("  n%d [label=\"%s\"%s];\n", i, escape.Replace(quoteName(name)), look)
	}
	g.edges(part, func(from, to int, kind string) {
		look := map[string]string{
			"child":     "",
			"reclaimed": ` [style=dashed, label="reclaimed"]`,
			"one-sided": ` [style=dotted, label="peer, one-sided", constraint=false]`,
			"peer":      ` [style=dotted, dir=none, constraint=false]`,
		}
		c.print("  n%d -> n%d%s;\n", from, to, look[kind])
	})
	c.print("}\n")
}

// drawMermaid writes a part of a graph for Mermaid.
func drawMermaid(c *console, g *graph, part map[string]bool) {
	escape := strings.NewReplacer("#", "#35;", `"`, "#quot;", "&", "#amp;", "<", "#lt;", ">", "#gt;", "`", "#96;", `\`, "#92;")
	c.print("flowchart TD\n")
	for i, name := range g.names {
		if !part[name] {
			continue
		}
		look := ""
		switch n := g.nodes[name]; {
		case !n.exists:
			look = ":::missing"
		case n.unread != "":
			look = ":::damaged"
		}
		c.print("  n%d[\"%s\"]%s\n", i, escape.Replace(quoteName(name)), look)
	}
	g.edges(part, func(from, to int, kind string) {
		arrow := map[string]string{"child": "-->", "reclaimed": `-. "reclaimed" .->`, "one-sided": `-. "peer, one-sided" .->`, "peer": "-.-"}
		c.print("  n%d %s n%d\n", from, arrow[kind], to)
	})
	c.print("  classDef missing stroke-dasharray: 4 4\n  classDef damaged stroke-width: 4px\n")
}

// treeItem is a Pod of a tree in JSON.
type treeItem struct {
	head
	Pod       string    `json:"pod"`
	Parents   []string  `json:"parents"`
	Children  []refItem `json:"children"`
	Reclaimed []refItem `json:"reclaimed"`
	Peers     []refItem `json:"peers"`
}

// refItem is a reference to a Pod. Only peers have Mutual.
type refItem struct {
	Pod    string `json:"pod"`
	Exists bool   `json:"exists"`
	Mutual *bool  `json:"mutual,omitempty"`
}

// emitGraph writes a part of a graph as JSON, one Pod a line.
func emitGraph(c *console, g *graph, part map[string]bool) {
	var sum treeSummary
	dangling := make(map[string]bool) // a Pod that was reclaimed may well be gone
	refs := func(names []string) []refItem {
		items := make([]refItem, len(names))
		for i, name := range names {
			items[i] = refItem{Pod: name, Exists: g.nodes[name].exists}
		}
		return items
	}
	for _, name := range g.names {
		n := g.nodes[name]
		if !part[name] || !n.exists {
			continue
		}
		sum.Pods++
		switch n.unread {
		case damagedState:
			sum.Damaged++
			continue
		case unreadableState:
			sum.Unreadable++
			continue
		}
		item := treeItem{c.head("pod"), name, append([]string{}, n.parents...), refs(n.children), refs(n.reclaimed), refs(n.peers)}
		for i, p := range n.peers {
			mutual := item.Peers[i].Exists && g.mutual(name, p)
			item.Peers[i].Mutual = &mutual
		}
		for _, ref := range slices.Concat(item.Children, item.Peers) {
			if !ref.Exists {
				dangling[ref.Pod] = true
			}
		}
		c.emit(item)
	}
	sum.Dangling, sum.besidesCounts = len(dangling), g.besides
	c.summary = sum
}
