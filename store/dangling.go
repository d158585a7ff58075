package store

import (
	"context"
	"errors"
	"iter"
	"time"
)

// Dangling is a Pod whose active pointer names a session or segment that the logs do not
// have.
type Dangling struct {
	Pod    string
	Active ActiveSegment
	// NoSession says that there is no such session. Otherwise the session exists
	// and has no such segment. It is always set for a pending pointer, which names no
	// segment: such a Pod may have only just begun.
	NoSession bool
}

// DanglingActive yields, in the order of [All], the Pods that point at a session
// or segment that logs do not have. It changes nothing and reads no log. What is
// created while it runs counts as existing.
//
// If a Pod cannot be read, or logs cannot be asked about it, DanglingActive yields an
// error that names it. It yields an error that concerns no single Pod too. It calls
// Exists at most twice for each Pod, and ListSessions at most once.
func DanglingActive(ctx context.Context, pods MetadataStore, logs SessionLog) iter.Seq2[Dangling, error] {
	return func(yield func(Dangling, error) bool) {
		var suspects []Dangling
		for m, err := range All(ctx, pods, ReadOptions{OmitManifest: true}) {
			if err != nil {
				if !yield(Dangling{}, err) {
					return
				}
				continue
			}
			if m.Active == nil {
				continue
			}
			d := Dangling{Pod: m.PodName, Active: *m.Active}
			there, err := d.segmentExists(ctx, logs)
			switch {
			case err != nil:
				if !yield(Dangling{}, err) {
					return
				}
			case !there:
				suspects = append(suspects, d)
			}
		}
		if len(suspects) == 0 || ctx.Err() != nil {
			return
		}
		// Listed after the Pods were read: the list has every session that they name.
		sessions, err := logs.ListSessions(ctx)
		if err != nil {
			yield(Dangling{}, err)
			return
		}
		known := make(map[SessionID]bool, len(sessions))
		for _, id := range sessions {
			known[id] = true
		}
		for _, d := range suspects {
			d.NoSession = !known[d.Active.SessionID]
			there := !d.NoSession
			if there && d.Active.SegmentID != nil {
				there, err = d.segmentExists(ctx, logs)
			}
			if err != nil && !yield(Dangling{}, err) || err == nil && !there && !yield(d, nil) {
				return
			}
		}
	}
}

// segmentExists reports whether the Pod's segment exists. A pending pointer has
// none.
func (d Dangling) segmentExists(ctx context.Context, logs SessionLog) (bool, error) {
	if d.Active.SegmentID == nil {
		return false, nil
	}
	there, err := logs.Exists(ctx, d.Active.SessionID, *d.Active.SegmentID)
	if err != nil {
		err = &Error{Op: "look for the active segment of", Pod: d.Pod, Err: err}
	}
	return there, err
}

// Unreferenced is a session to which no Pod's active pointer leads.
type Unreferenced struct {
	Session SessionID
	// Modified is when it was last changed: see [SessionLog.SessionModified].
	Modified time.Time
}

// UnreferencedSessions yields the sessions of logs to which no Pod's active
// pointer leads, newest first. It changes nothing and reads no log.
//
// A session that has just begun is unreferenced until its Pod points at it. A session
// that a Pod has left may be the origin of a fork. So do not delete a session for this
// alone: look at Modified too.
//
// A Pod that cannot be read might point at any of them. Errors are yielded first, and
// after an error no session follows.
func UnreferencedSessions(ctx context.Context, pods MetadataStore, logs SessionLog) iter.Seq2[Unreferenced, error] {
	return func(yield func(Unreferenced, error) bool) {
		// Listed before the Pods are read: a session that is created later, with a
		// Pod that points at it, is then not reported.
		sessions, err := logs.ListSessions(ctx)
		if err != nil {
			yield(Unreferenced{}, err)
			return
		}
		referenced := make(map[SessionID]bool)
		whole := true
		for m, err := range All(ctx, pods, ReadOptions{OmitManifest: true}) {
			if err != nil {
				whole = false
				if !yield(Unreferenced{}, err) {
					return
				}
			} else if m.Active != nil {
				referenced[m.Active.SessionID] = true
			}
		}
		if !whole {
			return
		}
		for _, id := range sessions {
			if referenced[id] {
				continue
			}
			modified, err := logs.SessionModified(ctx, id)
			if errors.Is(err, ErrNotFound) {
				continue // deleted meanwhile
			}
			if err != nil && (!yield(Unreferenced{}, err) || ctx.Err() != nil) {
				return
			}
			if err == nil && !yield(Unreferenced{id, modified}, nil) {
				return
			}
		}
	}
}
