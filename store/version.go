package store

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Revision identifies one state of one Pod. It is a token: compare it with ==, and use
// it as a condition ([AtRevision]). Two states of a Pod never share one, even after an
// older copy of the store was put back and numbers repeat. The directory store of
// store/jsonexport is an exception: a Pod that is changed and changed back has its
// former revision again.
//
// No state has the zero Revision.
type Revision struct {
	// Number rises with each change of the store, unless an older copy of the store is
	// put back. All Pods that one Apply changed have the same one. It is 0 if the store
	// keeps no numbers, and for a Pod that was last changed before the store began to.
	Number uint64
	// Digest is a hash. It tells states with the same Number apart.
	Digest uint64
}

// IsZero reports whether r is the zero Revision.
func (r Revision) IsZero() bool { return r == Revision{} }

// String is the token as text: the number in decimal, a hyphen, and the digest as
// 16 hexadecimal digits. [ParseRevision] reads it.
func (r Revision) String() string { return fmt.Sprintf("%d-%016x", r.Number, r.Digest) }

// ParseRevision reads what [Revision.String] wrote. Anything else fails with
// [ErrInvalid].
func ParseRevision(s string) (Revision, error) {
	number, digest, found := strings.Cut(s, "-")
	n, err := strconv.ParseUint(number, 10, 64)
	d, err2 := strconv.ParseUint(digest, 16, 64)
	r := Revision{n, d}
	if !found || err != nil || err2 != nil || r.String() != s {
		return Revision{}, &Error{Kind: ErrInvalid,
			Err: fmt.Errorf("%.80q is no revision: expected a number, a hyphen and 16 hexadecimal digits, as the store gave them", s)}
	}
	return r, nil
}

// Version is a Pod's revision and its times.
type Version struct {
	Revision Revision
	// Created and Changed are in UTC, to the millisecond. They are zero if the store
	// does not know them.
	Created, Changed time.Time
}

// clockTolerance bounds how far a Pod's changed time may be ahead of the clock and be
// kept. So a clock that was set back a little does not move the time back, and the
// time of a clock that was far ahead is corrected.
const clockTolerance = time.Hour

// NextVersion returns, for backends, the times that a Pod has after changes at now,
// as a Version without a Revision. was is the Pod before them, nil if it did not exist,
// with a zero Version if its times are unknown.
func NextVersion(was *Metadata, changes []Change, pod string, now time.Time) Version {
	now = now.UTC().Truncate(time.Millisecond)
	v := Version{Changed: now}
	if was == nil {
		v.Created = now
	} else {
		v.Created = was.Version.Created
		if ahead := was.Version.Changed; ahead.After(now) && ahead.Sub(now) <= clockTolerance {
			v.Changed = ahead
		}
	}
	for _, c := range changes {
		if put, ok := c.Op.(Put); ok && c.Pod == pod {
			if !put.Changed.IsZero() {
				v.Changed = earlier(put.Changed.UTC().Truncate(time.Millisecond), now)
			}
			if was == nil && !put.Created.IsZero() {
				v.Created = earlier(put.Created.UTC().Truncate(time.Millisecond), now)
			}
		}
	}
	v.Created = earlier(v.Created, v.Changed)
	return v
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
