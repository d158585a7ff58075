package store_test

import (
	"errors"
	"testing"

	"podstore/store"
)

// FuzzTokens: what a client sends as a revision, condition or id is read as what is
// written the same, or refused.
func FuzzTokens(f *testing.F) {
	for _, s := range []string{"", "exists", "missing", "skip_missing", "7-00000000000000ff", "18446744073709551615-ffffffffffffffff", "07-00000000000000ff", "7-ff",
		"0197f1d2-5a3b-7c4d-8e6f-0123456789ab", "{0197f1d2-5a3b-7c4d-8e6f-0123456789ab}", "urn:uuid:0197f1d2-5a3b-7c4d-8e6f-0123456789ab"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		refused := func(what string, err error) {
			if !errors.Is(err, store.ErrInvalid) {
				t.Errorf("%s %q: %v", what, s, err)
			}
		}
		if r, err := store.ParseRevision(s); err != nil {
			refused("revision", err)
		} else if r.String() != s {
			t.Errorf("revision %q is written as %q", s, r)
		}
		if c, err := store.ParseCondition(s); err != nil {
			refused("condition", err)
		} else if c.String() != s {
			t.Errorf("condition %q is written as %q", s, c)
		}
		id, err := store.ParseRequestID(s)
		if err != nil {
			refused("request id", err)
		} else if again, err := store.ParseRequestID(id.String()); err != nil || again != id {
			t.Errorf("id %q is %v, and then %v, %v", s, id, again, err)
		}
	})
}
