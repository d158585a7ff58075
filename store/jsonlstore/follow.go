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

// pollEvery is the interval at which a follower looks at a segment if the system does
// not report changes: on other systems than Linux, or when its limit of watches is
// reached.
const pollEvery = 250 * time.Millisecond

// Follow implements [store.Follower]. On Linux the system reports changes, even those of
// another process, through one inotify instance for each Store. Between entries a
// follower only holds the segment's file open.
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

// follow yields the entries of f and those that are appended, until the caller's loop
// ends. It returns the error that ends the sequence, if any.
func (s *Store) follow(ctx context.Context, t target, f *os.File, wake <-chan struct{}, skip int, yield func(json.RawMessage, error) bool) error {
	var poll <-chan time.Time
	if wake == nil {
		poll = time.Tick(pollEvery)
	}
	var at int64 // f was read up to here
	line := 0    // the number of that line
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

// committedNow returns the end of the last complete line of a followed file. It fails if
// the file is no longer the segment, or was cut below at.
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
