package store

import "errors"

// Outcome is the result of copying one Pod.
type Outcome string

// The outcomes of a copy.
const (
	Written   Outcome = "written"   // it was not there, or was replaced
	Unchanged Outcome = "unchanged" // the same is there already
	Conflict  Outcome = "conflict"  // something else is there, and was kept
	Refused   Outcome = "refused"   // it could not be read or written
)

// CopyResult is one Pod's outcome. Err says why it was refused or in conflict.
type CopyResult struct {
	Pod     string
	Outcome Outcome
	Field   string // of a conflict: the first field that differs
	Err     error
}

// CopySummary counts outcomes.
type CopySummary struct {
	Written, Unchanged, Conflicts, Refused int
}

// Count adds one outcome.
func (s *CopySummary) Count(o Outcome) {
	switch o {
	case Written:
		s.Written++
	case Unchanged:
		s.Unchanged++
	case Conflict:
		s.Conflicts++
	case Refused:
		s.Refused++
	}
}

func failed(it copyItem) bool {
	return it.result.Outcome == Refused || it.result.Outcome == Conflict
}

// concernsAll reports whether no other Pod can be copied after this error.
func concernsAll(err error) bool {
	for _, kind := range []error{ErrNoSpace, ErrReadOnly, ErrClosed, ErrLocked, ErrUnusable, ErrUnavailable} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}
