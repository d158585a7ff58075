package main

import (
	"fmt"
	"strings"
	"time"
)

// justNow is the time for which a row shows its last change.
const justNow = 30 * time.Second

// bodyHeight is the number of lines of the screen without title, header, status and keys.
func (m *model) bodyHeight() int {
	if m.height < 6 {
		return max(1, m.height-2)
	}
	return m.height - 4
}

// screen is the whole screen, a line for each of the terminal's.
func (m *model) screen() []line {
	p := m.page()
	body := m.body(p)
	for len(body) < m.bodyHeight() {
		body = append(body, line{})
	}
	lines := []line{m.title()}
	if m.height >= 6 {
		lines = append(lines, m.header(p))
	}
	lines = append(lines, body...)
	lines = append(lines, m.status())
	if m.height >= 6 {
		lines = append(lines, line{text: m.keys(p), look: faint})
	}
	lines = lines[:min(len(lines), m.height)]
	for i := range lines {
		lines[i].text = cut(lines[i].text, m.width)
	}
	return lines
}

// title shows the current page and the number of Pods.
func (m *model) title() line {
	right := m.total() + "  " + m.state()
	if width(right) > m.width/2 {
		right = m.state()
	}
	crumbs := []string{m.place}
	for _, p := range m.pages[1:] {
		name := quoted(p.pod)
		switch p.kind {
		case changesPage:
			name = "changes"
		case helpPage:
			name = "help"
		case historyPage:
			name += " history"
		case documentPage:
			name += " JSON"
		}
		crumbs = append(crumbs, name)
	}
	room := max(m.width-width(right)-2, 0)
	left := strings.Join(crumbs, " > ")
	for len(crumbs) > 1 && width(left) > room { // the end matters most
		crumbs = crumbs[1:]
		left = "… > " + strings.Join(crumbs, " > ")
	}
	return line{text: pad(left, room) + "  " + right, look: strong}
}

// columns are the columns that fit. They come before the name: terminals disagree about the
// width of some names, so nothing may come after it.
func (m *model) columns(changed, children, peers, active, seen, mark string) string {
	switch {
	case m.width >= 72:
		return padLeft(changed, 7) + " " + padLeft(children, 5) + " " + padLeft(peers, 5) + "  " + pad(active, 7) + " " + pad(seen, 16) + " "
	case m.width >= 50:
		return padLeft(changed, 7) + " " + padLeft(children, 5) + " " + padLeft(peers, 5) + " " + pad(mark, 1) + " "
	case m.width >= 24:
		return padLeft(changed, 7) + " " + pad(mark, 1) + " "
	}
	return ""
}

func (m *model) header(p *page) line {
	if p.kind != treePage {
		return line{}
	}
	return line{text: "  " + m.columns("CHANGED", "CHILD", "PEERS", "ACTIVE", "JUST NOW", "") + "  NAME", look: faint}
}

// body returns the visible lines of a page.
func (m *model) body(p *page) (lines []line) {
	end := min(p.top+m.bodyHeight(), m.length(p))
	for i := p.top; i < end; i++ {
		l := line{}
		if p.kind == treePage {
			l = m.treeLine(m.rows[i])
		} else {
			l = p.lines[i]
		}
		if i == p.at {
			l.text, l.look = "> "+l.text, l.look|cursor
		} else {
			l.text = "  " + l.text
		}
		lines = append(lines, l)
	}
	if len(lines) == 0 {
		switch {
		case !m.pods.synced:
			lines = append(lines, line{text: "  reading", look: faint})
		case m.filter != "":
			lines = append(lines, line{text: "  No Pod matches. esc ends the filter.", look: faint})
		default:
			lines = append(lines, line{text: "  There are no Pods.", look: faint})
		}
	}
	return lines
}

// treeLine is a row of the tree.
func (m *model) treeLine(r row) line {
	p := m.pods.byName[r.name]
	changed, children, peers, active, seen, mark := "", "", "", "", "", ""
	l := line{target: r.name}
	switch {
	case p == nil:
		l.look = bad
	case p.err != nil:
		l.look, mark = bad, "!"
	default:
		changed = age(m.now, p.meta.Version.Changed)
		children, peers = fmt.Sprint(len(p.meta.Children)), fmt.Sprint(len(p.meta.Peers))
		switch a := p.meta.Active; {
		case a == nil:
			active = "-"
		case a.SegmentID == nil:
			active = "pending"
		default:
			active = "yes"
		}
	}
	if p != nil && !p.seen.IsZero() && m.now.Sub(p.seen) < justNow {
		seen = p.what
		if mark == "" {
			mark, l.look = "*", good
			if p.what == "new" {
				mark = "+"
			}
		}
	}
	if r.context {
		l.look = faint
	}
	fold := "  "
	if r.folds {
		if fold = "+ "; r.open {
			fold = "- "
		}
	}
	left := m.columns(changed, children, peers, active, seen, mark)
	note := ""
	if r.note != "" {
		note = " (" + r.note + ")"
	}
	// A deep row shows its depth as a number, to leave room for the name.
	room := m.width - 2 - width(left)
	indent := strings.Repeat("  ", r.depth)
	if len(indent) > room/2 {
		indent = fmt.Sprintf("%d: ", r.depth)
	}
	label := quoted(r.name)
	if p != nil {
		label = p.label
	}
	l.text = left + indent + fold + cut(label, max(room-len(indent)-2-len(note), 1)) + note
	return l
}

// status is the line above the keys: the filter that is typed, a response, an error, or the
// last change.
func (m *model) status() line {
	switch {
	case m.typing:
		return line{text: "/" + escaped(m.filter, 0), look: strong}
	case m.said != "":
		return line{text: m.said, look: strong}
	case m.err != nil:
		return line{text: visible(m.err.Error()), look: bad}
	case m.pods.lost != nil:
		return line{text: visible(m.pods.lost.Error()), look: bad}
	}
	if n := len(m.pods.changes); n > 0 {
		if c := m.pods.changes[n-1]; m.now.Sub(c.at) < justNow {
			return line{text: c.at.Format(time.TimeOnly) + "  " + quoted(c.pod) + ": " + c.what, look: plain}
		}
	}
	if m.filter != "" && m.page().kind == treePage {
		return line{text: "filter: " + escaped(m.filter, 0), look: plain}
	}
	return line{}
}

// keys lists the most important keys of the page, as many as fit.
func (m *model) keys(p *page) string {
	var keys []string
	switch {
	case m.typing:
		keys = []string{"enter keep", "esc end", "up down move"}
	case p.kind == treePage:
		keys = []string{"? help", "q quit", "/ filter", "enter detail", "c changes", "H history", "y JSON", "r reload"}
		if m.live {
			keys = keys[:len(keys)-1]
		}
	default:
		keys = []string{"? help", "q quit", "esc back", "enter Pod", "H history", "y JSON"}
		if p.kind == changesPage || p.kind == helpPage {
			keys = keys[:4]
		}
	}
	text := ""
	for _, k := range keys {
		if next := text + "  " + k; len(next)-2 <= m.width {
			text = next
		}
	}
	return strings.TrimPrefix(text, "  ")
}
