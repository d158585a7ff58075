package jsonlstore

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"os"
	"time"

	"podstore/store"
)

var _ store.Follower = (*Store)(nil)

// pollEvery is how often a followed segment is looked at where the system does
// not tell of changes: elsewhere than on Linux, or where the system's limit of
// what may be watched is reached.
const pollEvery = 250 * time.Millisecond

// Follow implements [store.Follower]. On Linux the system tells of a change, also
// of one that another process makes, through one inotify instance for each Store.
// Between entries a follower holds the segment's file open and nothing else.
func (s *Store) Follow(ctx context.Context, session store.SessionID, segment store.SegmentID, n int) iter.Seq2[json.RawMessage, error] {
	t := s.target("follow", session, logName(segment))
	return func(yield func(json.RawMessage, error) bool) {
		if n < 0 {
			yield(nil, t.invalid("cannot leave out %d entries", n))
			return
		}
		f, _, err := s.openCommitted(ctx, t)
		if err != nil {
			yield(nil, t.fail(err))
			return
		}
		defer f.Close()
		wake, stop := s.notifier.watch(s.sessionPath(session), t.name)
		defer stop()
		if err := s.follow(ctx, t, f, wake, n, yield); err != nil {
			yield(nil, t.fail(err))
		}
	}
}

// follow yields what is in f and what comes, until the loop ends, or returns the
// error that ends it.
func (s *Store) follow(ctx context.Context, t target, f *os.File, wake <-chan struct{}, skip int, yield func(json.RawMessage, error) bool) error {
	var poll <-chan time.Time
	if wake == nil {
		poll = time.Tick(pollEvery)
	}
	var at int64 // how far f has been read
	line := 0    // and which line that was
	for {
		committed, err := s.committedNow(ctx, t, f, at)
		if err != nil {
			return err
		}
		if committed > at {
			size := int(min(committed-at, bufferSize))
			lines := &lineReader{r: bufio.NewReaderSize(io.NewSectionReader(f, at, committed-at), size), max: s.max, number: line}
			var more bool
			if skip, more = t.yieldLines(ctx, lines, skip, yield); !more {
				return nil
			}
			at, line = committed, lines.number-1 // it went on to the end, which is no line
			continue
		}
		select {
		case _, ok := <-wake:
			if !ok {
				wake, poll = nil, time.Tick(pollEvery)
			}
		case <-poll:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// committedNow says where the last complete line of a followed file ends by now.
// It fails when the file is no longer the segment, or was cut below at.
func (s *Store) committedNow(ctx context.Context, t target, f *os.File, at int64) (int64, error) {
	leave, err := s.gates.enter(ctx, t.gate())
	if err != nil {
		return 0, err
	}
	defer leave()
	current, err := lockCurrent(ctx, t.path(), f, false)
	if err != nil {
		return 0, err
	}
	changed := func(how string) error {
		return &store.Error{Op: t.op, Path: t.path(), Kind: store.ErrConflict, Err: fmt.Errorf("the segment was %s; read it again", how)}
	}
	if !current {
		if _, err := os.Lstat(t.path()); err != nil {
			return 0, err
		}
		return 0, changed("cut or replaced")
	}
	committed, err := s.committedOf(t, f)
	if err == nil && committed < at {
		err = changed("cut")
	}
	return committed, err
}
