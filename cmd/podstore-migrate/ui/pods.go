package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"podstore/store"
)

// pods are the Pods as they were last given, and what leads where.
type pods struct {
	byName  map[string]*pod
	names   []string            // of byName, sorted
	parents map[string][]string // of each name that is a child, whether it exists: who lists it, sorted
	damaged int
	lost    error // Pods have vanished from a damaged store

	synced  bool // a list has been complete
	listing bool // one is not: who is not named until it is, is gone
	changes []change
	noted   int // how many changes there were, forgotten ones included
}

// pod is a Pod. It is not changed once it is among pods, but for listed.
type pod struct {
	name, label string
	search      string          // what a filter looks into
	meta        *store.Metadata // without manifest and history; nil where it is damaged
	err         error
	children    []string // each once
	listed      bool

	seen time.Time // when it was seen to change; zero: not since the first list
	what string    // what changed then
}

// change is something that was seen to change.
type change struct {
	at        time.Time
	pod, what string
}

// keptChanges is how many changes are remembered.
const keptChanges = 1000

func newPods() *pods {
	return &pods{byName: map[string]*pod{}, parents: map[string][]string{}}
}

// apply takes a batch that was received at a time.
func (ps *pods) apply(b store.Batch, now time.Time) {
	if b.Resync || !ps.synced && !ps.listing {
		ps.listing, ps.lost = true, nil
		for _, p := range ps.byName {
			p.listed = false
		}
	}
	names := len(ps.byName)
	fresh := false
	for _, e := range b.Events {
		was := ps.byName[e.Pod]
		if e.Pod == "" {
			ps.lost = e.Err
			continue
		}
		if e.Metadata == nil && e.Err == nil {
			ps.remove(e.Pod, now)
			continue
		}
		fresh = fresh || was == nil
		ps.put(was, newPod(e), now)
	}
	if b.Synced && ps.listing {
		for name, p := range ps.byName {
			if !p.listed {
				ps.remove(name, now)
			}
		}
		ps.listing, ps.synced = false, true
	}
	if fresh || len(ps.byName) != names {
		ps.names = slices.Sorted(maps.Keys(ps.byName))
	}
}

func newPod(e store.Event) *pod {
	p := &pod{name: e.Pod, label: quoted(e.Pod), search: e.Pod, meta: e.Metadata, err: e.Err, listed: true}
	if e.Metadata != nil {
		for _, c := range e.Metadata.Children {
			if !slices.Contains(p.children, c.PodName) {
				p.children = append(p.children, c.PodName)
			}
		}
		if a := e.Metadata.Active; a != nil {
			p.search += "\n" + a.SessionID.String()
			if a.SegmentID != nil {
				p.search += "\n" + a.SegmentID.String()
			}
		}
	}
	p.search = strings.ToLower(p.search)
	return p
}

func (ps *pods) put(was, p *pod, now time.Time) {
	if was != nil {
		p.seen, p.what = was.seen, was.what
		ps.damaged -= btoi(was.err != nil)
	}
	ps.damaged += btoi(p.err != nil)
	if ps.synced {
		if what := difference(was, p); what != "" {
			p.seen, p.what = now, what
			ps.note(change{now, p.name, what})
		}
	}
	ps.byName[p.name] = p
	ps.relink(was, p)
}

func (ps *pods) remove(name string, now time.Time) {
	was := ps.byName[name]
	if was == nil {
		return
	}
	ps.damaged -= btoi(was.err != nil)
	delete(ps.byName, name)
	ps.relink(was, nil)
	if ps.synced {
		ps.note(change{now, name, "deleted"})
	}
}

// relink keeps parents true after a Pod's children changed. Either may be nil.
func (ps *pods) relink(was, is *pod) {
	if was != nil && is != nil && slices.Equal(was.children, is.children) {
		return
	}
	if was != nil {
		for _, child := range was.children {
			list := ps.parents[child]
			if i, ok := slices.BinarySearch(list, was.name); ok {
				list = slices.Delete(list, i, i+1)
			}
			if ps.parents[child] = list; len(list) == 0 {
				delete(ps.parents, child)
			}
		}
	}
	if is != nil {
		for _, child := range is.children {
			list := ps.parents[child]
			if i, ok := slices.BinarySearch(list, is.name); !ok {
				ps.parents[child] = slices.Insert(list, i, is.name)
			}
		}
	}
}

func (ps *pods) note(c change) {
	ps.noted++
	if len(ps.changes) >= 2*keptChanges {
		ps.changes = slices.Clone(ps.changes[len(ps.changes)-keptChanges:])
	}
	ps.changes = append(ps.changes, c)
}

// hasPeer reports whether a Pod names another one as its peer, as far as is known.
func (ps *pods) hasPeer(name, peer string) bool {
	p := ps.byName[name]
	return p != nil && (p.err != nil || slices.Contains(p.meta.Peers, store.Peer{PodName: peer}))
}

// difference says what changed of a Pod, or "".
func difference(was, is *pod) string {
	switch {
	case was == nil:
		return "new"
	case is.err != nil && was.err != nil:
		return ""
	case is.err != nil:
		return "damaged"
	case was.err != nil:
		return "mended"
	}
	a, b := was.meta, is.meta
	var parts []string
	switch from, to := a.Active, b.Active; {
	case from == nil && to == nil:
	case from == nil:
		parts = append(parts, "active")
	case to == nil:
		parts = append(parts, "not active")
	case from.SessionID != to.SessionID:
		parts = append(parts, "session")
	case (from.SegmentID == nil) != (to.SegmentID == nil) || from.SegmentID != nil && *from.SegmentID != *to.SegmentID:
		parts = append(parts, "segment")
	}
	peers := func(m *store.Metadata) (names []string) {
		for _, p := range m.Peers {
			names = append(names, p.PodName)
		}
		return names
	}
	parts = append(parts, listed("child", was.children, is.children)...)
	if len(parts) == 0 && !slices.EqualFunc(a.Children, b.Children, func(x, y store.SpawnedChild) bool {
		return x.PodName == y.PodName && x.SocketPath == y.SocketPath && x.CallbackAddress == y.CallbackAddress &&
			slices.Equal(x.ScopeDelegated, y.ScopeDelegated)
	}) {
		parts = append(parts, "child")
	}
	parts = append(parts, listed("peer", peers(a), peers(b))...)
	if !maps.EqualFunc(a.Extra, b.Extra, func(x, y json.RawMessage) bool { return bytes.Equal(x, y) }) {
		parts = append(parts, "field")
	}
	if len(parts) == 0 && a.Version.Revision != b.Version.Revision {
		parts = append(parts, "manifest/history") // which are not watched
	}
	return strings.Join(parts, ", ")
}

// listed says how many names came to a list and went.
func listed(noun string, was, is []string) (parts []string) {
	count := func(in, not []string) (n int) {
		there := make(map[string]bool, len(not))
		for _, name := range not {
			there[name] = true
		}
		for _, name := range in {
			n += btoi(!there[name])
		}
		return n
	}
	if n := count(is, was); n > 0 {
		parts = append(parts, fmt.Sprintf("%s +%d", noun, n))
	}
	if n := count(was, is); n > 0 {
		parts = append(parts, fmt.Sprintf("%s -%d", noun, n))
	}
	return parts
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// row is one line of the tree.
type row struct {
	name, parent string // parent is "" at the margin
	depth        int
	note         string // what is to be said of it, such as that it does not exist
	folds        bool   // there is something below it
	open         bool   // that is shown
	context      bool   // it does not match the filter, but something below it does
}

// rows are the tree: who has no parent, and below each its children in their order. A
// Pod with several parents has its own children below the first. Names in folded are
// shown without what is below. Of a filter that is not empty, all that matches is
// shown, and what leads to it.
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
	for _, name := range ps.names { // what is left is in a cycle, or below one
		if !t.drawn[name] && !t.hidden[name] {
			t.add(name, "", 0)
		}
	}
	return t.rows
}

// matches are the names that match a filter, and those together with what is above
// them; nil where all do.
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
	hidden                  map[string]bool // what is below folded rows
	above                   map[string]bool // what leads to the row that is drawn
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

// hide remembers what is below a folded Pod, so that it is not left over for the
// margin.
func (t *tree) hide(p *pod) {
	for _, child := range p.children {
		if c := t.byName[child]; c != nil && !t.hidden[child] {
			t.hidden[child] = true
			t.hide(c)
		}
	}
}
