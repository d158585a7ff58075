package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"podstore/store"
)

// followed is an item of a loop over a followed segment.
type followed struct {
	entry json.RawMessage
	err   error
}

// following is such a loop, in a goroutine of its own. It goes on once its item is
// taken.
type following struct {
	s      *logSubject
	cancel context.CancelFunc
	items  chan followed // closed when the loop has ended
}

// follow skips the test if the log cannot follow.
func (s *logSubject) follow(session store.SessionID, segment store.SegmentID, n int) *following {
	s.Helper()
	log, ok := s.SessionLog.(store.Follower)
	if !ok {
		s.Skip("the log is no store.Follower")
	}
	ctx, cancel := context.WithCancel(s.ctx)
	f := &following{s, cancel, make(chan followed)}
	go func() {
		defer close(f.items)
		for entry, err := range log.Follow(ctx, session, segment, n) {
			f.items <- followed{entry, err}
		}
	}()
	s.Cleanup(func() {
		cancel()
		for range f.items {
		}
	})
	return f
}

// stuck is how long a test waits for what should come at once.
var stuck = 30 * time.Second

// next returns the next item, or false if the loop has ended.
func (f *following) next() (followed, bool) {
	f.s.Helper()
	select {
	case item, more := <-f.items:
		return item, more
	case <-time.After(stuck):
		f.s.Fatalf("nothing came for %v", stuck)
		panic("unreachable")
	}
}

func (f *following) yields(want ...json.RawMessage) {
	f.s.Helper()
	for i, entry := range want {
		if got, more := f.next(); !more || got.err != nil || string(got.entry) != string(entry) {
			f.s.Fatalf("entry %d of %d is %.200q, %v, want %.200q", i, len(want), got.entry, got.err, entry)
		}
	}
}

// ends checks that the next item is an error and the last one.
func (f *following) ends(want error) {
	f.s.Helper()
	got, more := f.next()
	if !more {
		f.s.Fatal("it ended without an error")
	}
	f.s.fails("Follow", got.err, want)
	if got.entry != nil {
		f.s.Fatalf("it yielded %.200q with its error", got.entry)
	}
	if got, more := f.next(); more {
		f.s.Fatalf("after its last error it yielded %.200q, %v", got.entry, got.err)
	}
}

var logFollowTests = []logTest{
	{"yields what is there and then what comes", func(s *logSubject) {
		session, segment := s.segment(3)
		f := s.follow(session, segment, 0)
		f.yields(numbered(0, 3)...)
		for n := 3; n < 30; n++ {
			s.add(session, segment, numbered(n, n+1)...)
			f.yields(numbered(n, n+1)...)
		}
		s.add(session, segment, numbered(30, 60)...)
		f.yields(numbered(30, 60)...)
	}},
	{"begins at the n-th, which may be still to come", func(s *logSubject) {
		session, segment := s.segment(3)
		within, next, later := s.follow(session, segment, 1), s.follow(session, segment, 3), s.follow(session, segment, 5)
		within.yields(numbered(1, 3)...)
		s.add(session, segment, numbered(3, 4)...)
		within.yields(numbered(3, 4)...)
		next.yields(numbered(3, 4)...)
		s.add(session, segment, numbered(4, 7)...)
		within.yields(numbered(4, 7)...)
		next.yields(numbered(4, 7)...)
		later.yields(numbered(5, 7)...)
	}},
	{"yields nothing of traces and other segments", func(s *logSubject) {
		session, segment := s.segment(1)
		f := s.follow(session, segment, 0)
		f.yields(numbered(0, 1)...)
		s.trace(session, segment, raw(`{"t":1}`))
		s.add(session, store.NewSegmentID(), raw(`{"other":1}`))
		s.add(store.NewSessionID(), segment, raw(`{"other":2}`))
		s.add(session, segment, numbered(1, 2)...)
		f.yields(numbered(1, 2)...)
	}},
	{"yields each entry in memory of its own", func(s *logSubject) {
		session, segment := s.segment(1)
		f, other := s.follow(session, segment, 0), s.follow(session, segment, 0)
		for n := range 5 {
			item, _ := f.next()
			_ = append(item.entry[:len(item.entry):cap(item.entry)], "overflow"...)
			clear(item.entry)
			other.yields(numbered(n, n+1)...)
			s.holds(session, segment, numbered(0, n+1)...)
			s.add(session, segment, numbered(n+1, n+2)...)
		}
	}},
	{"the loop may use the log", func(s *logSubject) {
		session, segment := s.segment(1)
		log, ok := s.SessionLog.(store.Follower)
		if !ok {
			s.Skip("the log is no store.Follower")
		}
		n := 0
		for entry, err := range log.Follow(s.ctx, session, segment, 0) {
			if want := numbered(n, n+1)[0]; err != nil || string(entry) != string(want) {
				s.Fatalf("entry %d is %q, %v", n, entry, err)
			}
			if n++; n == 10 {
				break
			}
			s.add(session, segment, numbered(n, n+1)...)
			s.holds(session, segment, numbered(0, n+1)...)
		}
		s.delete(session) // the loop is over and holds nothing
	}},
	{"ends when the context does", func(s *logSubject) {
		session, segment := s.segment(200)
		waiting := s.follow(session, segment, 200)
		among := s.follow(session, segment, 0)
		among.yields(numbered(0, 1)...)
		among.cancel()
		// An item that was ready before may still come.
		if item, more := among.next(); more && item.err == nil {
			among.ends(context.Canceled)
		} else {
			s.fails("Follow", item.err, context.Canceled)
		}
		s.add(session, segment, numbered(200, 201)...)
		waiting.yields(numbered(200, 201)...)
		waiting.cancel()
		waiting.ends(context.Canceled)
	}},
	{"ended loops leave the others alone, and can begin again", func(s *logSubject) {
		session, segment := s.segment(1)
		stays := s.follow(session, segment, 0)
		stays.yields(numbered(0, 1)...)
		for n := 1; n < 30; n++ {
			f := s.follow(session, segment, n-1)
			f.yields(numbered(n-1, n)...)
			f.cancel()
			f.ends(context.Canceled)
			s.add(session, segment, numbered(n, n+1)...)
			stays.yields(numbered(n, n+1)...)
		}
	}},
	{"goes on after a change that changes nothing", func(s *logSubject) {
		session, segment := s.segment(2)
		f := s.follow(session, segment, 0)
		f.yields(numbered(0, 2)...)
		if err := s.Truncate(s.ctx, session, segment, 2); err != nil {
			s.Fatal(err)
		}
		s.fails("CreateSegment", s.CreateSegment(s.ctx, session, segment, []json.RawMessage{raw(`[]`)}), store.ErrInvalid)
		s.fails("Append", s.Append(s.ctx, session, segment, raw(`[]`)), store.ErrInvalid)
		s.add(session, segment, numbered(2, 3)...)
		f.yields(numbered(2, 3)...)
	}},
	{"ends when the segment is cut or replaced", func(s *logSubject) {
		for name, change := range map[string]func(session store.SessionID, segment store.SegmentID) error{
			"Truncate":           func(a store.SessionID, b store.SegmentID) error { return s.Truncate(s.ctx, a, b, 1) },
			"Truncate to none":   func(a store.SessionID, b store.SegmentID) error { return s.Truncate(s.ctx, a, b, 0) },
			"CreateSegment":      func(a store.SessionID, b store.SegmentID) error { return s.CreateSegment(s.ctx, a, b, nil) },
			"CreateSegment more": func(a store.SessionID, b store.SegmentID) error { return s.CreateSegment(s.ctx, a, b, numbered(0, 50)) },
			"cut and grown": func(a store.SessionID, b store.SegmentID) error {
				if err := s.Truncate(s.ctx, a, b, 1); err != nil {
					return err
				}
				return s.Append(s.ctx, a, b, raw(`{"n":1}`))
			},
		} {
			session, segment := s.segment(2)
			waiting := s.follow(session, segment, 0)
			waiting.yields(numbered(0, 2)...)
			if err := change(session, segment); err != nil {
				s.Fatalf("%s: %v", name, err)
			}
			waiting.ends(store.ErrConflict)
		}
	}},
	{"ends when the segment is deleted", func(s *logSubject) {
		session, segment := s.segment(2)
		f := s.follow(session, segment, 0)
		f.yields(numbered(0, 2)...)
		s.delete(session)
		f.ends(store.ErrNotFound)
	}},
	{"says ErrNotFound for a missing segment", func(s *logSubject) {
		session, segment := s.segment(1)
		s.follow(session, store.NewSegmentID(), 0).ends(store.ErrNotFound)
		s.follow(store.NewSessionID(), segment, 0).ends(store.ErrNotFound)
	}},
	{"refuses a negative number", func(s *logSubject) {
		session, segment := s.segment(1)
		s.follow(session, segment, -1).ends(store.ErrInvalid)
	}},
	{"beside several writers, each sees every entry in one order", func(s *logSubject) {
		session, segment := s.segment(0)
		var loops []*following
		for range 3 {
			loops = append(loops, s.follow(session, segment, 0))
		}
		const all = 3 * appendsEach
		seen := make([][]json.RawMessage, len(loops))
		s.together(len(loops)+3, func(i int) error {
			if w := i - len(loops); w >= 0 {
				for k := range appendsEach {
					if err := s.Append(s.ctx, session, segment, signed(w, k)); err != nil {
						return err
					}
				}
				return nil
			}
			for len(seen[i]) < all {
				item, more := <-loops[i].items
				if !more || item.err != nil {
					return fmt.Errorf("loop %d ended after %d entries: %v", i, len(seen[i]), item.err)
				}
				seen[i] = append(seen[i], item.entry)
			}
			return nil
		})
		entries := s.read(session, segment)
		s.allOf(entries, 3)
		for _, got := range seen {
			s.sameEntries("Follow", got, entries)
		}
	}},
}
