package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/jsonvalue"
)

// memoryLog is the smallest log that keeps the contract. It shows that the suite asks
// for nothing more.
type memoryLog struct {
	mu           sync.Mutex
	logs, traces map[place][]json.RawMessage
	modified     map[store.SessionID]time.Time
	remade       map[place]int // how often a segment was cut, replaced or deleted
	changed      chan struct{} // closed by the next change
}

func newMemoryLog() *memoryLog {
	return &memoryLog{
		logs: map[place][]json.RawMessage{}, traces: map[place][]json.RawMessage{},
		modified: map[store.SessionID]time.Time{}, remade: map[place]int{}, changed: make(chan struct{}),
	}
}

func TestSessionsMemoryLog(t *testing.T) {
	Sessions(t, func(*testing.T) store.SessionLog { return newMemoryLog() })
}

func (l *memoryLog) do(ctx context.Context, f func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	return f()
}

// touch notes that a session has changed. The caller holds mu.
func (l *memoryLog) touch(session store.SessionID) {
	l.modified[session] = time.Now()
	close(l.changed)
	l.changed = make(chan struct{})
}

func compactObject(entry json.RawMessage) (json.RawMessage, error) {
	out, err := jsonvalue.AppendCompact(nil, entry, jsonvalue.MaxDepth)
	if err == nil && out[0] != '{' {
		err = errors.New("not an object")
	}
	if err != nil {
		return nil, &store.Error{Kind: store.ErrInvalid, Err: err}
	}
	return out, nil
}

func (l *memoryLog) add(ctx context.Context, to map[place][]json.RawMessage, at place, entry json.RawMessage) error {
	return l.do(ctx, func() error {
		e, err := compactObject(entry)
		if err == nil {
			to[at] = append(slices.Clip(to[at]), e)
			l.touch(at.session)
		}
		return err
	})
}

func (l *memoryLog) read(ctx context.Context, from map[place][]json.RawMessage, at place) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		var entries []json.RawMessage
		err := l.do(ctx, func() error {
			var ok bool
			if entries, ok = from[at]; !ok {
				return store.ErrNotFound
			}
			return nil
		})
		for _, e := range entries {
			if ctx.Err() != nil {
				err = ctx.Err()
				break
			}
			if !yield(bytes.Clone(e), nil) {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

func (l *memoryLog) Append(ctx context.Context, session store.SessionID, segment store.SegmentID, entry json.RawMessage) error {
	return l.add(ctx, l.logs, place{session, segment}, entry)
}

func (l *memoryLog) AppendTrace(ctx context.Context, session store.SessionID, segment store.SegmentID, trace json.RawMessage) error {
	return l.add(ctx, l.traces, place{session, segment}, trace)
}

func (l *memoryLog) ReadAll(ctx context.Context, session store.SessionID, segment store.SegmentID) iter.Seq2[json.RawMessage, error] {
	return l.read(ctx, l.logs, place{session, segment})
}

func (l *memoryLog) ReadFrom(ctx context.Context, session store.SessionID, segment store.SegmentID, n int) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		if n < 0 {
			yield(nil, store.ErrInvalid)
			return
		}
		skip := n
		for e, err := range l.ReadAll(ctx, session, segment) {
			if skip--; skip >= 0 && err == nil {
				continue
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

func (l *memoryLog) Follow(ctx context.Context, session store.SessionID, segment store.SegmentID, n int) iter.Seq2[json.RawMessage, error] {
	at := place{session, segment}
	return func(yield func(json.RawMessage, error) bool) {
		if n < 0 {
			yield(nil, store.ErrInvalid)
			return
		}
		first := -1
		for next := n; ; {
			var entry json.RawMessage
			var changed chan struct{}
			if err := l.do(ctx, func() error {
				log, ok := l.logs[at]
				if first < 0 {
					first = l.remade[at]
				}
				switch {
				case !ok:
					return store.ErrNotFound
				case l.remade[at] != first:
					return store.ErrConflict
				case next < len(log):
					entry = bytes.Clone(log[next])
				}
				changed = l.changed
				return nil
			}); err != nil {
				yield(nil, err)
				return
			}
			if entry != nil {
				if next++; !yield(entry, nil) {
					return
				}
				continue
			}
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	}
}

func (l *memoryLog) DeleteSession(ctx context.Context, session store.SessionID) error {
	return l.do(ctx, func() error {
		for at := range l.logs {
			if at.session == session {
				delete(l.logs, at)
				l.remade[at]++
			}
		}
		maps.DeleteFunc(l.traces, func(at place, _ []json.RawMessage) bool { return at.session == session })
		l.touch(session)
		delete(l.modified, session)
		return nil
	})
}

func (l *memoryLog) SessionModified(ctx context.Context, session store.SessionID) (at time.Time, err error) {
	err = l.do(ctx, func() (err error) {
		var ok bool
		if at, ok = l.modified[session]; !ok {
			err = store.ErrNotFound
		}
		return err
	})
	return at, err
}

func (l *memoryLog) ReadTraces(ctx context.Context, session store.SessionID, segment store.SegmentID) iter.Seq2[json.RawMessage, error] {
	return l.read(ctx, l.traces, place{session, segment})
}

func (l *memoryLog) ListSessions(ctx context.Context) (ids []store.SessionID, err error) {
	err = l.do(ctx, func() error {
		for _, m := range []map[place][]json.RawMessage{l.logs, l.traces} {
			for at := range m {
				if !slices.Contains(ids, at.session) {
					ids = append(ids, at.session)
				}
			}
		}
		slices.SortFunc(ids, func(a, b store.SessionID) int { return bytes.Compare(b[:], a[:]) })
		return nil
	})
	return ids, err
}

func (l *memoryLog) ListSegments(ctx context.Context, session store.SessionID) (ids []store.SegmentID, err error) {
	err = l.do(ctx, func() error {
		for at := range l.logs {
			if at.session == session {
				ids = append(ids, at.segment)
			}
		}
		slices.SortFunc(ids, func(a, b store.SegmentID) int { return bytes.Compare(b[:], a[:]) })
		return nil
	})
	return ids, err
}

func (l *memoryLog) SessionOf(ctx context.Context, segment store.SegmentID) (id store.SessionID, err error) {
	err = l.do(ctx, func() error {
		for at := range l.logs {
			if at.segment == segment {
				id = at.session
				return nil
			}
		}
		return store.ErrNotFound
	})
	return id, err
}

func (l *memoryLog) CreateSegment(ctx context.Context, session store.SessionID, segment store.SegmentID, entries []json.RawMessage) error {
	return l.do(ctx, func() error {
		var log []json.RawMessage
		for _, entry := range entries {
			e, err := compactObject(entry)
			if err != nil {
				return err
			}
			log = append(log, e)
		}
		l.logs[place{session, segment}] = log
		l.remade[place{session, segment}]++
		l.touch(session)
		return nil
	})
}

func (l *memoryLog) Exists(ctx context.Context, session store.SessionID, segment store.SegmentID) (ok bool, err error) {
	err = l.do(ctx, func() error { _, ok = l.logs[place{session, segment}]; return nil })
	return ok, err
}

func (l *memoryLog) Truncate(ctx context.Context, session store.SessionID, segment store.SegmentID, entries int) error {
	return l.do(ctx, func() error {
		at := place{session, segment}
		log, ok := l.logs[at]
		switch {
		case entries < 0:
			return store.ErrInvalid
		case !ok:
			return store.ErrNotFound
		}
		if entries < len(log) {
			l.logs[at] = log[:entries]
			l.remade[at]++
			l.touch(session)
		}
		return nil
	})
}

func (l *memoryLog) EntryCount(ctx context.Context, session store.SessionID, segment store.SegmentID) (n int, err error) {
	err = l.do(ctx, func() error {
		log, ok := l.logs[place{session, segment}]
		if n = len(log); !ok {
			return store.ErrNotFound
		}
		return nil
	})
	return n, err
}
