package storetest

import (
	"fmt"
	"sync/atomic"
	"time"

	"podstore/store"
)

func (s *logSubject) delete(session store.SessionID) {
	s.Helper()
	if err := s.DeleteSession(s.ctx, session); err != nil {
		s.Fatal(err)
	}
}

var logDeleteTests = []logTest{
	{"removes segments and traces", func(s *logSubject) {
		session, one := s.segment(3)
		two, traced := store.NewSegmentID(), store.NewSegmentID()
		s.add(session, two, numbered(0, 1)...)
		s.trace(session, one, raw(`{"t":1}`))
		s.trace(session, traced, raw(`{"t":2}`))
		s.delete(session)
		for _, segment := range []store.SegmentID{one, two, traced} {
			s.missing(session, segment)
			s.nowhere(segment)
			s.holdsTraces(session, segment)
		}
		s.segments(session)
		s.sessions()
	}},
	{"removes one that has traces only", func(s *logSubject) {
		session, segment := store.NewSessionID(), store.NewSegmentID()
		s.trace(session, segment, raw(`{"t":1}`))
		s.delete(session)
		s.holdsTraces(session, segment)
		s.sessions()
	}},
	{"leaves other sessions alone", func(s *logSubject) {
		first, one := s.segment(2)
		session, segment := s.segment(2)
		last, two := s.segment(2)
		// Segment IDs should be unique, but nothing enforces it.
		s.create(last, segment, numbered(5, 6)...)
		s.delete(session)
		s.holds(first, one, numbered(0, 2)...)
		s.holds(last, two, numbered(0, 2)...)
		s.holds(last, segment, numbered(5, 6)...)
		s.inside(segment, last)
		s.sessions(last, first)
	}},
	{"a session that does not exist is a success", func(s *logSubject) {
		session, segment := s.segment(1)
		s.delete(store.NewSessionID())
		s.holds(session, segment, numbered(0, 1)...)
		s.delete(session)
		s.delete(session)
		s.sessions()
	}},
	{"what is appended later makes the session anew", func(s *logSubject) {
		session, segment := s.segment(3)
		s.add(session, segment, numbered(3, 4)...)
		s.trace(session, segment, raw(`{"t":1}`))
		for n := range 3 {
			s.delete(session)
			s.add(session, segment, numbered(n, n+1)...)
			s.add(session, segment, numbered(n+1, n+2)...)
			s.holds(session, segment, numbered(n, n+2)...)
			s.holdsTraces(session, segment)
			s.sessions(session)
		}
	}},
	{"a loop over entries goes on", func(s *logSubject) {
		const entries = 20_000
		session, segment := s.segment(entries)
		n := 0
		for e, err := range s.ReadAll(s.ctx, session, segment) {
			if err != nil {
				s.Fatal(err)
			}
			if n == 0 {
				s.delete(session)
			}
			if want := numbered(n, n+1)[0]; string(e) != string(want) {
				s.Fatalf("entry %d is %s", n, e)
			}
			n++
		}
		if n != entries {
			s.Fatalf("it yielded %d entries, not %d", n, entries)
		}
	}},
	{"beside appends, a session is there whole or not at all", func(s *logSubject) {
		// Each writer counts up in a segment of its own. The segment must hold an
		// unbroken run up to its last append, because a deletion takes everything
		// before it.
		session := store.NewSessionID()
		var segments []store.SegmentID
		for range 3 {
			segments = append(segments, store.NewSegmentID())
		}
		var done atomic.Int32
		s.together(4, func(w int) error {
			if w == 3 {
				for done.Load() < 3 {
					if err := s.DeleteSession(s.ctx, session); err != nil {
						return err
					}
				}
				return nil
			}
			defer done.Add(1)
			for i := range appendsEach {
				if err := s.Append(s.ctx, session, segments[w], raw(fmt.Sprintf(`{"n":%d}`, i))); err != nil {
					return err
				}
				entries, err := collect(s.ReadFrom(s.ctx, session, segments[w], 0))
				if err != nil {
					continue // it was deleted since
				}
				first := i + 1 - len(entries)
				for k, e := range entries {
					if want := fmt.Sprintf(`{"n":%d}`, first+k); string(e) != want {
						return fmt.Errorf("entry %d of %d is %s, want %s", k, len(entries), e, want)
					}
				}
			}
			return nil
		})
		s.delete(session)
		s.sessions()
		s.add(session, segments[0], numbered(0, 2)...)
		s.holds(session, segments[0], numbered(0, 2)...)
	}},
}

// clockStep is longer than the step of any clock that a log uses.
const clockStep = 20 * time.Millisecond

var logModifiedTests = []logTest{
	{"each change moves it on, reading does not", func(s *logSubject) {
		session, segment := s.segment(3)
		other, otherSegment := s.segment(1)
		modified := func(of store.SessionID) time.Time {
			s.Helper()
			at, err := s.SessionModified(s.ctx, of)
			if err != nil {
				s.Fatal(err)
			}
			return at
		}
		last, unmoved := modified(session), modified(other)
		for _, change := range []struct {
			name string
			do   func() error
		}{
			{"Append", func() error { return s.Append(s.ctx, session, segment, raw(`{}`)) }},
			{"Append to a new segment", func() error { return s.Append(s.ctx, session, store.NewSegmentID(), raw(`{}`)) }},
			{"AppendTrace", func() error { return s.AppendTrace(s.ctx, session, segment, raw(`{}`)) }},
			{"a second AppendTrace", func() error { return s.AppendTrace(s.ctx, session, segment, raw(`{}`)) }},
			{"Truncate", func() error { return s.Truncate(s.ctx, session, segment, 1) }},
			{"CreateSegment", func() error { return s.CreateSegment(s.ctx, session, segment, nil) }},
			{"CreateSegment of a new one", func() error { return s.CreateSegment(s.ctx, session, store.NewSegmentID(), nil) }},
		} {
			time.Sleep(clockStep)
			if err := change.do(); err != nil {
				s.Fatal(err)
			}
			now := modified(session)
			if !now.After(last) {
				s.Errorf("%s: it was changed at %v, and before that at %v", change.name, now, last)
			}
			last = now
		}
		time.Sleep(clockStep)
		s.holds(session, segment)
		s.holdsTraces(session, segment, raw(`{}`), raw(`{}`))
		s.inside(segment, session)
		if now := modified(session); !now.Equal(last) {
			s.Errorf("reading moved it from %v to %v", last, now)
		}
		s.holds(other, otherSegment, numbered(0, 1)...)
		if now := modified(other); !now.Equal(unmoved) {
			s.Errorf("changes of another session moved it from %v to %v", unmoved, now)
		}
	}},
	{"says ErrNotFound for a session that does not exist", func(s *logSubject) {
		session, _ := s.segment(1)
		for _, id := range []store.SessionID{store.NewSessionID(), session} {
			if id == session {
				s.delete(session)
			}
			at, err := s.SessionModified(s.ctx, id)
			s.fails("SessionModified", err, store.ErrNotFound)
			if !at.IsZero() {
				s.Errorf("it gave %v with its error", at)
			}
		}
	}},
	{"begins anew with a session that is made anew", func(s *logSubject) {
		session, segment := s.segment(1)
		before, err := s.SessionModified(s.ctx, session)
		if err != nil {
			s.Fatal(err)
		}
		s.delete(session)
		time.Sleep(clockStep)
		s.add(session, segment, raw(`{}`))
		if after, err := s.SessionModified(s.ctx, session); err != nil || !after.After(before) {
			s.Errorf("it is %v, %v, and was %v before it was deleted", after, err, before)
		}
	}},
}
