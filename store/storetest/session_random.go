package storetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"podstore/store"
)

var logRandomTests = []logTest{{"operations agree with the model", func(s *logSubject) {
	r := &randomLog{logSubject: s, Rand: newRandom(s.T), logs: map[place][]json.RawMessage{}, traces: map[place][]json.RawMessage{}}
	for range 4 {
		r.sessionIDs = append(r.sessionIDs, store.NewSessionID())
	}
	for range 12 {
		r.segmentIDs = append(r.segmentIDs, store.NewSegmentID())
	}
	for range steps() {
		r.step()
	}
	r.compareAll()
}}}

// place is one segment. In this run a segment ID belongs to one session only, as the
// interface asks.
type place struct {
	session store.SessionID
	segment store.SegmentID
}

// randomLog makes random operations on a log and on a model of it.
type randomLog struct {
	*logSubject
	*rand.Rand
	sessionIDs   []store.SessionID
	segmentIDs   []store.SegmentID
	logs, traces map[place][]json.RawMessage
	last         string // the last operation, for messages
}

func (r *randomLog) step() {
	i := r.IntN(len(r.segmentIDs))
	at := place{r.sessionIDs[i%len(r.sessionIDs)], r.segmentIDs[i]}
	log, exists := r.logs[at]
	switch r.IntN(20) {
	case 0, 1:
		entries, want, good := r.entries()
		r.last = fmt.Sprintf("CreateSegment %d with %d entries", i, len(entries))
		if err := r.CreateSegment(r.ctx, at.session, at.segment, entries); r.agree(err, good, store.ErrInvalid) {
			r.logs[at] = want
		}
	case 2, 3:
		keep := r.IntN(len(log)+3) - 1
		r.last = fmt.Sprintf("Truncate %d of %d to %d", i, len(log), keep)
		err := r.Truncate(r.ctx, at.session, at.segment, keep)
		switch {
		case keep < 0:
			r.agree(err, false, store.ErrInvalid)
		case r.agree(err, exists, store.ErrNotFound):
			r.logs[at] = log[:min(keep, len(log))]
		}
	case 4, 5:
		entry, want, good := r.entry()
		r.last = fmt.Sprintf("AppendTrace %d %.200q", i, entry)
		if r.agree(r.AppendTrace(r.ctx, at.session, at.segment, entry), good, store.ErrInvalid) {
			r.traces[at] = append(slices.Clip(r.traces[at]), want)
		}
	case 10:
		if r.IntN(4) > 0 { // seldom, so that sessions grow
			return
		}
		r.last = fmt.Sprintf("DeleteSession %d", i%len(r.sessionIDs))
		r.agree(r.DeleteSession(r.ctx, at.session), true, nil)
		for _, m := range []map[place][]json.RawMessage{r.logs, r.traces} {
			maps.DeleteFunc(m, func(p place, _ []json.RawMessage) bool { return p.session == at.session })
		}
	case 6:
		r.last = "compare all"
		r.compareAll()
	case 7, 8, 9:
		r.last = fmt.Sprintf("compare %d", i)
		r.compare(at)
	default:
		entry, want, good := r.entry()
		r.last = fmt.Sprintf("Append %d %.200q", i, entry)
		if r.agree(r.Append(r.ctx, at.session, at.segment, entry), good, store.ErrInvalid) {
			r.logs[at] = append(slices.Clip(log), want)
		}
	}
}

// agree compares an outcome with the model's and reports whether it was a success.
func (r *randomLog) agree(err error, good bool, otherwise error) bool {
	r.Helper()
	if good && err != nil || !good && !errors.Is(err, otherwise) {
		r.Fatalf("%s: the error is %v; should it succeed: %v", r.last, err, good)
	}
	return good
}

func (r *randomLog) compare(at place) {
	r.Helper()
	if log, ok := r.logs[at]; ok {
		r.holds(at.session, at.segment, log...)
		r.inside(at.segment, at.session)
		from := r.IntN(len(log) + 2)
		got, err := collect(r.ReadFrom(r.ctx, at.session, at.segment, from))
		r.agree(err, true, nil)
		r.sameEntries(r.last+", ReadFrom", got, log[min(from, len(log)):])
	} else {
		r.missing(at.session, at.segment)
		r.nowhere(at.segment)
	}
	r.holdsTraces(at.session, at.segment, r.traces[at]...)
}

func (r *randomLog) compareAll() {
	r.Helper()
	listed := map[store.SessionID][]store.SegmentID{}
	for i, segment := range r.segmentIDs {
		at := place{r.sessionIDs[i%len(r.sessionIDs)], segment}
		r.compare(at)
		if _, ok := r.logs[at]; ok {
			listed[at.session] = append(listed[at.session], segment)
		}
	}
	got, err := r.ListSessions(r.ctx)
	if err != nil {
		r.Fatal(err)
	}
	if !slices.IsSortedFunc(got, func(a, b store.SessionID) int { return bytes.Compare(b[:], a[:]) }) {
		r.Fatalf("%s: sessions are not in order: %v", r.last, got)
	}
	for session := range maps.Keys(listed) {
		if !slices.Contains(got, session) {
			r.Fatalf("%s: session %v is not listed", r.last, session)
		}
	}
	for _, session := range r.sessionIDs {
		want := listed[session] // they were made in order of time
		slices.Reverse(want)
		r.segments(session, want...)
	}
}

// entries draws up to ten entries, one of them perhaps bad.
func (r *randomLog) entries() (in, want []json.RawMessage, good bool) {
	good = true
	for range r.IntN(11) {
		entry, compact, ok := r.entry()
		in, want = append(in, entry), append(want, compact)
		good = good && ok
	}
	return in, want, good
}

// entry draws an entry. It returns it, its compact form, and whether it is valid.
func (r *randomLog) entry() (in, want json.RawMessage, good bool) {
	switch r.IntN(20) {
	case 0:
		return raw(noObjects[r.IntN(len(noObjects))]), nil, false
	case 1, 2:
		form := compactForms[r.IntN(len(compactForms))]
		return raw(form.in), raw(form.want), true
	case 3:
		// About as long as a reader's buffer, where faults are likely.
		size := 1<<(12+r.IntN(6)) - 12 + r.IntN(24)
		e := raw(`{"s":"` + strings.Repeat("x", size) + `"}`)
		return e, e, true
	}
	text, err := json.Marshal(strings.Repeat(string(rune(r.IntN(0xd7ff)+1)), r.IntN(40)))
	if err != nil {
		r.Fatal(err)
	}
	n := r.Uint64() >> r.IntN(64)
	return raw(fmt.Sprintf("{\"n\": %d,\n\"s\":%s }", n, text)), raw(fmt.Sprintf(`{"n":%d,"s":%s}`, n, text)), true
}
