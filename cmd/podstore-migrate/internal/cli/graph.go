package cli

import (
	"maps"
	"slices"
	"strings"

	"podstore/store"
)

// graph has the references between the Pods of a database. Every name that a Pod has or
// refers to has a node.
type graph struct {
	nodes map[string]*node
	names []string // all nodes, sorted

	besides besidesCounts
}

type node struct {
	name   string
	exists bool
	unread string // "damaged" or "unreadable" if its references are not known

	children, reclaimed, peers []string // in the order of the Pod's lists, each once
	parents, formerParents     []string // Pods that have it as a child, that reclaimed it; sorted
}

// addUnread adds a Pod that could not be read.
func (g *graph) addUnread(name, state string) {
	n := g.node(name)
	n.exists, n.unread = true, state
}

// addPod adds a Pod.
func (g *graph) addPod(name string, m *store.Metadata) {
	n := g.node(name)
	n.exists = true
	for _, c := range m.Children {
		n.children = addOnce(n.children, c.PodName)
	}
	for _, c := range m.Reclaimed {
		n.reclaimed = addOnce(n.reclaimed, c.PodName)
	}
	for _, p := range m.Peers {
		n.peers = addOnce(n.peers, p.PodName)
	}
}

// finish adds the parents of each Pod, and nodes for names without a Pod.
func (g *graph) finish() {
	for _, name := range slices.Sorted(maps.Keys(g.nodes)) {
		n := g.nodes[name]
		for _, c := range n.children {
			child := g.node(c)
			child.parents = append(child.parents, name)
		}
		for _, c := range n.reclaimed {
			child := g.node(c)
			child.formerParents = append(child.formerParents, name)
		}
		for _, p := range n.peers {
			g.node(p)
		}
	}
	g.names = slices.Sorted(maps.Keys(g.nodes))
}

func (g *graph) node(name string) *node {
	n := g.nodes[name]
	if n == nil {
		n = &node{name: name}
		g.nodes[name] = n
	}
	return n
}

// addOnce keeps lists short enough to search: a Pod has few children and peers,
// but its history of reclaimed ones may be long and repeat itself.
func addOnce(list []string, name string) []string {
	if slices.Contains(list, name) {
		return list
	}
	return append(list, name)
}

// mutual reports whether two Pods are peers of each other, as far as known.
func (g *graph) mutual(a, b string) bool {
	n := g.nodes[b]
	return n.unread != "" || slices.Contains(n.peers, a)
}

// around returns the names of the Pods below one Pod and of those that lead to it.
func (g *graph) around(name string) map[string]bool {
	part := make(map[string]bool)
	follow := func(next func(n *node) []string) {
		seen := make(map[string]bool)
		for queue := []string{name}; len(queue) > 0; queue = queue[1:] {
			if at := queue[0]; !seen[at] {
				seen[at], part[at] = true, true
				queue = append(queue, next(g.nodes[at])...)
			}
		}
	}
	follow(func(n *node) []string { return slices.Concat(n.children, n.reclaimed) })
	follow(func(n *node) []string { return slices.Concat(n.parents, n.formerParents) })
	return part
}

// label is a Pod's name with its notes.
func (g *graph) label(n *node, notes ...string) string {
	switch {
	case !n.exists:
		notes = append(notes, "no such Pod")
	case n.unread != "":
		notes = append(notes, n.unread)
	}
	var peers []string
	for _, p := range n.peers {
		text := quoteName(p)
		switch {
		case !g.nodes[p].exists:
			text += " [no such Pod]"
		case !g.mutual(n.name, p):
			text += " [one-sided]"
		}
		peers = append(peers, text)
	}
	if len(peers) > 0 {
		notes = append(notes, "peers: "+strings.Join(peers, ", "))
	}
	if len(notes) == 0 {
		return quoteName(n.name)
	}
	return quoteName(n.name) + " (" + strings.Join(notes, "; ") + ")"
}
