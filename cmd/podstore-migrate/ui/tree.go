package main

import (
	"slices"
	"strings"
)

// row is one line of the tree.
type row struct {
	name, parent string // parent is "" at the margin
	depth        int
	note         string // such as that the Pod does not exist
	folds        bool   // there are rows below it
	open         bool   // these are shown
	context      bool   // it does not match the filter, but something below it does
}

// rows returns the tree: the Pods without a parent, and below each Pod its children in their
// order. A Pod with several parents has its children below the first. Pods in folded are
// shown without the rows below. A filter that is not empty shows all Pods that match and
// those that lead to them.
func (ps *pods) rows(folded map[string]bool, filter string) []row {
	shown, matching := ps.matches(filter)
	t := tree{pods: ps, folded: folded, shown: shown, matching: matching,
		drawn: make(map[string]bool, len(ps.byName)), hidden: map[string]bool{}, above: map[string]bool{}}
	t.rows = make([]row, 0, len(ps.byName))
	for _, name := range ps.names {
		if !slices.ContainsFunc(ps.parents[name], func(p string) bool { return p != name }) {
			t.add(name, "", 0)
		}
	}
	for _, name := range ps.names { // the remaining Pods are in cycles, or below them
		if !t.drawn[name] && !t.hidden[name] {
			t.add(name, "", 0)
		}
	}
	return t.rows
}

// matches returns the names that match a filter, and shown, which also has the Pods above
// them. Both are nil without a filter.
func (ps *pods) matches(filter string) (shown, matching map[string]bool) {
	filter = strings.ToLower(filter)
	text, inverted := strings.CutPrefix(filter, "!")
	if text == "" {
		return nil, nil
	}
	shown, matching = map[string]bool{}, map[string]bool{}
	var queue []string
	see := func(name, search string) {
		if strings.Contains(search, text) != inverted {
			matching[name], shown[name] = true, true
			queue = append(queue, name)
		}
	}
	for name, p := range ps.byName {
		see(name, p.search)
	}
	for name := range ps.parents {
		if ps.byName[name] == nil {
			see(name, strings.ToLower(name))
		}
	}
	for len(queue) > 0 {
		name := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, p := range ps.parents[name] {
			if !shown[p] {
				shown[p] = true
				queue = append(queue, p)
			}
		}
	}
	return shown, matching
}

// tree is a tree while it is drawn.
type tree struct {
	*pods
	folded, shown, matching map[string]bool
	drawn                   map[string]bool
	hidden                  map[string]bool // Pods below folded rows
	above                   map[string]bool // Pods above the current row
	rows                    []row
}

func (t *tree) add(name, parent string, depth int) {
	if t.shown != nil && !t.shown[name] {
		t.drawn[name] = true
		return
	}
	p := t.byName[name]
	r := row{name: name, parent: parent, depth: depth, context: t.shown != nil && !t.matching[name]}
	switch {
	case p == nil:
		r.note = "no such Pod"
	case t.above[name]:
		r.note = "cycle"
	case t.drawn[name]:
		r.note = "see above"
	default:
		if p.err != nil {
			r.note = "damaged"
		}
		r.folds = slices.ContainsFunc(p.children, func(c string) bool { return t.shown == nil || t.shown[c] })
		r.open = r.folds && (t.shown != nil || !t.folded[name])
	}
	t.rows = append(t.rows, r)
	if p == nil || r.note != "" && r.note != "damaged" {
		return
	}
	t.drawn[name] = true
	if !r.open {
		t.hide(p)
		return
	}
	t.above[name] = true
	for _, child := range p.children {
		t.add(child, name, depth+1)
	}
	delete(t.above, name)
}

// hide marks the Pods below a folded one, so that they are not drawn at the margin.
func (t *tree) hide(p *pod) {
	for _, child := range p.children {
		if c := t.byName[child]; c != nil && !t.hidden[child] {
			t.hidden[child] = true
			t.hide(c)
		}
	}
}
