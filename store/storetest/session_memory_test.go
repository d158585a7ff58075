package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"slices"
	"sync"
	"testing"

	"podstore/store"
	"podstore/store/jsonvalue"
)

// memoryLog is the least that keeps the contract, to show that the suite asks
// for nothing more.
type memoryLog struct {
	mu           sync.Mutex
	logs, traces map[place][]json.RawMessage
}

func TestSessionsMemoryLog(t *testing.T) {
	Sessions(t, func(*testing.T) store.SessionLog {
		return &memoryLog{logs: map[place][]json.RawMessage{}, traces: map[place][]json.RawMessage{}}
	})
}

func (l *memoryLog) do(ctx context.Context, f func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	return f()
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
		l.logs[at] = log[:min(entries, len(log))]
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
