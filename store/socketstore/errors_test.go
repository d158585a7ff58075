package socketstore

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"podstore/store"
)

// Every error of package store crosses the socket: it matches the same sentinels,
// and names the same Pod and place.
func TestErrorsCross(t *testing.T) {
	for _, sent := range []error{
		&store.Error{Op: "read", Pod: "a", Kind: store.ErrNotFound},
		&store.Error{Op: "decode", Pod: "a", Path: "/pods.db", Line: 3, Column: 7, Kind: store.ErrInvalid, Err: errors.New("expected a colon")},
		&store.Error{Op: "commit", Path: "/pods.db", Kind: store.ErrNoSpace, Err: &store.Error{Op: "update", Kind: store.ErrUnusable, Err: io.ErrShortWrite}},
		fmt.Errorf("around: %w", &store.Error{Op: "write", Kind: store.ErrReadOnly}),
		fmt.Errorf("%w: 5 Pods", store.ErrTooLarge),
		&store.Error{Op: "update", Pod: "a", Kind: store.ErrUnknown, Err: io.EOF},
		errors.ErrUnsupported,
		errors.New("nothing in particular"),
		store.ValidateName("a/b"),
	} {
		d, status := documentOf(sent)
		if status < 400 {
			t.Errorf("%v has status %d", sent, status)
		}
		line := appendJSON(nil, errorLine{d})
		got := lineError(line)
		for _, k := range kinds {
			if errors.Is(got, k.err) != errors.Is(sent, k.err) {
				t.Errorf("%q: whether it matches %q differs from %q", got, k.err, sent)
			}
		}
		g, ok := errors.AsType[*store.Error](got)
		if !ok {
			t.Fatalf("%v is no *store.Error", got)
		}
		if s, ok := errors.AsType[*store.Error](sent); ok {
			if g.Op != s.Op || g.Pod != s.Pod || g.Path != s.Path || g.Line != s.Line || g.Column != s.Column || g.Error() != s.Error() {
				t.Errorf("got %v, want %v", g, s)
			}
		}
	}
	for _, sentinel := range []error{store.ErrNotFound, store.ErrInvalidName, store.ErrInvalid, store.ErrExists, store.ErrReadOnly, store.ErrLocked,
		store.ErrClosed, store.ErrCorrupt, store.ErrFormat, store.ErrUnusable, store.ErrNoSpace, store.ErrUnavailable, store.ErrConflict,
		store.ErrTooLarge, store.ErrUnknown, ErrForbidden} {
		d, _ := documentOf(sentinel)
		if got := d.err(); !errors.Is(got, sentinel) || got.Kind != sentinel {
			t.Errorf("%v comes across as %v", sentinel, got)
		}
	}
	for _, k := range kinds {
		if got := kindNamed(k.name); got != k.err {
			t.Errorf("%s is %v", k.name, got)
		}
	}
	if err := (&errorDocument{Kind: "of a later version", Reason: "new"}).err(); err.Kind != nil || err.Error() != "new" {
		t.Errorf("an unknown kind gives %v", err)
	}
}
