package storetest

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/google/uuid"

	"podstore/store"
)

var logListSessionsTests = []logTest{
	{"is empty at first", func(s *logSubject) { s.sessions() }},
	{"newest first", func(s *logSubject) {
		var ids []store.SessionID
		for range 20 {
			session, _ := s.segment(1)
			ids = append(ids, session)
		}
		slices.Reverse(ids)
		s.sessions(ids...)
	}},
	{"by descending bytes, whatever the kind of UUID", func(s *logSubject) {
		ids := []store.SessionID{{0xff, 1}, {0xff}, {0x80, 0xff}, {1}, {0, 1}, {}}
		for _, i := range []int{3, 0, 5, 2, 4, 1} {
			s.create(ids[i], store.NewSegmentID())
		}
		s.sessions(ids...)
	}},
	{"each once", func(s *logSubject) {
		session, segment := s.segment(1)
		s.add(session, segment, numbered(1, 2)...)
		s.create(session, store.NewSegmentID())
		s.trace(session, segment, raw(`{}`))
		s.sessions(session)
	}},
}

var logListSegmentsTests = []logTest{
	{"none for a session that does not exist", func(s *logSubject) {
		s.segments(store.NewSessionID())
		s.sessions()
	}},
	{"newest first, of this session alone", func(s *logSubject) {
		session := store.NewSessionID()
		var ids []store.SegmentID
		for range 20 {
			segment := store.NewSegmentID()
			s.create(session, segment)
			s.segment(1)
			ids = append(ids, segment)
		}
		slices.Reverse(ids)
		s.segments(session, ids...)
	}},
	{"traces make no segment", func(s *logSubject) {
		session, segment := s.segment(1)
		s.trace(session, store.NewSegmentID(), raw(`{}`))
		s.segments(session, segment)
	}},
}

var logSessionOfTests = []logTest{
	{"finds the session", func(s *logSubject) {
		want := map[store.SegmentID]store.SessionID{}
		var sessions []store.SessionID
		for range 10 {
			sessions = append(sessions, store.NewSessionID())
		}
		// Old sessions get new segments too, and IDs need not follow time.
		for i := range 50 {
			segment := store.NewSegmentID()
			if i%5 == 0 {
				segment = store.SegmentID(uuid.New())
			}
			s.create(sessions[i*7%10], segment)
			want[segment] = sessions[i*7%10]
		}
		for segment, session := range want {
			s.inside(segment, session)
		}
		s.nowhere(store.NewSegmentID())
		s.nowhere(store.SegmentID{})
		s.nowhere(store.SegmentID(sessions[0]))
	}},
	{"says ErrNotFound in an empty store", func(s *logSubject) { s.nowhere(store.NewSegmentID()) }},
}

var logCreateTests = []logTest{
	{"with entries", func(s *logSubject) {
		var in, want []json.RawMessage
		for _, form := range compactForms {
			in, want = append(in, raw(form.in)), append(want, raw(form.want))
		}
		session, segment := store.NewSessionID(), store.NewSegmentID()
		s.create(session, segment, in...)
		s.holds(session, segment, want...)
		s.inside(segment, session)
	}},
	{"without entries", func(s *logSubject) {
		session, segment := s.segment(0)
		s.holds(session, segment)
		s.segments(session, segment)
		s.add(session, segment, numbered(0, 1)...)
		s.holds(session, segment, numbered(0, 1)...)
	}},
	{"in place of one that exists", func(s *logSubject) {
		session, segment := s.segment(10)
		s.create(session, segment, numbered(20, 23)...)
		s.holds(session, segment, numbered(20, 23)...)
		s.add(session, segment, numbered(23, 24)...)
		s.holds(session, segment, numbered(20, 24)...)
		s.create(session, segment)
		s.holds(session, segment)
		s.segments(session, segment)
	}},
	{"changes nothing if one entry is refused", func(s *logSubject) {
		session, segment := s.segment(2)
		other := store.NewSegmentID()
		for _, bad := range noObjects {
			entries := append(numbered(5, 8), raw(bad))
			s.fails(bad, s.CreateSegment(s.ctx, session, segment, entries), store.ErrInvalid)
			s.fails(bad, s.CreateSegment(s.ctx, session, other, entries), store.ErrInvalid)
		}
		s.holds(session, segment, numbered(0, 2)...)
		s.missing(session, other)
		s.segments(session, segment)
	}},
}

var logExistsTests = []logTest{
	{"says whether a segment exists", func(s *logSubject) {
		session, segment := s.segment(1)
		s.exists(session, segment, true)
		s.exists(session, store.NewSegmentID(), false)
		s.exists(store.NewSessionID(), segment, false)
		s.exists(store.SessionID(segment), store.SegmentID(session), false)
	}},
}

var logTruncateTests = []logTest{
	{"keeps the first entries", func(s *logSubject) {
		for _, keep := range []int{0, 1, 499, 999, 1000} {
			session, segment := s.segment(1000)
			if err := s.Truncate(s.ctx, session, segment, keep); err != nil {
				s.Fatal(err)
			}
			s.holds(session, segment, numbered(0, keep)...)
			s.add(session, segment, raw(`{"after":1}`))
			s.holds(session, segment, append(numbered(0, keep), raw(`{"after":1}`))...)
		}
	}},
	{"keeps all when asked for more", func(s *logSubject) {
		session, segment := s.segment(3)
		for _, keep := range []int{4, 1 << 30, int(^uint(0) >> 1)} {
			if err := s.Truncate(s.ctx, session, segment, keep); err != nil {
				s.Fatal(err)
			}
			s.holds(session, segment, numbered(0, 3)...)
		}
	}},
	{"refuses a negative number", func(s *logSubject) {
		session, segment := s.segment(3)
		s.fails("Truncate", s.Truncate(s.ctx, session, segment, -1), store.ErrInvalid)
		s.holds(session, segment, numbered(0, 3)...)
	}},
	{"says ErrNotFound and creates nothing", func(s *logSubject) {
		session := store.NewSessionID()
		s.missing(session, store.NewSegmentID())
		s.sessions()
	}},
}

var logContextTests = []logTest{
	{"every method checks the context before it starts", func(s *logSubject) {
		session, segment := s.segment(2)
		other := store.NewSegmentID()
		ctx, cancel := context.WithCancel(s.ctx)
		cancel()
		s.fails("Append", s.Append(ctx, session, segment, raw(`{}`)), context.Canceled)
		s.fails("Append", s.Append(ctx, session, other, raw(`{}`)), context.Canceled)
		_, err := collect(s.ReadAll(ctx, session, segment))
		s.fails("ReadAll", err, context.Canceled)
		_, err = s.ListSessions(ctx)
		s.fails("ListSessions", err, context.Canceled)
		_, err = s.ListSegments(ctx, session)
		s.fails("ListSegments", err, context.Canceled)
		_, err = s.SessionOf(ctx, segment)
		s.fails("SessionOf", err, context.Canceled)
		s.fails("CreateSegment", s.CreateSegment(ctx, session, segment, nil), context.Canceled)
		s.fails("CreateSegment", s.CreateSegment(ctx, session, other, nil), context.Canceled)
		_, err = s.Exists(ctx, session, segment)
		s.fails("Exists", err, context.Canceled)
		s.fails("Truncate", s.Truncate(ctx, session, segment, 0), context.Canceled)
		_, err = s.EntryCount(ctx, session, segment)
		s.fails("EntryCount", err, context.Canceled)
		s.fails("AppendTrace", s.AppendTrace(ctx, session, segment, raw(`{}`)), context.Canceled)
		s.fails("DeleteSession", s.DeleteSession(ctx, session), context.Canceled)
		_, err = s.SessionModified(ctx, session)
		s.fails("SessionModified", err, context.Canceled)
		s.holds(session, segment, numbered(0, 2)...)
		s.holdsTraces(session, segment)
		s.missing(session, other)
	}},
}
