package storetest

import (
	"context"
	"encoding/json"
	"strings"

	"podstore/store"
)

// compactForms are entries and the compact forms that a log keeps of them.
var compactForms = []struct{ in, want string }{
	{`{}`, `{}`},
	{" \t\r\n{ } \n", `{}`},
	{"{\n  \"b\": 1,\n  \"a\": [ 1, 2 ]\n}", `{"b":1,"a":[1,2]}`},
	{`{"n":[1.0,1e2,1E+2,-0,0.10,12345678901234567890123]}`, `{"n":[1.0,1e2,1E+2,-0,0.10,12345678901234567890123]}`},
	{`{"a":1,"a":2}`, `{"a":1,"a":2}`},
	{`{"s":"a b\tc\u0041\/<&>` + "\u2028\u00e9\U0001f600" + `"}`, `{"s":"a b\tc\u0041\/<&>` + "\u2028\u00e9\U0001f600" + `"}`},
	{`{"s":"\ud83d\ude00\n"}`, `{"s":"\ud83d\ude00\n"}`},
	{`{"x":null,"y":[true,false,{}],"":[]}`, `{"x":null,"y":[true,false,{}],"":[]}`},
}

// noObjects are not JSON objects: a log refuses them.
var noObjects = []string{
	"", " ", "null", "true", "1", `"s"`, "[]", `[{}]`,
	"{", "}", `{"a"}`, `{"a":}`, `{"a":1,}`, `{a:1}`, `{'a':1}`, `{"a":01}`, `{"a":.5}`, `{"a":NaN}`, `{"a":1e400}`,
	"{}{}", "{}\n{}", "{} x", "\ufeff{}", "{\"a\":\"\x00\"}", "{\"a\":\"\n\"}", "{\"a\":\"\xff\"}", "{\"a\":\"\xc3", `{"a":"\ud800"}`, `{"a":"\x"}`,
	"/**/{}", "{\u00a0}",
	deepObject(128),
}

// deepObject returns an object of n nested containers.
func deepObject(n int) string {
	return `{"d":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + "}"
}

func raw(s string) json.RawMessage { return json.RawMessage(s) }

var logAppendTests = []logTest{
	{"adds at the end", func(s *logSubject) {
		session, segment := s.segment(2)
		s.add(session, segment, numbered(2, 5)...)
		s.holds(session, segment, numbered(0, 5)...)
	}},
	{"creates the segment", func(s *logSubject) {
		session, segment := store.NewSessionID(), store.NewSegmentID()
		s.missing(session, segment)
		s.add(session, segment, raw(`{"n":0}`))
		s.holds(session, segment, numbered(0, 1)...)
		s.sessions(session)
		s.segments(session, segment)
		s.inside(segment, session)
	}},
	{"leaves other segments alone", func(s *logSubject) {
		session, one := s.segment(2)
		two := store.NewSegmentID()
		s.add(session, two, numbered(7, 9)...)
		other := store.NewSessionID()
		s.add(other, store.NewSegmentID(), numbered(3, 4)...)
		s.holds(session, one, numbered(0, 2)...)
		s.holds(session, two, numbered(7, 9)...)
	}},
	{"keeps entries compact, keys and numbers as given", func(s *logSubject) {
		session, segment := store.NewSessionID(), store.NewSegmentID()
		var want []json.RawMessage
		for _, form := range compactForms {
			s.add(session, segment, raw(form.in))
			want = append(want, raw(form.want))
		}
		s.holds(session, segment, want...)
	}},
	{"takes large and deep entries", func(s *logSubject) {
		session, segment := store.NewSessionID(), store.NewSegmentID()
		large := []json.RawMessage{raw(`{"s":"` + strings.Repeat("é", 1<<20) + `"}`), raw(deepObject(127)), raw(`{"s":"` + strings.Repeat("x", 1<<16) + `"}`)}
		s.add(session, segment, large...)
		s.holds(session, segment, large...)
	}},
	{"refuses what is no JSON object and changes nothing", func(s *logSubject) {
		session, segment := s.segment(2)
		other := store.NewSegmentID()
		for _, bad := range noObjects {
			s.fails(bad, s.Append(s.ctx, session, segment, raw(bad)), store.ErrInvalid)
			s.fails(bad, s.Append(s.ctx, session, other, raw(bad)), store.ErrInvalid)
		}
		s.fails("nil", s.Append(s.ctx, session, segment, nil), store.ErrInvalid)
		s.holds(session, segment, numbered(0, 2)...)
		s.missing(session, other)
	}},
	{"neither keeps nor changes the argument", func(s *logSubject) {
		session, segment := store.NewSessionID(), store.NewSegmentID()
		entry := raw(` { "n" : 0 } `)
		s.add(session, segment, entry)
		if string(entry) != ` { "n" : 0 } ` {
			s.Fatalf("the argument became %q", entry)
		}
		clear(entry)
		s.holds(session, segment, raw(`{"n":0}`))
	}},
}

var logReadTests = []logTest{
	{"yields the entries in order", func(s *logSubject) {
		session, segment := s.segment(1000)
		s.holds(session, segment, numbered(0, 1000)...)
	}},
	{"yields nothing for an empty segment", func(s *logSubject) {
		session, segment := s.segment(0)
		s.holds(session, segment)
	}},
	{"says ErrNotFound for a missing segment", func(s *logSubject) {
		session, segment := s.segment(1)
		s.missing(session, store.NewSegmentID())
		s.missing(store.NewSessionID(), segment)
		n := 0
		for range s.ReadAll(s.ctx, session, store.NewSegmentID()) {
			n++
		}
		if n != 1 {
			s.Fatalf("a missing segment yielded %d times", n)
		}
	}},
	{"yields each entry in memory of its own", func(s *logSubject) {
		session, segment := s.segment(50)
		entries := s.read(session, segment)
		for i, e := range entries {
			_ = append(e[:len(e):cap(e)], "overflow"...)
			if i > 0 {
				clear(e)
			}
		}
		s.sameEntries("the first", entries[:1], numbered(0, 1))
		s.holds(session, segment, numbered(0, 50)...)
	}},
	{"stops when the loop does", func(s *logSubject) {
		session, segment := s.segment(10)
		for range 100 {
			for range s.ReadAll(s.ctx, session, segment) {
				break
			}
		}
		s.add(session, segment, numbered(10, 11)...)
		s.holds(session, segment, numbered(0, 11)...)
	}},
	{"yields what was there when the loop began", func(s *logSubject) {
		changes := map[string]func(session store.SessionID, segment store.SegmentID) error{
			"Append": func(a store.SessionID, b store.SegmentID) error { return s.Append(s.ctx, a, b, raw(`{"late":1}`)) },
			"Truncate": func(a store.SessionID, b store.SegmentID) error {
				return s.Truncate(s.ctx, a, b, 1)
			},
			"CreateSegment": func(a store.SessionID, b store.SegmentID) error {
				return s.CreateSegment(s.ctx, a, b, numbered(50, 5000))
			},
		}
		for name, change := range changes {
			// Too large to have been read at once.
			const entries = 20_000
			session, segment := s.segment(entries)
			n := 0
			for e, err := range s.ReadAll(s.ctx, session, segment) {
				if err != nil {
					s.Fatalf("%s in the loop: %v", name, err)
				}
				if n == 0 {
					if err := change(session, segment); err != nil {
						s.Fatalf("%s in the loop: %v", name, err)
					}
				}
				if want := numbered(n, n+1)[0]; string(e) != string(want) {
					s.Fatalf("%s in the loop: entry %d is %s", name, n, e)
				}
				n++
			}
			if n != entries {
				s.Fatalf("%s in the loop: it yielded %d entries, not %d", name, n, entries)
			}
		}
	}},
	{"can be ranged over again and then yields what is there then", func(s *logSubject) {
		session, segment := store.NewSessionID(), store.NewSegmentID()
		entries := s.ReadAll(s.ctx, session, segment)
		_, err := collect(entries)
		s.fails("before it exists", err, store.ErrNotFound)
		for n := range 3 {
			s.add(session, segment, numbered(n, n+1)...)
			got, err := collect(entries)
			if err != nil {
				s.Fatal(err)
			}
			s.sameEntries("ranged over again", got, numbered(0, n+1))
		}
	}},
	{"ends when the context does", func(s *logSubject) {
		session, segment := s.segment(100)
		ctx, cancel := context.WithCancel(s.ctx)
		defer cancel()
		n := 0
		var last error
		for e, err := range s.ReadAll(ctx, session, segment) {
			if last != nil {
				s.Fatal("the sequence went on after the context's error")
			}
			if n++; n == 3 {
				cancel()
			}
			if (e == nil) != (err != nil) {
				s.Fatalf("yielded %q with %v", e, err)
			}
			last = err
		}
		s.fails("after the end of the context", last, context.Canceled)
	}},
}

var logReadFromTests = []logTest{
	{"leaves out the first n", func(s *logSubject) {
		// So large that a reader's buffer ends among the entries that are left out.
		const entries = 10_000
		session, segment := s.segment(entries)
		for _, n := range []int{0, 1, 7, entries / 2, entries - 1, entries, entries + 1, 1 << 30, int(^uint(0) >> 1)} {
			got, err := collect(s.ReadFrom(s.ctx, session, segment, n))
			if err != nil {
				s.Fatal(err)
			}
			s.sameEntries("ReadFrom", got, numbered(min(n, entries), entries))
		}
	}},
	{"refuses a negative number", func(s *logSubject) {
		session, segment := s.segment(1)
		got, err := collect(s.ReadFrom(s.ctx, session, segment, -1))
		s.fails("ReadFrom", err, store.ErrInvalid)
		s.sameEntries("ReadFrom", got, nil)
	}},
	{"says ErrNotFound for a missing segment", func(s *logSubject) {
		session, segment := s.segment(1)
		s.missing(session, store.NewSegmentID())
		s.missing(store.NewSessionID(), segment)
	}},
	{"ends when the context does, also while it leaves out", func(s *logSubject) {
		session, segment := s.segment(10)
		ctx, cancel := context.WithCancel(s.ctx)
		cancel()
		_, err := collect(s.ReadFrom(ctx, session, segment, 5))
		s.fails("ReadFrom", err, context.Canceled)
	}},
}

var logCountTests = []logTest{
	{"counts entries, not bytes or traces", func(s *logSubject) {
		session, segment := s.segment(0)
		for n := range 20 {
			if got, err := s.EntryCount(s.ctx, session, segment); err != nil || got != n {
				s.Fatalf("EntryCount is %d, %v for %d entries", got, err, n)
			}
			s.trace(session, segment, raw(`{"t":1}`))
			s.add(session, segment, raw(`{"s":"`+strings.Repeat(`\n`, n*1000)+`"}`))
		}
	}},
	{"says ErrNotFound for a missing segment", func(s *logSubject) {
		session, _ := s.segment(1)
		_, err := s.EntryCount(s.ctx, session, store.NewSegmentID())
		s.fails("EntryCount", err, store.ErrNotFound)
	}},
}

var logTraceTests = []logTest{
	{"neither needs nor creates the segment", func(s *logSubject) {
		session, segment := store.NewSessionID(), store.NewSegmentID()
		s.trace(session, segment, raw(`{"t":0}`))
		s.missing(session, segment)
		s.segments(session)
		s.nowhere(segment)
	}},
	{"keeps traces beside the entries", func(s *logSubject) {
		session, segment := s.segment(2)
		other := store.NewSegmentID()
		s.trace(session, segment, raw(`{ "t": 0 }`), raw(`{"t":1}`))
		s.trace(session, other, raw(`{"t":2}`))
		s.add(session, segment, numbered(2, 3)...)
		s.holds(session, segment, numbered(0, 3)...)
		s.holdsTraces(session, segment, raw(`{"t":0}`), raw(`{"t":1}`))
		s.holdsTraces(session, other, raw(`{"t":2}`))
	}},
	{"keeps them when the segment is cut or replaced", func(s *logSubject) {
		session, segment := s.segment(2)
		s.trace(session, segment, raw(`{"t":0}`))
		if err := s.Truncate(s.ctx, session, segment, 0); err != nil {
			s.Fatal(err)
		}
		s.holdsTraces(session, segment, raw(`{"t":0}`))
		s.create(session, segment, numbered(5, 6)...)
		s.holdsTraces(session, segment, raw(`{"t":0}`))
	}},
	{"refuses what is no JSON object and changes nothing", func(s *logSubject) {
		session, segment := s.segment(1)
		s.trace(session, segment, raw(`{"t":0}`))
		for _, bad := range noObjects {
			s.fails(bad, s.AppendTrace(s.ctx, session, segment, raw(bad)), store.ErrInvalid)
		}
		s.holds(session, segment, numbered(0, 1)...)
		s.holdsTraces(session, segment, raw(`{"t":0}`))
	}},
}
