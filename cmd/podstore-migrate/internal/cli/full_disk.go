package cli

import (
	"errors"
	"io/fs"
	"strings"

	"podstore/store"
)

// fullDisk words the error for a full disk: the operation and the system's message. It
// leaves out that the handle is unusable, which does not matter to an operator.
func fullDisk(err error) string {
	var e *store.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	cause, at := err, error(nil)
	for next := cause; next != nil; {
		cause = next
		if p, ok := cause.(*fs.PathError); ok && p.Path != e.Path {
			at = cause
		}
		if all, ok := cause.(interface{ Unwrap() []error }); ok && len(all.Unwrap()) > 0 {
			next = all.Unwrap()[len(all.Unwrap())-1] // a store.Error has its cause after its kind
		} else {
			next = errors.Unwrap(cause)
		}
	}
	if at != nil {
		cause = at
	}
	said := &store.Error{Op: e.Op, Pod: e.Pod, Path: e.Path, Err: cause}
	if !strings.Contains(cause.Error(), store.ErrNoSpace.Error()) {
		said.Kind = store.ErrNoSpace
	}
	return said.Error()
}
