package store_test

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"podstore/store"
)

func TestErrorText(t *testing.T) {
	cause := errors.New("unexpected end")
	for _, c := range []struct {
		err                    store.Error
		text, position, reason string
	}{
		{store.Error{}, "unknown error", "", "unknown error"},
		{store.Error{Kind: store.ErrNotFound}, "not found", "", "not found"},
		{store.Error{Err: cause}, "unexpected end", "", "unexpected end"},
		{store.Error{Kind: store.ErrCorrupt, Err: cause}, "damaged data: unexpected end", "", "unexpected end"},
		{store.Error{Op: "list", Err: cause}, "list: unexpected end", "", "unexpected end"},
		{store.Error{Op: "read", Pod: "agent", Kind: store.ErrNotFound}, `read pod "agent": not found`, "", "not found"},
		{store.Error{Op: "read", Pod: "line\nbreak", Kind: store.ErrNotFound}, `read pod "line\nbreak": not found`, "", "not found"},
		{store.Error{Pod: "agent", Err: cause}, `pod "agent": unexpected end`, "", "unexpected end"},
		{store.Error{Path: "/p/metadata.json", Err: cause}, "/p/metadata.json: unexpected end", "/p/metadata.json", "unexpected end"},
		{
			store.Error{Op: "import", Pod: "agent", Path: "/p/metadata.json", Line: 3, Column: 7, Kind: store.ErrInvalid, Err: cause},
			`import pod "agent" /p/metadata.json:3:7: invalid: unexpected end`, "/p/metadata.json:3:7", "unexpected end",
		},
		{store.Error{Path: "/p", Line: 3}, "/p:3: unknown error", "/p:3", "unknown error"},
		{store.Error{Path: "/p", Column: 7}, "/p: unknown error", "/p", "unknown error"},
		{store.Error{Line: 3, Column: 7}, "line 3 column 7: unknown error", "line 3 column 7", "unknown error"},
		{store.Error{Op: "decode", Line: 3, Column: 7, Err: cause}, "decode line 3 column 7: unexpected end", "line 3 column 7", "unexpected end"},
		{store.Error{Line: 3}, "unknown error", "", "unknown error"},
		{store.Error{Path: "/日本/a b"}, "/日本/a b: unknown error", "/日本/a b", "unknown error"},
		{store.Error{Path: "/a\nb", Line: 1, Column: 1}, `"/a\nb":1:1: unknown error`, `"/a\nb":1:1`, "unknown error"},
		{store.Error{Path: "/\x1b[31m"}, `"/\x1b[31m": unknown error`, `"/\x1b[31m"`, "unknown error"},
	} {
		if got := c.err.Error(); got != c.text {
			t.Errorf("Error: got %q, want %q", got, c.text)
		}
		if got := c.err.Position(); got != c.position {
			t.Errorf("Position: got %q, want %q", got, c.position)
		}
		if got := c.err.Reason(); got != c.reason {
			t.Errorf("Reason: got %q, want %q", got, c.reason)
		}
	}
}

// A path that is not UTF-8 is quoted, so that messages stay UTF-8.
func TestErrorQuotesPathThatIsNotUTF8(t *testing.T) {
	e := store.Error{Path: "/\xff"}
	if got := e.Position(); got != `"/\xff"` {
		t.Errorf("Position: got %q", got)
	}
}

func TestErrorMatchesKindAndCause(t *testing.T) {
	inner := &store.Error{Op: "decode", Kind: store.ErrInvalid, Line: 2}
	err := fmt.Errorf("import: %w", &store.Error{
		Op: "read", Pod: "agent", Kind: store.ErrCorrupt, Err: errors.Join(inner, &fs.PathError{Op: "open", Path: "/p", Err: fs.ErrPermission}),
	})
	for _, want := range []error{store.ErrCorrupt, store.ErrInvalid, fs.ErrPermission} {
		if !errors.Is(err, want) {
			t.Errorf("%v does not match %q", err, want)
		}
	}
	if errors.Is(err, store.ErrNotFound) {
		t.Errorf("%v matches ErrNotFound", err)
	}
	var e *store.Error
	if !errors.As(err, &e) || e.Pod != "agent" {
		t.Errorf("errors.As finds %+v, want the outermost *store.Error", e)
	}
	var path *fs.PathError
	if !errors.As(err, &path) {
		t.Error("errors.As does not find the cause")
	}
	if got := (&store.Error{}).Unwrap(); len(got) != 0 {
		t.Errorf("an empty error unwraps to %v", got)
	}
}

// No kind of error is taken for another.
func TestSentinelsAreDistinct(t *testing.T) {
	all := []error{
		store.ErrNotFound, store.ErrInvalidName, store.ErrInvalid, store.ErrExists, store.ErrReadOnly, store.ErrLocked,
		store.ErrClosed, store.ErrCorrupt, store.ErrFormat, store.ErrUnusable, store.ErrNoSpace,
	}
	for i, a := range all {
		for j, b := range all {
			if errors.Is(&store.Error{Kind: a}, b) != (i == j) {
				t.Errorf("%q and %q are mixed up", a, b)
			}
		}
	}
}
