package main

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"podstore/store"
)

// action is a key's request to the program.
type action int

const (
	nothing action = iota
	quit
	suspend
	reload
	repaint
)

func (m *model) move(by int) {
	m.page().at += by
	m.settle(m.page())
}

// key handles a key, by bubbletea's name for it. text is the text that it types.
func (m *model) key(name, text string) action {
	m.said = ""
	if name == "ctrl+c" {
		return quit
	}
	if m.typing {
		m.typeFilter(name, text)
		return nothing
	}
	switch name {
	case "q":
		return quit
	case "ctrl+z":
		return suspend
	case "ctrl+l":
		return repaint
	case "r":
		if m.live {
			m.said = "changes arrive by themselves"
			return nothing
		}
		m.said = "reading"
		return reload
	case "up", "k":
		m.move(-1)
	case "down", "j":
		m.move(1)
	case "pgup", "ctrl+b":
		m.move(-m.bodyHeight())
	case "pgdown", "ctrl+f":
		m.move(m.bodyHeight())
	case "ctrl+u":
		m.move(-m.bodyHeight() / 2)
	case "ctrl+d":
		m.move(m.bodyHeight() / 2)
	case "home", "g":
		m.move(-m.page().at)
	case "end", "G":
		m.move(m.length(m.page()))
	case "?":
		if m.page().kind != helpPage {
			m.open(helpPage, "")
		}
	case "c":
		if m.page().kind != changesPage {
			m.open(changesPage, "")
		}
	case "esc", "backspace":
		m.back(name == "esc")
	case "enter":
		m.look(detailPage)
	case "H":
		m.look(historyPage)
	case "y":
		m.look(documentPage)
	case "/":
		m.pages, m.typing = m.pages[:1], true
	default:
		if m.page().kind == treePage {
			m.fold(name)
		}
	}
	return nothing
}

// paste handles pasted text.
func (m *model) paste(text string) {
	if m.typing {
		m.setFilter(m.filter + text)
	}
}

func (m *model) typeFilter(name, text string) {
	switch name {
	case "enter":
		m.typing = false
	case "esc":
		m.typing = false
		m.setFilter("")
	case "backspace":
		if m.filter == "" {
			m.typing = false
			break
		}
		_, size := utf8.DecodeLastRuneInString(m.filter)
		m.setFilter(m.filter[:len(m.filter)-size])
	case "ctrl+u":
		m.setFilter("")
	case "ctrl+w":
		rest := strings.TrimRightFunc(m.filter, unicode.IsSpace)
		m.setFilter(rest[:strings.LastIndexFunc(rest, unicode.IsSpace)+1])
	case "up":
		m.move(-1)
	case "down":
		m.move(1)
	case "pgup":
		m.move(-m.bodyHeight())
	case "pgdown":
		m.move(m.bodyHeight())
	default:
		m.setFilter(m.filter + text)
	}
}

func (m *model) setFilter(s string) {
	if len(s) > store.MaxNameLen {
		return
	}
	m.filter = strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, s), "")
	m.arrange()
	if m.selected().context { // it does not match itself
		for i, r := range m.rows {
			if !r.context {
				m.pages[0].at = i
				break
			}
		}
		m.settle(m.pages[0])
	}
}

// back leaves a page, or removes the filter.
func (m *model) back(unfilter bool) {
	switch {
	case len(m.pages) > 1:
		m.pages = m.pages[:len(m.pages)-1]
		m.settle(m.page())
	case unfilter && m.filter != "":
		m.setFilter("")
	}
}

// look opens a page about the Pod on the line of the cursor, or else the Pod of the page.
func (m *model) look(kind pageKind) {
	name, p := m.target(), m.page()
	if name == "" && p.pod != "" && p.kind != kind {
		name = p.pod
	}
	switch {
	case name == "":
	case m.pods.byName[name] == nil:
		m.said = "there is no Pod " + quoted(name)
	case p.pod == name && p.kind == kind:
	case p.pod == name: // replace the page by another one about the same Pod
		p.kind, p.at, p.top = kind, 0, 0
		m.write()
	default:
		m.open(kind, name)
	}
}

func (m *model) open(kind pageKind, pod string) {
	p := &page{kind: kind, pod: pod}
	if len(m.pages) > 100 { // following references in circles must not grow it for ever
		m.pages = append(m.pages[:1], m.pages[2:]...)
	}
	m.pages = append(m.pages, p)
	m.write()
}

// fold handles the keys that open and close parts of the tree.
func (m *model) fold(key string) {
	r := m.selected()
	switch key {
	case "left", "h":
		if r.open && m.filter == "" {
			m.folded[r.name] = true
			break
		}
		for i := m.page().at - 1; i >= 0; i-- {
			if m.rows[i].depth < r.depth {
				m.move(i - m.page().at)
				break
			}
		}
		return
	case "right", "l":
		if r.open {
			m.move(1)
			return
		}
		delete(m.folded, r.name)
	case "space":
		if !r.folds {
			return
		}
		if m.folded[r.name] = !m.folded[r.name]; !m.folded[r.name] {
			delete(m.folded, r.name)
		}
	case "-":
		for _, p := range m.pods.byName {
			if len(p.children) > 0 {
				m.folded[p.name] = true
			}
		}
	case "=", "+":
		clear(m.folded)
	default:
		return
	}
	if m.filter != "" {
		m.said = "a filter shows all matches; esc ends it"
	}
	m.arrange()
}
