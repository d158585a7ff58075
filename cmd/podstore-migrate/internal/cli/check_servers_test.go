package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"strings"
	"testing"

	"podstore/store"
	"podstore/store/memstore"
)

// listing is a store of servers that has a Pod, gives errors, and has another Pod.
type listing struct {
	*memstore.Store
	errs []error
}

func (s listing) All(_ context.Context, _ store.ReadOptions) iter.Seq2[*store.Metadata, error] {
	return func(yield func(*store.Metadata, error) bool) {
		if !yield(&store.Metadata{PodName: "a"}, nil) {
			return
		}
		for _, err := range s.errs {
			if !yield(nil, err) {
				return
			}
		}
		yield(&store.Metadata{PodName: "b"}, nil)
	}
}

// checked is one with a check of its own.
type checked struct{ listing }

func (s checked) Check(_ context.Context, report func(error)) (pods int, err error) {
	for _, err := range s.errs {
		report(err)
	}
	return 2, nil
}

// TestCheckKeepsErrors: what check learns of servers is told whatever comes after it: an
// error that names no Pod ends the command with an error, and never with "no damage".
func TestCheckKeepsErrors(t *testing.T) {
	away := &store.Error{Op: "list", Kind: store.ErrUnavailable, Err: errors.New("the first server is away")}
	damaged := &store.Error{Op: "read", Pod: "c", Kind: store.ErrCorrupt, Err: errors.New("torn")}
	for _, test := range []struct {
		errs []error
		exit int
		says []string
	}{
		{nil, exitDone, []string{"check: 2 Pods, no damage"}},
		{[]error{damaged}, exitDamage, []string{"damaged pod c: torn"}},
		{[]error{away, damaged}, exitFailure, []string{"the first server is away", "damaged pod c: torn"}},
		{[]error{damaged, away}, exitFailure, []string{"the first server is away", "damaged pod c: torn"}},
		{[]error{away, errors.New("and another")}, exitFailure, []string{"the first server is away", "and another"}},
	} {
		own := listing{memstore.New(), test.errs}
		for what, s := range map[string]store.MetadataStore{"reading": own, "its own": checked{own}} {
			var out, errs bytes.Buffer
			c := newConsole(&out, &errs)
			c.schemes = []Scheme{{Name: "mem", Open: func(context.Context, string, bool) (store.MetadataStore, io.Closer, error) {
				return s, io.NopCloser(nil), nil
			}}}
			code := c.execute(context.Background(), []string{"check", "mem://"})
			text := out.String() + errs.String()
			if code != test.exit || test.exit != exitDone && strings.Contains(text, "no damage") {
				t.Errorf("%s, %v: exit code %d, want %d\n%s", what, test.errs, code, test.exit, text)
			}
			for _, says := range test.says {
				if !strings.Contains(text, says) {
					t.Errorf("%s, %v: it does not say %q:\n%s", what, test.errs, says, text)
				}
			}
		}
	}
}
