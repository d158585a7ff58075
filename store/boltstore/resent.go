package boltstore

import (
	"errors"

	"podstore/store"
)

// resent has the answers to the last requests that were sent again: nil, or why the
// request was refused. An earlier sending of such a request may still be on its way, as in
// a connection that its client has given up. If it arrived after the Pods have lost the
// ID, because they were deleted or changed often, it would be made a second time. If the
// request was refused, it would be made after its caller was told so. Such a sending
// cannot outlive the process, so the file keeps nothing of this.
type resent struct{ young, old map[store.RequestID]error }

// keptResent is how many answers are kept at least; twice that at most.
const keptResent = 4096

func (r *resent) get(id store.RequestID) (answer error, ok bool) {
	if answer, ok = r.young[id]; !ok {
		answer, ok = r.old[id]
	}
	return answer, ok
}

// put keeps an answer. It does not keep an error that says nothing of earlier sendings:
// the client makes ErrUnknown of that.
func (r *resent) put(id store.RequestID, answer error) {
	if answer != nil && !errors.Is(answer, store.ErrNotFound) && !errors.Is(answer, store.ErrExists) && !errors.Is(answer, store.ErrConflict) {
		return
	}
	if r.young == nil || len(r.young) >= keptResent {
		r.young, r.old = map[store.RequestID]error{}, r.young
	}
	r.young[id] = answer
}
