package storetest

import (
	"context"
	"encoding/json"
	"iter"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"podstore/store"
)

// logMutants are the log in memory with one fault each, and the test of the suite that
// must catch it.
var logMutants = map[string]struct {
	caught string
	spoil  func(l *memoryLog) store.SessionLog
}{
	"ReadFrom leaves out one at least":          {"ReadFrom/leaves out the first n", func(l *memoryLog) store.SessionLog { return fromOne{l} }},
	"ReadFrom takes a negative number for none": {"ReadFrom/refuses a negative number", func(l *memoryLog) store.SessionLog { return fromAll{l} }},
	"a deletion forgets the traces":             {"DeleteSession/removes one that has traces only", func(l *memoryLog) store.SessionLog { return keepsTraces{l} }},
	"a deletion of nothing fails":               {"DeleteSession/a session that does not exist is a success", func(l *memoryLog) store.SessionLog { return missesDeleted{l} }},
	"a deletion takes every segment of that ID": {"DeleteSession/leaves other sessions alone", func(l *memoryLog) store.SessionLog { return deletesByID{l} }},
	"reading counts as a change":                {"SessionModified/each change moves it on, reading does not", func(l *memoryLog) store.SessionLog { return touchesOnRead{l} }},
	"the time is that of the question":          {"SessionModified/each change moves it on, reading does not", func(l *memoryLog) store.SessionLog { return alwaysNow{l} }},
	"a follower sleeps through a change":        {"Follow/yields what is there and then what comes", func(l *memoryLog) store.SessionLog { return sleeps{l} }},
	"a follower goes on in another segment":     {"Follow/ends when the segment is cut or replaced", func(l *memoryLog) store.SessionLog { return followsOn{l} }},
	"a follower shares the log's memory":        {"Follow/yields each entry in memory of its own", func(l *memoryLog) store.SessionLog { return shares{l} }},
}

type entrySeq = iter.Seq2[json.RawMessage, error]

type fromOne struct{ *memoryLog }

func (l fromOne) ReadFrom(ctx context.Context, a store.SessionID, b store.SegmentID, n int) entrySeq {
	return l.memoryLog.ReadFrom(ctx, a, b, max(n, 1))
}

type fromAll struct{ *memoryLog }

func (l fromAll) ReadFrom(ctx context.Context, a store.SessionID, b store.SegmentID, n int) entrySeq {
	return l.memoryLog.ReadFrom(ctx, a, b, max(n, 0))
}

type keepsTraces struct{ *memoryLog }

func (l keepsTraces) DeleteSession(ctx context.Context, id store.SessionID) error {
	kept := map[place][]json.RawMessage{}
	for at, traces := range l.traces {
		kept[at] = traces
	}
	err := l.memoryLog.DeleteSession(ctx, id)
	l.traces = kept
	return err
}

type missesDeleted struct{ *memoryLog }

func (l missesDeleted) DeleteSession(ctx context.Context, id store.SessionID) error {
	if _, err := l.SessionModified(ctx, id); err != nil {
		return err
	}
	return l.memoryLog.DeleteSession(ctx, id)
}

type deletesByID struct{ *memoryLog }

func (l deletesByID) DeleteSession(ctx context.Context, id store.SessionID) error {
	segments, err := l.ListSegments(ctx, id)
	if err != nil {
		return err
	}
	for _, segment := range segments {
		for at := range l.logs {
			if at.segment == segment {
				delete(l.logs, at)
			}
		}
	}
	return l.memoryLog.DeleteSession(ctx, id)
}

type touchesOnRead struct{ *memoryLog }

func (l touchesOnRead) EntryCount(ctx context.Context, a store.SessionID, b store.SegmentID) (int, error) {
	n, err := l.memoryLog.EntryCount(ctx, a, b)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.touch(a)
	}
	return n, err
}

type alwaysNow struct{ *memoryLog }

func (l alwaysNow) SessionModified(ctx context.Context, id store.SessionID) (time.Time, error) {
	_, err := l.memoryLog.SessionModified(ctx, id)
	return time.Now(), err
}

type sleeps struct{ *memoryLog }

func (l sleeps) Follow(ctx context.Context, a store.SessionID, b store.SegmentID, n int) entrySeq {
	return func(yield func(json.RawMessage, error) bool) {
		for e, err := range l.ReadFrom(ctx, a, b, n) {
			if !yield(e, err) {
				return
			}
		}
		<-ctx.Done()
		yield(nil, ctx.Err())
	}
}

type followsOn struct{ *memoryLog }

func (l followsOn) CreateSegment(ctx context.Context, a store.SessionID, b store.SegmentID, in []json.RawMessage) error {
	remade := l.remade[place{a, b}]
	err := l.memoryLog.CreateSegment(ctx, a, b, in)
	l.remade[place{a, b}] = remade
	return err
}

type shares struct{ *memoryLog }

func (l shares) Follow(ctx context.Context, a store.SessionID, b store.SegmentID, n int) entrySeq {
	return func(yield func(json.RawMessage, error) bool) {
		for e, err := range l.memoryLog.Follow(ctx, a, b, n) {
			if err == nil {
				l.mu.Lock()
				e = l.logs[place{a, b}][n]
				l.mu.Unlock()
				n++
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

const logMutantVariable = "STORETEST_LOG_MUTANT"

// TestLogMutant runs one test of the suite on one mutant, in a process that
// TestSessionsCatchesMutants starts. It must fail.
func TestLogMutant(t *testing.T) {
	m, ok := logMutants[os.Getenv(logMutantVariable)]
	if !ok {
		t.Skip("run by TestSessionsCatchesMutants")
	}
	stuck = time.Second
	Sessions(t, func(*testing.T) store.SessionLog { return m.spoil(newMemoryLog()) })
}

func TestSessionsCatchesMutants(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for fault, m := range logMutants {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			name := "TestLogMutant/" + strings.ReplaceAll(m.caught, " ", "_")
			group, test, _ := strings.Cut(m.caught, "/")
			cmd := exec.Command(self, "-test.run", "^TestLogMutant$/^"+group+"$/^"+test+"$", "-test.timeout", "60s")
			cmd.Env = append(os.Environ(), logMutantVariable+"="+fault)
			if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "--- FAIL: "+name) {
				t.Errorf("%s did not fail: %v\n%s", name, err, out)
			}
		})
	}
}
