package jsonlstore_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"podstore/store"
	"podstore/store/jsonlstore"
)

// An entry of 300 bytes, about what a line of conversation takes.
var benchEntry = raw(`{"kind":"assistant","ts":1733740000000,"text":"` + strings.Repeat("lorem ipsum ", 20) + `"}`)

// BenchmarkAppend compares an append with its limit: one write, and one sync
// where it is asked for, on a file that stays open.
func BenchmarkAppend(b *testing.B) {
	for _, mode := range []struct {
		name string
		sync jsonlstore.SyncMode
	}{{"SyncEach", jsonlstore.SyncEach}, {"SyncNever", jsonlstore.SyncNever}} {
		b.Run(mode.name+"/limit", func(b *testing.B) {
			f, err := os.OpenFile(filepath.Join(b.TempDir(), "f"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
			noError(b, err)
			defer f.Close()
			line := append(bytes.Clone(benchEntry), '\n')
			b.ReportAllocs()
			for b.Loop() {
				_, err := f.Write(line)
				noError(b, err)
				if mode.sync == jsonlstore.SyncEach {
					noError(b, datasync(f))
				}
			}
		})
		b.Run(mode.name+"/store", func(b *testing.B) {
			s := open(b, b.TempDir(), &jsonlstore.Options{Sync: mode.sync})
			noError(b, s.Append(b.Context(), sessionA, segment1, benchEntry))
			b.ReportAllocs()
			for b.Loop() {
				noError(b, s.Append(b.Context(), sessionA, segment1, benchEntry))
			}
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
	size := int64(100_000 * (len(benchEntry) + 1))
	check := func(b *testing.B, n int) {
		if n != 100_000 {
			b.Fatalf("%d entries", n)
		}
	}
	b.Run("wc -l", func(b *testing.B) {
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			check(b, lineCount(b, path))
		}
	})
	b.Run("EntryCount", func(b *testing.B) {
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			n, err := s.EntryCount(b.Context(), sessionA, segment1)
			noError(b, err)
			check(b, n)
		}
	})
	b.Run("ReadAll", func(b *testing.B) {
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			for _, err := range s.ReadAll(b.Context(), sessionA, segment1) {
				noError(b, err)
				n++
			}
			check(b, n)
		}
	})
}

// BenchmarkSessionOf looks a segment up among 10,000 sessions.
func BenchmarkSessionOf(b *testing.B) {
	root := b.TempDir()
	var segments []store.SegmentID
	for range 10_000 {
		session, segment := store.NewSessionID(), store.NewSegmentID()
		lay(b, logPath(root, session, segment), "{}\n")
		segments = append(segments, segment)
	}
	late := store.NewSegmentID() // of the oldest session: found last
	sessions, err := os.ReadDir(root)
	noError(b, err)
	lay(b, filepath.Join(root, sessions[0].Name(), late.String()+".jsonl"), "{}\n")
	s := open(b, root, nil)
	for name, segment := range map[string]store.SegmentID{"newest": segments[9999], "first of an old session": segments[10], "late one of the oldest session": late} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := s.SessionOf(b.Context(), segment)
				noError(b, err)
			}
		})
	}
	b.Run("missing", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.SessionOf(b.Context(), store.SegmentID{}); err == nil {
				b.Fatal("found")
			}
		}
	})
	b.Run("Exists, session known", func(b *testing.B) {
		session, err := s.SessionOf(b.Context(), segments[5000])
		noError(b, err)
		b.ReportAllocs()
		for b.Loop() {
			there, err := s.Exists(b.Context(), session, segments[5000])
			if err != nil || !there {
				b.Fatal(there, err)
			}
		}
	})
	b.Run("ListSessions", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ids, err := s.ListSessions(b.Context())
			if err != nil || len(ids) != 10_000 {
				b.Fatal(len(ids), err)
			}
		}
	})
}
