package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"podstore/store"
)

// With these sizes a lost or torn entry is likely to show, and a log that syncs each
// append stays quick.
const (
	appenders   = 8
	appendsEach = 60
)

// together runs f(0) to f(n-1) at the same time and fails the test with their errors.
func (s *logSubject) together(n int, f func(i int) error) {
	s.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		s.Fatal(err)
	}
}

// signed returns the i-th entry of a writer. Its length depends on both.
func signed(writer, i int) json.RawMessage {
	return raw(fmt.Sprintf(`{"writer":%d,"i":%d,"pad":"%0*d"}`, writer, i, (writer*37+i*101)%900, 0))
}

// inOrder checks that entries are whole and that those of each writer are in order,
// without gaps. It returns the number of entries of each writer.
func inOrder(entries []json.RawMessage) (map[int]int, error) {
	next := map[int]int{}
	for n, e := range entries {
		var at struct{ Writer, I int }
		if err := json.Unmarshal(e, &at); err != nil {
			return nil, fmt.Errorf("entry %d, %q: %w", n, e, err)
		}
		if want := signed(at.Writer, next[at.Writer]); string(e) != string(want) {
			return nil, fmt.Errorf("entry %d is %s, want %s", n, e, want)
		}
		next[at.Writer]++
	}
	return next, nil
}

// allOf checks that all entries of n writers are there.
func (s *logSubject) allOf(entries []json.RawMessage, n int) {
	s.Helper()
	next, err := inOrder(entries)
	if err != nil {
		s.Fatal(err)
	}
	for w := range n {
		if next[w] != appendsEach {
			s.Fatalf("%d entries of writer %d, want %d", next[w], w, appendsEach)
		}
	}
	if len(entries) != n*appendsEach {
		s.Fatalf("%d entries, want %d", len(entries), n*appendsEach)
	}
}

var logConcurrencyTests = []logTest{
	{"entries of several writers are whole and in each one's order", func(s *logSubject) {
		session, segment := store.NewSessionID(), store.NewSegmentID()
		s.together(appenders, func(w int) error {
			for i := range appendsEach {
				if err := s.Append(s.ctx, session, segment, signed(w, i)); err != nil {
					return err
				}
			}
			return nil
		})
		s.allOf(s.read(session, segment), appenders)
	}},
	{"writers of several segments and of traces do not mix", func(s *logSubject) {
		sessions := []store.SessionID{store.NewSessionID(), store.NewSessionID()}
		segments := []store.SegmentID{store.NewSegmentID(), store.NewSegmentID(), store.NewSegmentID(), store.NewSegmentID()}
		s.together(appenders, func(w int) error {
			for i := range appendsEach {
				session, segment := sessions[w%2], segments[w%4]
				if err := s.Append(s.ctx, session, segment, signed(w/4, i)); err != nil {
					return err
				}
				if err := s.AppendTrace(s.ctx, session, segment, signed(w/4, i)); err != nil {
					return err
				}
			}
			return nil
		})
		for i, segment := range segments {
			s.allOf(s.read(sessions[i%2], segment), appenders/4)
			if r, ok := s.SessionLog.(traceReader); ok {
				traces, err := collect(r.ReadTraces(s.ctx, sessions[i%2], segment))
				if err != nil {
					s.Fatal(err)
				}
				s.allOf(traces, appenders/4)
			}
		}
	}},
	{"readers see whole entries, and never fewer than before", func(s *logSubject) {
		session, segment := store.NewSessionID(), store.NewSegmentID()
		s.create(session, segment)
		var done atomic.Int32
		s.together(4, func(w int) error {
			if w < 2 {
				defer done.Add(1)
				for i := range appendsEach {
					if err := s.Append(s.ctx, session, segment, signed(w, i)); err != nil {
						return err
					}
				}
				return nil
			}
			for seen := 0; ; {
				last := done.Load() == 2
				entries, err := collect(s.ReadAll(s.ctx, session, segment))
				if err != nil {
					return err
				}
				if _, err := inOrder(entries); err != nil {
					return err
				}
				n, err := s.EntryCount(s.ctx, session, segment)
				if err != nil {
					return err
				}
				if len(entries) < seen || n < len(entries) {
					return fmt.Errorf("%d entries were read, then %d, then %d counted", seen, len(entries), n)
				}
				if seen = n; last {
					return nil
				}
			}
		})
	}},
	{"a segment is replaced at once", func(s *logSubject) {
		session, segment := store.NewSessionID(), store.NewSegmentID()
		versions := [][]json.RawMessage{numbered(0, 700), numbered(1000, 1003), nil}
		s.create(session, segment, versions[0]...)
		var done atomic.Bool
		s.together(2, func(w int) error {
			if w == 0 {
				defer done.Store(true)
				for i := range appendsEach {
					if err := s.CreateSegment(s.ctx, session, segment, versions[i%3]); err != nil {
						return err
					}
				}
				return nil
			}
			for !done.Load() {
				entries, err := collect(s.ReadAll(s.ctx, session, segment))
				if err != nil {
					return err
				}
				whole := false
				for _, v := range versions {
					whole = whole || len(v) == len(entries) && (len(v) == 0 || string(v[len(v)-1]) == string(entries[len(v)-1]))
				}
				if !whole {
					return fmt.Errorf("read %d entries: of no version", len(entries))
				}
			}
			return nil
		})
	}},
	{"no append is lost beside Truncate that keeps all", func(s *logSubject) {
		// Truncate must keep more than there will ever be, so that every entry must be
		// there in the end.
		session, segment := store.NewSessionID(), store.NewSegmentID()
		s.create(session, segment)
		s.together(4, func(w int) error {
			for i := range appendsEach {
				var err error
				if w < 3 {
					err = s.Append(s.ctx, session, segment, signed(w, i))
				} else {
					err = s.Truncate(s.ctx, session, segment, 3*appendsEach)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		s.allOf(s.read(session, segment), 3)
	}},
	{"what is appended after Truncate or CreateSegment stays", func(s *logSubject) {
		// One goroutine cuts and replaces, and appends one entry after each change.
		// That entry must be there although others append all the time.
		session, segment := store.NewSessionID(), store.NewSegmentID()
		s.create(session, segment)
		var done atomic.Bool
		s.together(4, func(w int) error {
			if w > 0 {
				for !done.Load() {
					if err := s.Append(s.ctx, session, segment, raw(`{"noise":1}`)); err != nil {
						return err
					}
				}
				return nil
			}
			defer done.Store(true)
			for i := range appendsEach {
				change := func() error { return s.Truncate(s.ctx, session, segment, 1) }
				if i%2 == 1 {
					change = func() error { return s.CreateSegment(s.ctx, session, segment, numbered(0, 1)) }
				}
				if err := change(); err != nil {
					return err
				}
				mark := fmt.Sprintf(`{"mark":%d}`, i)
				if err := s.Append(s.ctx, session, segment, raw(mark)); err != nil {
					return err
				}
				entries, err := collect(s.ReadAll(s.ctx, session, segment))
				if err != nil {
					return err
				}
				marks := 0
				for _, e := range entries {
					if string(e) == mark {
						marks++
					}
				}
				if marks != 1 {
					return fmt.Errorf("%s is there %d times among %d entries", mark, marks, len(entries))
				}
			}
			return nil
		})
	}},
}
