package jsonlstore_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/internal/osfs"
	"podstore/store/jsonlstore"
)

// An entry of 300 bytes, about what a line of conversation takes.
var benchEntry = raw(`{"kind":"assistant","ts":1733740000000,"text":"` + strings.Repeat("lorem ipsum ", 20) + `"}`)

// contender is one of several ways that a benchmark compares.
type contender struct {
	name string
	run  func()
}

// beside runs the contenders in turn, so that what else the machine does hits
// all alike. It reports for each the median time, the time as a multiple of the
// first one's, and the allocations.
func beside(b *testing.B, contenders ...contender) {
	times := make([][]time.Duration, len(contenders))
	for b.Loop() {
		for i, c := range contenders {
			start := time.Now()
			c.run()
			times[i] = append(times[i], time.Since(start))
		}
	}
	median := func(i int) float64 {
		slices.Sort(times[i])
		return float64(times[i][len(times[i])/2])
	}
	first := median(0)
	b.ReportMetric(0, "ns/op") // of all together: means nothing
	for i, c := range contenders {
		b.ReportMetric(median(i)/1000, c.name+"-µs")
		if i > 0 {
			b.ReportMetric(median(i)/first, c.name+"-x")
		}
		b.ReportMetric(testing.AllocsPerRun(3, c.run), c.name+"-allocs")
	}
}

// BenchmarkAppend compares an append with its limit, which is one write, and one
// sync where it is asked for, on a file that stays open.
func BenchmarkAppend(b *testing.B) {
	for _, mode := range []struct {
		name string
		sync jsonlstore.SyncMode
	}{{"SyncEach", jsonlstore.SyncEach}, {"SyncNever", jsonlstore.SyncNever}} {
		b.Run(mode.name+"/one writer", func(b *testing.B) {
			f, err := os.OpenFile(filepath.Join(b.TempDir(), "f"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
			noError(b, err)
			defer f.Close()
			line := append(bytes.Clone(benchEntry), '\n')
			s := open(b, b.TempDir(), &jsonlstore.Options{Sync: mode.sync})
			beside(b, contender{"limit", func() {
				_, err := f.Write(line)
				noError(b, err)
				if mode.sync == jsonlstore.SyncEach {
					noError(b, osfs.Datasync(f))
				}
			}}, contender{"Append", func() { noError(b, s.Append(b.Context(), sessionA, segment1, benchEntry)) }})
		})
		b.Run(mode.name+"/8 writers, one segment", func(b *testing.B) {
			benchParallel(b, mode.sync, func(int64) store.SegmentID { return segment1 })
		})
		b.Run(mode.name+"/8 writers, 8 segments", func(b *testing.B) {
			benchParallel(b, mode.sync, func(w int64) store.SegmentID { return store.SegmentID{byte(w)} })
		})
	}
}

func benchParallel(b *testing.B, sync jsonlstore.SyncMode, segment func(w int64) store.SegmentID) {
	s := open(b, b.TempDir(), &jsonlstore.Options{Sync: sync})
	var writers atomic.Int64
	b.SetParallelism(4) // times two processors
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		mine := segment(writers.Add(1))
		for pb.Next() {
			if err := s.Append(b.Context(), sessionA, mine, benchEntry); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// benchSegment lays a segment of 100,000 entries.
func benchSegment(b *testing.B) (s *jsonlstore.Store, path string) {
	root := b.TempDir()
	path = logPath(root, sessionA, segment1)
	lay(b, path, strings.Repeat(string(benchEntry)+"\n", 100_000))
	return open(b, root, nil), path
}

// lineCount is what wc -l does.
func lineCount(b *testing.B, path string) (n int) {
	f, err := os.Open(path)
	noError(b, err)
	defer f.Close()
	buf := make([]byte, 64<<10)
	for {
		got, err := f.Read(buf)
		n += bytes.Count(buf[:got], []byte{'\n'})
		if err == io.EOF {
			return n
		}
		noError(b, err)
	}
}

func BenchmarkRead100k(b *testing.B) {
	s, path := benchSegment(b)
	check := func(n int, err error) {
		if n != 100_000 || err != nil {
			b.Fatalf("%d entries, %v", n, err)
		}
	}
	beside(b, contender{"wc", func() { check(lineCount(b, path), nil) }},
		contender{"EntryCount", func() { check(s.EntryCount(b.Context(), sessionA, segment1)) }},
		contender{"ReadAll", func() {
			n := 0
			for _, err := range s.ReadAll(b.Context(), sessionA, segment1) {
				noError(b, err)
				n++
			}
			check(n, nil)
		}})
}

// BenchmarkSessionOf looks a segment up among 10,000 sessions, beside what
// reading the names of 10,000 files takes, and looking for 10,000 files.
func BenchmarkSessionOf(b *testing.B) {
	root := b.TempDir()
	var sessions []store.SessionID
	var segments []store.SegmentID
	for range 10_000 {
		session, segment := store.NewSessionID(), store.NewSegmentID()
		lay(b, logPath(root, session, segment), "{}\n")
		sessions, segments = append(sessions, session), append(segments, segment)
	}
	late := store.NewSegmentID() // of the oldest session, which is looked at last
	lay(b, logPath(root, sessions[0], late), "{}\n")
	s := open(b, root, nil)
	lookup := func(segment store.SegmentID, want store.SessionID) func() {
		return func() {
			if got, err := s.SessionOf(b.Context(), segment); got != want || err != nil && want != (store.SessionID{}) {
				b.Fatal(got, err)
			}
		}
	}
	beside(b, contender{"readdir", func() {
		f, err := os.Open(root)
		noError(b, err)
		defer f.Close()
		names, err := f.Readdirnames(-1)
		if err != nil || len(names) != 10_000 {
			b.Fatal(len(names), err)
		}
	}}, contender{"stats", func() {
		for i := range segments {
			_, err := os.Lstat(logPath(root, sessions[i], segments[i]))
			noError(b, err)
		}
	}}, contender{"newest", lookup(segments[9999], sessions[9999])},
		contender{"old", lookup(segments[10], sessions[10])},
		contender{"last", lookup(late, sessions[0])},
		contender{"missing", lookup(store.SegmentID{}, store.SessionID{})},
		contender{"Exists", func() {
			there, err := s.Exists(b.Context(), sessions[5000], segments[5000])
			if err != nil || !there {
				b.Fatal(there, err)
			}
		}},
		contender{"ListSessions", func() {
			ids, err := s.ListSessions(b.Context())
			if err != nil || len(ids) != 10_000 {
				b.Fatal(len(ids), err)
			}
		}})
}
