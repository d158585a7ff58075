package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"

	"podstore/store"
)

// Sessions proves that a [store.SessionLog] keeps the promises of its interface, one
// subtest for each. open returns an empty log. The suite calls it for each test; open
// registers with t.Cleanup what must be closed. If a log also has a method ReadTraces
// with the form of ReadAll, Sessions proves what the interface says of traces. If it is
// a [store.Follower], Sessions proves that interface too.
//
// The last subtest compares random operations with a model in memory. It prints its
// seed. -storetest.seed repeats a run, -storetest.steps sets its length.
func Sessions(t *testing.T, open func(t *testing.T) store.SessionLog) {
	for _, group := range []struct {
		name  string
		tests []logTest
	}{
		{"Append", logAppendTests},
		{"ReadAll", logReadTests},
		{"ReadFrom", logReadFromTests},
		{"ListSessions", logListSessionsTests},
		{"ListSegments", logListSegmentsTests},
		{"SessionOf", logSessionOfTests},
		{"CreateSegment", logCreateTests},
		{"Exists", logExistsTests},
		{"Truncate", logTruncateTests},
		{"EntryCount", logCountTests},
		{"AppendTrace", logTraceTests},
		{"DeleteSession", logDeleteTests},
		{"SessionModified", logModifiedTests},
		{"Follow", logFollowTests},
		{"Contexts", logContextTests},
		{"Concurrency", logConcurrencyTests},
		{"Random", logRandomTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) {
					test.run(&logSubject{T: t, SessionLog: open(t), ctx: t.Context()})
				})
			}
		})
	}
}

type logTest struct {
	name string
	run  func(s *logSubject)
}

// logSubject is the log under test, with helpers that end the test when they fail.
type logSubject struct {
	*testing.T
	store.SessionLog
	ctx context.Context
}

// traceReader is an ability that a log may have beyond the interface.
type traceReader interface {
	ReadTraces(ctx context.Context, session store.SessionID, segment store.SegmentID) iter.Seq2[json.RawMessage, error]
}

// numbered returns entries that can be told apart, in order.
func numbered(from, to int) []json.RawMessage {
	var out []json.RawMessage
	for i := from; i < to; i++ {
		out = append(out, json.RawMessage(fmt.Sprintf(`{"n":%d}`, i)))
	}
	return out
}

// segment creates a segment of a new session with n numbered entries.
func (s *logSubject) segment(n int) (store.SessionID, store.SegmentID) {
	s.Helper()
	session, segment := store.NewSessionID(), store.NewSegmentID()
	s.create(session, segment, numbered(0, n)...)
	return session, segment
}

func (s *logSubject) create(session store.SessionID, segment store.SegmentID, entries ...json.RawMessage) {
	s.Helper()
	if err := s.CreateSegment(s.ctx, session, segment, entries); err != nil {
		s.Fatal(err)
	}
}

func (s *logSubject) add(session store.SessionID, segment store.SegmentID, entries ...json.RawMessage) {
	s.Helper()
	for _, e := range entries {
		if err := s.Append(s.ctx, session, segment, e); err != nil {
			s.Fatal(err)
		}
	}
}

func (s *logSubject) trace(session store.SessionID, segment store.SegmentID, entries ...json.RawMessage) {
	s.Helper()
	for _, e := range entries {
		if err := s.AppendTrace(s.ctx, session, segment, e); err != nil {
			s.Fatal(err)
		}
	}
}

// collect returns the items of a sequence up to its first error.
func collect(entries iter.Seq2[json.RawMessage, error]) ([]json.RawMessage, error) {
	var out []json.RawMessage
	for e, err := range entries {
		if err != nil {
			return out, err
		}
		out = append(out, e)
	}
	return out, nil
}

func (s *logSubject) read(session store.SessionID, segment store.SegmentID) []json.RawMessage {
	s.Helper()
	entries, err := collect(s.ReadAll(s.ctx, session, segment))
	if err != nil {
		s.Fatal(err)
	}
	return entries
}

// holds checks a segment through every method that shows it.
func (s *logSubject) holds(session store.SessionID, segment store.SegmentID, want ...json.RawMessage) {
	s.Helper()
	s.sameEntries("ReadAll", s.read(session, segment), want)
	if n, err := s.EntryCount(s.ctx, session, segment); err != nil || n != len(want) {
		s.Fatalf("EntryCount is %d, %v for %d entries", n, err, len(want))
	}
	s.exists(session, segment, true)
}

func (s *logSubject) sameEntries(what string, got, want []json.RawMessage) {
	s.Helper()
	if !slices.EqualFunc(got, want, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
		s.Fatalf("%s: got %d entries %.300q\nwant %d entries %.300q", what, len(got), got, len(want), want)
	}
}

// holdsTraces checks the traces, if the log can read them.
func (s *logSubject) holdsTraces(session store.SessionID, segment store.SegmentID, want ...json.RawMessage) {
	s.Helper()
	r, ok := s.SessionLog.(traceReader)
	if !ok {
		return
	}
	got, err := collect(r.ReadTraces(s.ctx, session, segment))
	if err != nil && (len(want) > 0 || !errors.Is(err, store.ErrNotFound)) {
		s.Fatal(err)
	}
	s.sameEntries("ReadTraces", got, want)
}

func (s *logSubject) exists(session store.SessionID, segment store.SegmentID, want bool) {
	s.Helper()
	if got, err := s.Exists(s.ctx, session, segment); err != nil || got != want {
		s.Fatalf("Exists is %v, %v, want %v", got, err, want)
	}
}

// missing checks that every method that needs a segment returns ErrNotFound.
func (s *logSubject) missing(session store.SessionID, segment store.SegmentID) {
	s.Helper()
	s.exists(session, segment, false)
	_, err := collect(s.ReadAll(s.ctx, session, segment))
	s.fails("ReadAll", err, store.ErrNotFound)
	_, err = collect(s.ReadFrom(s.ctx, session, segment, 1))
	s.fails("ReadFrom", err, store.ErrNotFound)
	_, err = s.EntryCount(s.ctx, session, segment)
	s.fails("EntryCount", err, store.ErrNotFound)
	s.fails("Truncate", s.Truncate(s.ctx, session, segment, 0), store.ErrNotFound)
	s.exists(session, segment, false)
}

func (s *logSubject) fails(what string, err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Fatalf("%s: the error is %v, want one that matches %q", what, err, want)
	}
}

func (s *logSubject) sessions(want ...store.SessionID) {
	s.Helper()
	got, err := s.ListSessions(s.ctx)
	if err != nil {
		s.Fatal(err)
	}
	if !slices.Equal(got, want) {
		s.Fatalf("sessions are %v, want %v", got, want)
	}
}

func (s *logSubject) segments(session store.SessionID, want ...store.SegmentID) {
	s.Helper()
	got, err := s.ListSegments(s.ctx, session)
	if err != nil {
		s.Fatal(err)
	}
	if !slices.Equal(got, want) {
		s.Fatalf("segments are %v, want %v", got, want)
	}
}

// inside checks to which session a segment belongs.
func (s *logSubject) inside(segment store.SegmentID, want store.SessionID) {
	s.Helper()
	if got, err := s.SessionOf(s.ctx, segment); err != nil || got != want {
		s.Fatalf("SessionOf is %v, %v, want %v", got, err, want)
	}
}

func (s *logSubject) nowhere(segment store.SegmentID) {
	s.Helper()
	id, err := s.SessionOf(s.ctx, segment)
	s.fails("SessionOf", err, store.ErrNotFound)
	if id != (store.SessionID{}) {
		s.Fatalf("SessionOf returned %v with its error", id)
	}
}
