package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"podstore/store"
	"podstore/store/podjson"
)

// maxDocument bounds the part of a document that is shown, in bytes: the command show prints
// all of it.
const maxDocument = 1 << 20

// text collects the lines of a page.
type text struct {
	lines []line
	width int
}

// add writes a line, wrapped if it is long.
func (t *text) add(l line) {
	indent := l.text[:len(l.text)-len(strings.TrimLeft(l.text, " "))]
	if len(indent) > t.width/2 {
		indent = indent[:t.width/2]
	}
	for i, part := range wrap(l.text, t.width) {
		if i > 0 && indent != "" {
			for _, part := range wrap(strings.Join(wrap(l.text, t.width)[1:], ""), t.width-len(indent)) {
				t.lines = append(t.lines, line{indent + part, l.target, l.look})
			}
			return
		}
		t.lines = append(t.lines, line{part, l.target, l.look})
	}
}

func (t *text) addf(look look, format string, args ...any) {
	t.add(line{text: fmt.Sprintf(format, args...), look: look})
}

// linesOf returns the lines of a page.
func (m *model) linesOf(p *page) []line {
	t := &text{width: max(m.width-2, 8)}
	switch {
	case p.kind == changesPage:
		m.writeChanges(t)
	case p.kind == helpPage:
		m.writeHelp(t)
	case m.pods.byName[p.pod] == nil:
		t.addf(bad, "There is no Pod %s any more.", quoted(p.pod))
	case p.kind == detailPage:
		m.writeDetail(t, p)
	case p.whole == nil:
		m.writeMissing(t, p)
	default:
		return m.keptLines(p, t.width)
	}
	return t.lines
}

// keptLines returns the lines that depend only on a Pod's whole metadata, from the cache.
func (m *model) keptLines(p *page, width int) []line {
	if p.keptOf == p.whole && p.keptKind == p.kind && p.keptWidth == width {
		return p.kept
	}
	t := &text{width: width}
	switch p.kind {
	case historyPage:
		m.writeHistory(t, p)
	case documentPage:
		writeJSON(t, podjson.Append(nil, p.whole), "")
	default:
		writeValues(t, p.whole)
	}
	p.kept, p.keptOf, p.keptKind, p.keptWidth = t.lines, p.whole, p.kind, width
	return p.kept
}

// writeMissing writes why a Pod's whole metadata is missing.
func (m *model) writeMissing(t *text, p *page) {
	if p.err == nil {
		t.addf(faint, "reading")
		return
	}
	t.addf(bad, "%s", visible(p.err.Error()))
	if errors.Is(p.err, store.ErrCorrupt) {
		t.addf(plain, "check lists all damage, salvage copies what is whole.")
	}
}

func (m *model) writeDetail(t *text, p *page) {
	is := m.pods.byName[p.pod]
	t.add(line{text: is.label, look: strong})
	if is.err != nil {
		t.addf(bad, "%s", visible(is.err.Error()))
		t.addf(plain, "check lists all damage, salvage copies what is whole.")
		m.writeParents(t, p.pod)
		return
	}
	d := is.meta
	switch a := d.Active; {
	case a == nil:
		t.addf(plain, "Active    no")
	case a.SegmentID == nil:
		t.addf(plain, "Session   %s", a.SessionID)
		t.addf(plain, "Segment   pending")
	default:
		t.addf(plain, "Session   %s", a.SessionID)
		t.addf(plain, "Segment   %s", a.SegmentID)
	}
	t.addf(plain, "Created   %s", moment(d.Version.Created))
	t.addf(plain, "Changed   %s", moment(d.Version.Changed))
	if !d.Version.Revision.IsZero() {
		t.addf(plain, "Revision  %s", d.Version.Revision)
	}
	if is.what != "" {
		t.addf(good, "Seen      %s at %s", is.what, is.seen.Format(time.TimeOnly))
	}
	m.writeParents(t, p.pod)
	t.addf(strong, "Children  %d", len(d.Children))
	for _, c := range d.Children {
		m.writeName(t, c.PodName, "")
		if c.SocketPath != "" {
			t.addf(plain, "      socket    %s", visible(c.SocketPath))
		}
		if c.CallbackAddress != "" {
			t.addf(plain, "      callback  %s", visible(c.CallbackAddress))
		}
		writeScope(t, c.ScopeDelegated)
	}
	t.addf(strong, "Peers     %d", len(d.Peers))
	for _, peer := range d.Peers {
		note := ""
		if !m.pods.hasPeer(peer.PodName, p.pod) {
			note = "one-sided"
		}
		m.writeName(t, peer.PodName, note)
	}
	if p.whole == nil {
		t.addf(strong, "History, manifest")
		m.writeMissing(t, p)
		return
	}
	t.lines = append(t.lines, m.keptLines(p, t.width)...)
}

// writeValues writes the history, the manifest and the unknown fields of a Pod.
func writeValues(t *text, whole *store.Metadata) {
	hint := ""
	if len(whole.Reclaimed) > 0 {
		hint = ": H shows them"
	}
	t.addf(strong, "History   %d reclaimed%s", len(whole.Reclaimed), hint)
	for _, k := range slices.Sorted(maps.Keys(whole.Extra)) {
		t.addf(strong, "Field     %s", quoted(k))
		writeJSON(t, whole.Extra[k], "  ")
	}
	if whole.Manifest == nil {
		t.addf(strong, "Manifest  none")
		return
	}
	t.addf(strong, "Manifest  %s", count(len(whole.Manifest), "byte"))
	writeJSON(t, whole.Manifest, "  ")
}

func (m *model) writeParents(t *text, pod string) {
	parents := m.pods.parents[pod]
	t.addf(strong, "Parents   %d", len(parents))
	for _, name := range parents {
		m.writeName(t, name, "")
	}
}

// writeName writes a reference to a Pod. Enter on the line opens that Pod.
func (m *model) writeName(t *text, name, note string) {
	l := line{text: "  " + quoted(name), target: name}
	if m.pods.byName[name] == nil {
		note = "no such Pod"
	}
	if note != "" {
		l.text, l.look = l.text+" ("+note+")", bad
	}
	t.add(l)
}

func writeScope(t *text, scope []store.ScopeRule) {
	for _, r := range scope {
		how := ""
		if r.Recursive {
			how = " and below"
		}
		t.addf(plain, "      scope     %s %s%s", visible(r.Permission), visible(r.Target), how)
	}
}

// writeHistory writes a Pod's reclaimed children, the last first.
func (m *model) writeHistory(t *text, p *page) {
	n := len(p.whole.Reclaimed)
	t.addf(strong, "%s reclaimed %s, the last first", quoted(p.pod), count(n, "time"))
	for _, c := range slices.Backward(p.whole.Reclaimed) {
		l := line{text: "  " + quoted(c.PodName), target: c.PodName}
		if m.pods.byName[c.PodName] == nil {
			l.text, l.look = l.text+" (gone)", faint
		}
		t.add(l)
		writeScope(t, c.ScopeDelegated)
	}
}

// writeChanges writes the changes, the last first.
func (m *model) writeChanges(t *text) {
	changes := m.pods.changes[max(0, len(m.pods.changes)-keptChanges):]
	switch {
	case len(changes) > 0:
	case m.live:
		t.addf(plain, "Nothing has changed since this began.")
	default:
		t.addf(plain, "Nothing changed between the reads; r reads it again.")
	}
	for _, c := range slices.Backward(changes) {
		l := line{text: c.at.Format(time.TimeOnly) + "  " + quoted(c.pod) + ": " + c.what, target: c.pod}
		switch c.what {
		case "new", "mended":
			l.look = good
		case "deleted", "damaged":
			l.look = bad
		}
		t.add(l)
	}
}

func (m *model) writeHelp(t *text) {
	for _, h := range help {
		switch {
		case h.text == "":
			t.addf(strong, "%s", h.keys)
		case t.width < 60:
			t.addf(plain, "  %s", h.keys)
			t.addf(plain, "      %s", h.text)
		default:
			t.addf(plain, "  %s%s", pad(h.keys, 26), h.text)
		}
	}
}

// help has titles, and keys with their meaning.
var help = []struct{ keys, text string }{
	{"Moving", ""},
	{"up k, down j", "one line"},
	{"pgup ctrl-b, pgdn ctrl-f", "a screen"},
	{"ctrl-u, ctrl-d", "half a screen"},
	{"home g, end G", "the first line, the last"},
	{"left h", "close what is below, or go to the parent"},
	{"right l", "open it, or go to the first child"},
	{"space", "open or close"},
	{"- =", "close all, open all"},
	{"Looking", ""},
	{"enter", "the Pod on the line: parents, children, peers"},
	{"y", "the Pod as JSON"},
	{"H", "its history: what it reclaimed"},
	{"c", "what changed since this began"},
	{"/", "only Pods whose name or session has this text"},
	{"/!", "only Pods whose name and session do not have it"},
	{"r", "read a file again"},
	{"esc", "go back; at the tree, end the filter"},
	{"q, ctrl-c", "quit; ctrl-z suspends"},
	{"The tree", ""},
	{"-, +", "what is below is open, closed"},
	{"peer +1, new, *, +", "seen to change just now"},
	{"(see above)", "it has several parents, and stands below another"},
	{"(no such Pod)", "only its parent knows of it"},
	{"Ui reads only. It changes nothing.", ""},
}

// writeJSON writes a JSON value on lines.
func writeJSON(t *text, value []byte, indent string) {
	var b bytes.Buffer
	if len(value) > maxDocument || json.Indent(&b, value, "", "  ") != nil {
		b.Reset()
		b.Write(value[:min(len(value), maxDocument)])
	}
	for l := range strings.Lines(b.String()) {
		t.add(line{text: indent + escaped(strings.TrimSuffix(l, "\n"), 0)})
	}
	if len(value) > maxDocument {
		t.addf(faint, "%s(only the beginning: show prints all)", indent)
	}
}

// moment is a time in UTC, or "unknown".
func moment(t time.Time) string {
	if t.IsZero() {
		return "unknown"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}
