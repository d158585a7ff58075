package main

import (
	"fmt"
	"time"

	"podstore/store"
)

// model is the state of the screen: the Pods, the pages and the cursor. It does not use the
// terminal: keys, data and time come in as calls, and screen computes the output.
type model struct {
	place string // the argument of the command line, safe to show
	live  bool   // changes arrive by themselves
	polls bool   // live, by reading all Pods again and again
	pods  *pods
	now   time.Time
	read  time.Time // when data last arrived
	err   error     // why none arrives

	width, height int
	folded        map[string]bool
	filter        string
	typing        bool // the filter is being typed
	rows          []row
	pages         []*page // the first is the tree, the last is shown
	asked         int     // the number of the latest request for a whole Pod
	said          string  // the response to the last key
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

// page is one page of the screen, with a cursor on one of its lines.
type page struct {
	kind pageKind
	pod  string
	at   int // the line of the cursor
	top  int // the first visible line

	lines []line // not used by the tree
	whole *store.Metadata
	err   error // why whole is missing
	ask   int   // the number of the request that is under way, or 0

	// The lines that depend only on whole are cached: there may be many.
	kept      []line
	keptOf    *store.Metadata
	keptKind  pageKind
	keptWidth int
}

// line is one line of a page other than the tree.
type line struct {
	text   string
	target string // the Pod that enter leads to
	look   look
}

// look is the style of a line. It never carries information that the text does not have.
type look int

const (
	plain look = iota
	strong
	faint
	good
	bad
	cursor look = 8 // added to one of these for the line of the cursor
)

func newModel(place string, live bool) *model {
	return &model{place: place, live: live, pods: newPods(), width: 80, height: 24, folded: map[string]bool{}, pages: []*page{{}}}
}

func (m *model) page() *page { return m.pages[len(m.pages)-1] }

// take applies a batch of changes of the store.
func (m *model) take(b store.Batch, now time.Time) {
	m.now, m.read, m.err = now, now, nil
	noted := m.pods.noted
	m.pods.apply(b, now)
	m.arrange()
	for _, p := range m.pages {
		if p.kind == changesPage && p.at > 0 { // new changes come first; the cursor stays on its line
			p.at += m.pods.noted - noted
			p.top += m.pods.noted - noted
		}
	}
	for _, p := range m.pages {
		is := m.pods.byName[p.pod]
		if !m.live || p.pod != "" && (is == nil || is.seen.Equal(now)) {
			p.whole, p.err, p.ask = nil, nil, 0 // so that it is read again
		}
	}
	m.write()
}

// wanted returns the Pod that must be read whole for the shown page, and a number for the
// answer, or 0. It returns each Pod once.
func (m *model) wanted() (pod string, ask int) {
	p := m.page()
	if p.pod == "" || p.whole != nil || p.err != nil || p.ask != 0 || m.pods.byName[p.pod] == nil {
		return "", 0
	}
	m.asked++
	p.ask = m.asked
	return p.pod, p.ask
}

// got takes the answer with a number of wanted. It ignores an answer that is out of date.
func (m *model) got(ask int, whole *store.Metadata, err error) {
	for _, p := range m.pages {
		if p.ask == ask {
			p.whole, p.err, p.ask = whole, err, 0
		}
	}
	m.write()
}

// resize sets the terminal's size.
func (m *model) resize(width, height int) {
	m.width, m.height = max(width, 1), max(height, 1)
	m.write()
}

// arrange computes the rows of the tree. The cursor stays on its Pod.
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
		p.top += same - p.at // the row stays in its place on the screen
		p.at = same
	}
	m.settle(p)
}

// write computes the lines of the pages.
func (m *model) write() {
	for _, p := range m.pages {
		if p.kind != treePage {
			p.lines = m.linesOf(p)
		}
		m.settle(p)
	}
}

// selected is the row of the tree with the cursor.
func (m *model) selected() row {
	if at := m.pages[0].at; at < len(m.rows) {
		return m.rows[at]
	}
	return row{}
}

// target is the Pod on the line of the cursor, or "".
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

// settle moves the cursor onto an existing line, and scrolls so that it is visible.
func (m *model) settle(p *page) {
	n, h := m.length(p), m.bodyHeight()
	p.at = min(max(p.at, 0), max(n-1, 0))
	p.top = min(max(p.top, p.at-h+1, 0), p.at, max(n-h, 0))
	p.top = max(p.top, p.at-h+1, 0)
}

// lateness is the time that a store may be silent beyond store.WatchQuiet before the screen
// counts as out of date.
const lateness = 5 * time.Second

// state says how current the data is.
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

// total is the number of Pods, in words.
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
