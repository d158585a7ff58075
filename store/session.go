package store

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"time"
)

// SessionLog keeps the logs of sessions. A session is made of segments; a
// segment is a list of entries, and beside it a list of traces. Entries and
// traces are JSON objects whose meaning is the caller's; they are kept in
// compact form, keys in the order and numbers in the notation in which they
// were given.
//
// All methods are safe for concurrent use. Each method checks its context before it
// starts and while it waits to start. If the context has ended, the method returns the
// context's error and changes nothing.
//
// An entry that is not a JSON object fails with [ErrInvalid]. The error for a
// segment that does not exist matches [ErrNotFound], unless a method says otherwise. The
// error for damaged data matches [ErrCorrupt] and has file, line and column.
//
// Sessions and segments are listed newest first, that is by descending bytes of their
// IDs: see [NewSessionID]. A change always survives the end of the process. Each backend
// says whether it survives a loss of power.
type SessionLog interface {
	// Append adds one entry at the end of a segment, which is created if it does
	// not exist. After an error the segment holds the entry whole or not at all.
	// Entries that one goroutine appends keep their order.
	Append(ctx context.Context, session SessionID, segment SegmentID, entry json.RawMessage) error

	// ReadAll yields the entries in order, each in memory of its own: those that the
	// segment held when the loop began, whatever changes meanwhile. The loop holds no
	// lock and may use the store. For a damaged entry ReadAll yields nil and an error,
	// and then goes on. An error that makes going on impossible ends the sequence; so
	// does the end of the context. Text after the last complete line, left by an append
	// that was interrupted, is no entry. Another loop over the sequence yields what is
	// there at that time.
	ReadAll(ctx context.Context, session SessionID, segment SegmentID) iter.Seq2[json.RawMessage, error]

	// ReadFrom yields what ReadAll yields, without the first n entries; damaged
	// ones count. Of a segment with no more than n entries it yields nothing. A
	// negative n is ErrInvalid.
	ReadFrom(ctx context.Context, session SessionID, segment SegmentID, n int) iter.Seq2[json.RawMessage, error]

	// ListSessions returns all sessions, newest first.
	ListSessions(ctx context.Context) ([]SessionID, error)

	// ListSegments returns the segments of a session, newest first; none for a
	// session that does not exist. Traces alone make no segment.
	ListSegments(ctx context.Context, session SessionID) ([]SegmentID, error)

	// SessionOf returns the session to which a segment belongs; the error is
	// ErrNotFound when there is none. Segment IDs are meant to be unique; of
	// several sessions with the same one, any may be returned.
	SessionOf(ctx context.Context, segment SegmentID) (SessionID, error)

	// CreateSegment creates a segment with the given entries, atomically, in
	// place of one that exists. If one entry is refused, nothing is changed. The
	// traces of a segment that is replaced stay.
	CreateSegment(ctx context.Context, session SessionID, segment SegmentID, entries []json.RawMessage) error

	// Exists reports whether a segment exists.
	Exists(ctx context.Context, session SessionID, segment SegmentID) (bool, error)

	// Truncate keeps the first entries of a segment, atomically. If the segment has fewer
	// entries, Truncate keeps all. A negative number fails with ErrInvalid.
	Truncate(ctx context.Context, session SessionID, segment SegmentID, entries int) error

	// EntryCount counts the entries of a segment, damaged ones included: as many
	// as ReadAll yields.
	EntryCount(ctx context.Context, session SessionID, segment SegmentID) (int, error)

	// AppendTrace adds one trace beside a segment, under the rules of Append. It
	// neither needs nor creates the segment.
	AppendTrace(ctx context.Context, session SessionID, segment SegmentID, trace json.RawMessage) error

	// DeleteSession removes a session with its segments and traces, atomically. Deleting
	// a missing session is no error. A later append creates the session again.
	DeleteSession(ctx context.Context, session SessionID) error

	// SessionModified returns when a session was last changed, by the clock of the
	// log. Each change to its segments and traces moves that time on; reading does
	// not. The error for a session that does not exist matches ErrNotFound.
	SessionModified(ctx context.Context, session SessionID) (time.Time, error)
}

// Follower is the optional ability of a [SessionLog] to yield entries as they are
// appended. Use [Follow].
type Follower interface {
	// Follow yields what ReadFrom yields, then waits and yields each entry that is
	// appended, in order, each once. While it waits it does no work. It holds no lock
	// in the loop, which may use the log.
	//
	// The last element is an error: the context's when that ends; ErrConflict when the
	// segment was truncated or replaced, so that entry numbers no longer mean the same;
	// ErrNotFound when the segment was deleted. Entries that were appended shortly
	// before that may be missing. When the loop ends, no goroutine and no open file is
	// left.
	Follow(ctx context.Context, session SessionID, segment SegmentID, n int) iter.Seq2[json.RawMessage, error]
}

// Follow yields the entries of a segment without the first n, and then each one
// that is appended: see [Follower]. For a log without that ability the only element is
// an error that matches [errors.ErrUnsupported].
func Follow(ctx context.Context, logs SessionLog, session SessionID, segment SegmentID, n int) iter.Seq2[json.RawMessage, error] {
	if f, ok := logs.(Follower); ok {
		return f.Follow(ctx, session, segment, n)
	}
	return func(yield func(json.RawMessage, error) bool) {
		yield(nil, &Error{Op: "follow", Err: errors.ErrUnsupported})
	}
}
