package boltstore

import (
	"errors"

	"podstore/store"
)

// resent has the answers to the last requests that were sent again. An earlier sending of
// such a request may still be on its way, as in a connection that its client has given up.
// If it arrived after the Pods have lost the ID, because they were deleted or changed
// often, it would be made a second time. If the request was refused, or changed nothing,
// it would be made after its caller was told so. The file keeps nothing of this: whoever
// has such a sending has this Store.
type resent struct{ young, old map[store.RequestID]answer }

type answer struct {
	changes uint32          // checksum of the changes
	err     error           // why they were refused
	applied []store.Applied // the results otherwise; nil if there are too many to keep
}

// mostKept is how many results of one request are kept.
const mostKept = 16

// refusal is a copy: its receiver may change it.
func (a *answer) refusal() error {
	if e, ok := errors.AsType[*store.Error](a.err); ok {
		refusal := *e
		return &refusal
	}
	return a.err
}

// keptResent is how many answers are kept at least; twice that at most.
const keptResent = 4096

func (r *resent) get(id store.RequestID) (a answer, ok bool) {
	if a, ok = r.young[id]; !ok {
		a, ok = r.old[id]
	}
	return a, ok
}

// put keeps the first answer, and reports whether it does. It does not keep an error that
// says nothing of earlier sendings: the client makes ErrUnknown of that.
func (r *resent) put(id store.RequestID, a answer) bool {
	if a.err != nil && !store.Unmet(a.err) {
		return false
	}
	if _, ok := r.get(id); ok {
		return false
	}
	if r.young == nil || len(r.young) >= keptResent {
		r.young, r.old = map[store.RequestID]answer{}, r.young
	}
	if len(a.applied) > mostKept {
		a.applied = nil
	}
	r.young[id] = a
	return true
}

// drop forgets an answer that came of a commit that failed: nobody got it.
func (r *resent) drop(id store.RequestID) {
	delete(r.young, id)
	delete(r.old, id)
}
