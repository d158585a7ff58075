package main

import (
	"fmt"
	"time"

	"podstore/store"
)

// model is what is shown and where the operator is. It knows no terminal: keys, data
// and time come in as calls, and screen is a function of it.
type model struct {
	place string // what the command line names, fit to be shown
	live  bool   // changes arrive by themselves
	polls bool   // because all is read again and again
	pods  *pods
	now   time.Time
	read  time.Time // when data last arrived
	err   error     // why none does

	width, height int
	folded        map[string]bool
	filter        string
	typing        bool // the filter is being typed
	rows          []row
	pages         []*page // the last is shown, the first is the tree
	asked         int     // the number of the last question for a whole Pod
	said          string  // an answer to the last key
}

type pageKind int

const (
	treePage pageKind = iota
	detailPage
	historyPage
	documentPage
	changesPage
	helpPage
)

// page is something that is looked at, with a cursor on one of its lines.
type page struct {
	kind pageKind
	pod  string
	at   int // the line of the cursor
	top  int // the first line that is seen

	lines []line // but of the tree
	whole *store.Metadata
	err   error // why whole is missing
	ask   int   // it is being read: the number of the question

	// What whole alone decides of lines is kept: it may be long.
	kept      []line
	keptOf    *store.Metadata
	keptKind  pageKind
	keptWidth int
}

// line is one line of a page that is no tree.
type line struct {
	text   string
	target string // the Pod that enter leads to
	look   look
}

// look is how text is shown. Nothing is said by it alone.
type look int

const (
	plain look = iota
	strong
	faint
	good
	bad
	cursor look = 8 // added to one of these: the line on which the cursor is
)

func newModel(place string, live bool) *model {
	return &model{place: place, live: live, pods: newPods(), width: 80, height: 24, folded: map[string]bool{}, pages: []*page{{}}}
}

func (m *model) page() *page { return m.pages[len(m.pages)-1] }

// take takes what changed in the store.
func (m *model) take(b store.Batch, now time.Time) {
	m.now, m.read, m.err = now, now, nil
	noted := m.pods.noted
	m.pods.apply(b, now)
	m.arrange()
	for _, p := range m.pages {
		if p.kind == changesPage && p.at > 0 { // the last is first, and the cursor stays on its line
			p.at += m.pods.noted - noted
			p.top += m.pods.noted - noted
		}
	}
	for _, p := range m.pages {
		is := m.pods.byName[p.pod]
		if !m.live || p.pod != "" && (is == nil || is.seen.Equal(now)) {
			p.whole, p.err, p.ask = nil, nil, 0 // to be read again
		}
	}
	m.write()
}

// wanted is the Pod that is to be read whole for the page that is shown, and a number
// for the answer. It is asked for once.
func (m *model) wanted() (pod string, ask int) {
	p := m.page()
	if p.pod == "" || p.whole != nil || p.err != nil || p.ask != 0 || m.pods.byName[p.pod] == nil {
		return "", 0
	}
	m.asked++
	p.ask = m.asked
	return p.pod, p.ask
}

// got takes the answer for a Pod that was wanted. One that is late is ignored.
func (m *model) got(ask int, whole *store.Metadata, err error) {
	for _, p := range m.pages {
		if p.ask == ask {
			p.whole, p.err, p.ask = whole, err, 0
		}
	}
	m.write()
}

// resize takes the terminal's size.
func (m *model) resize(width, height int) {
	m.width, m.height = max(width, 1), max(height, 1)
	m.write()
}

// arrange makes the rows of the tree anew. The cursor stays on its Pod.
func (m *model) arrange() {
	p := m.pages[0]
	was := m.selected()
	m.rows = m.pods.rows(m.folded, m.filter)
	same := -1
	for i, r := range m.rows {
		if r.name == was.name && (same < 0 || r.parent == was.parent) {
			same = i
			if r.parent == was.parent {
				break
			}
		}
	}
	if same >= 0 {
		p.top += same - p.at // it stays where it is on the screen
		p.at = same
	}
	m.settle(p)
}

// write makes the lines of the pages anew.
func (m *model) write() {
	for _, p := range m.pages {
		if p.kind != treePage {
			p.lines = m.linesOf(p)
		}
		m.settle(p)
	}
}

// selected is the row of the tree on which the cursor is.
func (m *model) selected() row {
	if at := m.pages[0].at; at < len(m.rows) {
		return m.rows[at]
	}
	return row{}
}

// target is the Pod on which the cursor is, or "".
func (m *model) target() string {
	p := m.page()
	switch {
	case p.kind == treePage:
		return m.selected().name
	case p.at < len(p.lines):
		return p.lines[p.at].target
	}
	return ""
}

func (m *model) length(p *page) int {
	if p.kind == treePage {
		return len(m.rows)
	}
	return len(p.lines)
}

// settle brings the cursor onto a line, and the line into sight.
func (m *model) settle(p *page) {
	n, h := m.length(p), m.bodyHeight()
	p.at = min(max(p.at, 0), max(n-1, 0))
	p.top = min(max(p.top, p.at-h+1, 0), p.at, max(n-h, 0))
	p.top = max(p.top, p.at-h+1, 0)
}

// lateness is how much longer than it promises a store may say nothing before what is
// shown counts as old.
const lateness = 5 * time.Second

// state says of when the data is.
func (m *model) state() string {
	switch {
	case m.err != nil && m.read.IsZero():
		return "not connected"
	case m.live && (m.err != nil || !m.polls && m.now.Sub(m.read) > store.WatchQuiet+lateness):
		return "as of " + m.read.Format(time.TimeOnly) + ", not live"
	case !m.pods.synced:
		return "reading"
	case m.live && !m.polls:
		return "live"
	}
	return "as of " + m.read.Format(time.TimeOnly)
}

// total says how many Pods there are.
func (m *model) total() string {
	s := count(len(m.pods.byName), "Pod")
	if m.pods.damaged > 0 {
		s += fmt.Sprintf(", %d damaged", m.pods.damaged)
	}
	if m.pods.lost != nil {
		s += ", some lost"
	}
	return s
}
