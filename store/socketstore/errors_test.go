package socketstore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"podstore/store"
)

// Every error of package store crosses the socket: it matches the same sentinels,
// names the same Pod and place, and says its kind once.
func TestErrorsCross(t *testing.T) {
	for _, sent := range []error{
		&store.Error{Op: "read", Pod: "a", Kind: store.ErrNotFound},
		&store.Error{Op: "decode", Pod: "a", Path: "/pods.db", Line: 3, Column: 7, Kind: store.ErrInvalid, Err: errors.New("expected a colon")},
		&store.Error{Op: "commit", Path: "/pods.db", Kind: store.ErrNoSpace, Err: &store.Error{Op: "update", Kind: store.ErrUnusable, Err: io.ErrShortWrite}},
		&store.Error{Op: "update", Pod: "a", Kind: store.ErrConflict, Err: store.ErrConflict},
		fmt.Errorf("around: %w", &store.Error{Op: "write", Kind: store.ErrReadOnly}),
		fmt.Errorf("%w: 5 Pods", store.ErrTooLarge),
		&store.Error{Op: "update", Pod: "a", Kind: store.ErrUnknown, Err: io.EOF},
		errors.ErrUnsupported,
		fmt.Errorf("%w: of no use", errors.ErrUnsupported),
		errors.New("nothing in particular"),
		&store.Error{Op: "read"},
		store.ValidateName("a/b"),
		forbidden("a", errors.New("not yours")),
		withStatus{fmt.Errorf("%w: nothing is there", errors.ErrUnsupported), http.StatusNotFound},
	} {
		d, status := documentOf(sent)
		if status < 400 {
			t.Errorf("%v has status %d", sent, status)
		}
		line := appendError(nil, d)
		if bytes.Count(line, []byte("\n")) != 1 || line[len(line)-1] != '\n' {
			t.Errorf("%q is not a line", line)
		}
		got := errorIn(bytes.TrimSuffix(line, []byte("\n")))
		for _, k := range kinds {
			if errors.Is(got, k.err) != errors.Is(sent, k.err) {
				t.Errorf("%q: whether it matches %q differs from %q", got, k.err, sent)
			}
			if n := strings.Count(got.Error(), k.err.Error()); n > 1 && k.err != store.ErrInvalid {
				t.Errorf("%q says %q %d times", got, k.err, n)
			}
		}
		g, ok := errors.AsType[*store.Error](got)
		if !ok {
			t.Fatalf("%v is no *store.Error", got)
		}
		if s, ok := errors.AsType[*store.Error](sent); ok {
			if g.Op != s.Op || g.Pod != s.Pod || g.Path != s.Path || g.Line != s.Line || g.Column != s.Column {
				t.Errorf("got %v, want %v", g, s)
			}
		}
	}
	for _, k := range kinds {
		if got := kindNamed(k.name); got != k.err {
			t.Errorf("%s is %v", k.name, got)
		}
		d, status := documentOf(&store.Error{Kind: k.err})
		if got := d.err(); got.Kind != k.err || got.Error() != k.err.Error() || status != k.status {
			t.Errorf("%v comes across as %v, status %d", k.err, got, status)
		}
	}
	for _, sentinel := range []error{store.ErrNotFound, store.ErrInvalidName, store.ErrInvalid, store.ErrExists, store.ErrReadOnly, store.ErrLocked,
		store.ErrClosed, store.ErrCorrupt, store.ErrFormat, store.ErrUnusable, store.ErrNoSpace, store.ErrUnavailable, store.ErrConflict,
		store.ErrTooLarge, store.ErrUnknown, store.ErrForbidden} {
		d, _ := documentOf(sentinel)
		if got := d.err(); !errors.Is(got, sentinel) || got.Kind != sentinel {
			t.Errorf("%v comes across as %v", sentinel, got)
		}
	}
	if err := (&errorDocument{Kind: "of a later version", Reason: "new"}).err(); err.Kind != nil || err.Error() != "new" {
		t.Errorf("an unknown kind gives %v", err)
	}
}
