package store_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"podstore/store"
)

func TestRevisionText(t *testing.T) {
	for text, r := range map[string]store.Revision{
		"0-0000000000000000":                    {},
		"1-00000000000000ff":                    {Number: 1, Digest: 255},
		"18446744073709551615-ffffffffffffffff": {Number: math.MaxUint64, Digest: math.MaxUint64},
	} {
		if got := r.String(); got != text {
			t.Errorf("String of %+v is %q, want %q", r, got, text)
		}
		if got, err := store.ParseRevision(text); got != r || err != nil {
			t.Errorf("ParseRevision %q: %v, %v", text, got, err)
		}
		if r.IsZero() != (r == store.Revision{}) {
			t.Errorf("IsZero of %v: %v", r, r.IsZero())
		}
	}
	for _, text := range []string{
		"", "-", "1", "1-", "-00000000000000ff", "1-ff", "1-00000000000000FF", "01-00000000000000ff", "+1-00000000000000ff", " 1-00000000000000ff", "1-00000000000000ff\n",
		"1-000000000000000ff", "1-00000000000000fg", "18446744073709551616-00000000000000ff", "1-00000000000000ff-1", "0x1-00000000000000ff", "1_0-00000000000000ff",
	} {
		if got, err := store.ParseRevision(text); !errors.Is(err, store.ErrInvalid) || !got.IsZero() {
			t.Errorf("ParseRevision %q: %v, %v", text, got, err)
		}
	}
}

func TestConditionText(t *testing.T) {
	at := store.AtRevision(store.Revision{Number: 7, Digest: 1})
	for text, c := range map[string]store.Condition{
		"": {}, "exists": store.Exists, "missing": store.Missing, "skip_missing": store.SkipMissing, "7-0000000000000001": at,
	} {
		if got := c.String(); got != text {
			t.Errorf("String of %+v is %q, want %q", c, got, text)
		}
		if got, err := store.ParseCondition(text); got != c || err != nil {
			t.Errorf("ParseCondition %q: %v, %v", text, got, err)
		}
		if c.NeedsRevision() != (c == at) {
			t.Errorf("NeedsRevision of %q: %v", text, c.NeedsRevision())
		}
	}
	for _, text := range []string{"Exists", "always", " ", "7", "7-1"} {
		if got, err := store.ParseCondition(text); !errors.Is(err, store.ErrInvalid) || got != (store.Condition{}) {
			t.Errorf("ParseCondition %q: %v, %v", text, got, err)
		}
	}
}

func TestConditionCheck(t *testing.T) {
	r := store.Revision{Number: 1}
	for _, c := range []struct {
		condition store.Condition
		there     bool
		at        store.Revision
		do        bool
		err       error
	}{
		{store.Condition{}, true, r, true, nil},
		{store.Condition{}, false, store.Revision{}, true, nil},
		{store.Exists, true, r, true, nil},
		{store.Exists, false, r, false, store.ErrNotFound},
		{store.Missing, false, r, true, nil},
		{store.Missing, true, r, false, store.ErrExists},
		{store.SkipMissing, true, r, true, nil},
		{store.SkipMissing, false, r, false, nil},
		{store.AtRevision(r), true, r, true, nil},
		{store.AtRevision(r), false, r, true, nil}, // it was there before the changes
		{store.AtRevision(r), true, store.Revision{Number: 2}, false, store.ErrConflict},
		{store.AtRevision(r), true, store.Revision{Number: 1, Digest: 1}, false, store.ErrConflict},
		{store.AtRevision(r), false, store.Revision{}, false, store.ErrConflict},
	} {
		do, err := c.condition.Check("agent", c.there, c.at)
		var e *store.Error
		if do != c.do || !errors.Is(err, c.err) || err != nil && (!errors.As(err, &e) || e.Pod != "agent") {
			t.Errorf("%q, there %v at %v: %v, %v", c.condition, c.there, c.at, do, err)
		}
	}
}

func TestNextVersion(t *testing.T) {
	zone := time.FixedZone("", 7200)
	now := time.Date(2026, 5, 4, 3, 2, 1, 987_654_321, zone)
	today := time.Date(2026, 5, 4, 1, 2, 1, 987_000_000, time.UTC)
	created := today.AddDate(-1, 0, 0)
	past := today.AddDate(0, -1, 0)
	pod := func(created, changed time.Time) *store.Metadata {
		return &store.Metadata{PodName: "agent", Version: store.Version{Revision: store.Revision{Number: 9}, Created: created, Changed: changed}}
	}
	put := func(created, changed time.Time) []store.Change {
		return []store.Change{
			{Pod: "other", Op: store.Put{Metadata: &store.Metadata{PodName: "other"}, Created: today.AddDate(-9, 0, 0), Changed: today.AddDate(-9, 0, 0)}},
			{Pod: "agent", Op: store.Put{Metadata: &store.Metadata{PodName: "agent"}, Created: created, Changed: changed}},
		}
	}
	none := time.Time{}
	for what, c := range map[string]struct {
		was              *store.Metadata
		changes          []store.Change
		created, changed time.Time
	}{
		"a new Pod":                                 {nil, nil, today, today},
		"a Pod that exists":                         {pod(created, past), nil, created, today},
		"a Pod whose times are unknown":             {pod(none, none), nil, none, today},
		"a clock that was set back a little":        {pod(created, today.Add(time.Hour)), nil, created, today.Add(time.Hour)},
		"a clock that was far ahead":                {pod(created, today.Add(time.Hour+time.Millisecond)), nil, created, today},
		"a clock that was far ahead at creation":    {pod(today.AddDate(1, 0, 0), today.AddDate(1, 0, 0)), nil, today, today},
		"a put of a new Pod":                        {nil, put(none, none), today, today},
		"a put of a new Pod with its times":         {nil, put(created.In(zone).Add(999_999), past.In(zone).Add(999_999)), created, past},
		"a put of a new Pod with a changed time":    {nil, put(none, past), past, past},
		"a put of a new Pod with a created time":    {nil, put(created, none), created, today},
		"a put of a Pod that exists":                {pod(created, past), put(none, none), created, today},
		"a put of a Pod that exists with times":     {pod(created, today), put(today.AddDate(-5, 0, 0), past), created, past},
		"a put of what changed before it was there": {pod(created, today), put(none, created.AddDate(-1, 0, 0)), created.AddDate(-1, 0, 0), created.AddDate(-1, 0, 0)},
		"a put that was created after it changed":   {nil, put(past, created), created, created},
		"a put from the future":                     {nil, put(today.AddDate(1, 0, 0), today.AddDate(1, 0, 0)), today, today},
		"a put from the future of a Pod that is":    {pod(created, past), put(none, today.AddDate(1, 0, 0)), created, today},
		"a put of a Pod whose times are unknown":    {pod(none, none), put(created, past), none, past},
	} {
		got := store.NextVersion(c.was, c.changes, "agent", now)
		if want := (store.Version{Created: c.created, Changed: c.changed}); got != want {
			t.Errorf("%s: got %v, %v, want %v, %v", what, got.Created, got.Changed, c.created, c.changed)
		}
	}
}
