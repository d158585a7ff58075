package store_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"podstore/store"
)

func TestNewIDsAreVersion7AndRise(t *testing.T) {
	before := time.Now().Truncate(time.Millisecond)
	var last uuid.UUID
	for i := range 20_000 {
		id := uuid.UUID(store.NewSessionID())
		if i%2 == 1 {
			id = uuid.UUID(store.NewSegmentID())
		}
		if id.Version() != 7 || id.Variant() != uuid.RFC4122 {
			t.Fatalf("%v has version %d, variant %d", id, id.Version(), id.Variant())
		}
		if bytes.Compare(id[:], last[:]) <= 0 {
			t.Fatalf("%v follows %v", id, last)
		}
		last = id
	}
	made := time.Unix(last.Time().UnixTime())
	if made.Before(before.Add(-time.Second)) || made.After(time.Now().Add(time.Minute)) {
		t.Errorf("an ID made after %v says %v", before, made)
	}
}

func TestNewIDsFromManyGoroutines(t *testing.T) {
	const each = 2000
	made := make([][]uuid.UUID, 8)
	var wg sync.WaitGroup
	for w := range made {
		wg.Go(func() {
			for range each {
				made[w] = append(made[w], uuid.UUID(store.NewSegmentID()))
			}
		})
	}
	wg.Wait()
	seen := map[uuid.UUID]bool{}
	for _, ids := range made {
		if !slices.IsSortedFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }) {
			t.Error("one goroutine's IDs do not rise")
		}
		for _, id := range ids {
			seen[id] = true
		}
	}
	if len(seen) != len(made)*each {
		t.Errorf("%d distinct IDs of %d", len(seen), len(made)*each)
	}
}

func TestParseIDs(t *testing.T) {
	const canonical = "0197f1d2-5a3b-7c4d-8e6f-0123456789ab"
	want := store.SessionID{0x01, 0x97, 0xf1, 0xd2, 0x5a, 0x3b, 0x7c, 0x4d, 0x8e, 0x6f, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab}
	mixed := "0197F1d2-5A3b-7C4D-8e6F-0123456789aB"
	simple := strings.ReplaceAll(canonical, "-", "")
	for _, s := range []string{
		canonical, mixed, strings.ToUpper(canonical), simple, strings.ToUpper(simple),
		"{" + canonical + "}", "{" + mixed + "}", "urn:uuid:" + canonical, "urn:uuid:" + mixed,
	} {
		session, err := store.ParseSessionID(s)
		if err != nil || session != want {
			t.Errorf("session %q: %v, %v", s, session, err)
		}
		segment, err := store.ParseSegmentID(s)
		if err != nil || segment != store.SegmentID(want) {
			t.Errorf("segment %q: %v, %v", s, segment, err)
		}
		var fromText store.SegmentID
		if err := fromText.UnmarshalText([]byte(s)); err != nil || fromText != segment {
			t.Errorf("text %q: %v, %v", s, fromText, err)
		}
	}
	for _, s := range []string{
		"", "-", "0", canonical[:35], canonical + "0", " " + canonical, canonical + "\n", canonical[1:] + " ",
		"{" + canonical, canonical + "}", "(" + canonical + ")", "x" + canonical + "x", "}" + canonical + "{", "\"" + canonical + "\"",
		"{" + simple + "}", "urn:uuid:" + simple, "URN:UUID:" + canonical, "Urn:uuid:" + canonical, "uuid:urn:" + canonical,
		"g" + canonical[1:], "0197f1d25-a3b-7c4d-8e6f-0123456789ab", "0197f1d2_5a3b_7c4d_8e6f_0123456789ab",
		strings.Repeat("-", 36), strings.Repeat("0", 31) + "x", strings.Repeat("é", 16), strings.Repeat("é", 18), "+" + simple[1:],
	} {
		if id, err := store.ParseSessionID(s); !errors.Is(err, store.ErrInvalid) || id != (store.SessionID{}) {
			t.Errorf("session %q gave %v, %v", s, id, err)
		}
		if id, err := store.ParseSegmentID(s); !errors.Is(err, store.ErrInvalid) || id != (store.SegmentID{}) {
			t.Errorf("segment %q gave %v, %v", s, id, err)
		}
	}
	if _, err := store.ParseSessionID(strings.Repeat("x", 1<<20)); len(err.Error()) > 300 {
		t.Errorf("the error has %d bytes", len(err.Error()))
	}
}

func TestIDsAsText(t *testing.T) {
	type both struct {
		Session store.SessionID
		Segment store.SegmentID
		Map     map[store.SegmentID]store.SessionID
	}
	in := both{store.NewSessionID(), store.NewSegmentID(), map[store.SegmentID]store.SessionID{{1}: {2}}}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"Session":"` + in.Session.String() + `","Segment":"` + in.Segment.String() +
		`","Map":{"01000000-0000-0000-0000-000000000000":"02000000-0000-0000-0000-000000000000"}}`
	if string(text) != want {
		t.Errorf("got %s, want %s", text, want)
	}
	var out both
	if err := json.Unmarshal(text, &out); err != nil || out.Session != in.Session || out.Segment != in.Segment || out.Map[store.SegmentID{1}] != (store.SessionID{2}) {
		t.Errorf("read back as %v, %v", out, err)
	}
	if in.Session.String() != strings.ToLower(in.Session.String()) || len(in.Segment.String()) != 36 {
		t.Errorf("%s, %s are not lower case and hyphenated", in.Session, in.Segment)
	}
	for _, bad := range []string{`{"Session":"x"}`, `{"Segment":""}`, `{"Session":1}`} {
		if err := json.Unmarshal([]byte(bad), &out); err == nil {
			t.Errorf("accepted %s", bad)
		}
	}
}
