package codec

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"podstore/store"
)

// What a stamp holds comes back, and bytes that are no stamp are refused.
func TestStamp(t *testing.T) {
	ids := []MadeID{{store.NewRequestID(), 1, 2, 3}, {store.NewRequestID(), 1 << 31, 1<<32 - 1, 1 << 63}}
	e := NewEncoder()
	for _, want := range []Stamp{{}, {Number: 7, Created: 1, Changed: 1 << 40, HistoryCount: 3, HistorySum: 1 << 63, Floor: 2, IDs: ids}} {
		var got Stamp
		payload := e.Stamp(&want)
		if err := DecodeStamp(&got, payload); err != nil || got.Number != want.Number || got.Changed != want.Changed ||
			got.HistorySum != want.HistorySum || got.Floor != want.Floor || !slices.Equal(got.IDs, want.IDs) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
		for n := range payload {
			if err := DecodeStamp(&got, payload[:n]); !errors.Is(err, errShape) {
				t.Errorf("cut to %d bytes: %v", n, err)
			}
		}
	}
	last, floor, got, err := DecodeDeletions(e.Deletions(9, 4, ids))
	if last != 9 || floor != 4 || err != nil || !slices.Equal(got, ids) {
		t.Errorf("deletions: %d, %d, %+v, %v", last, floor, got, err)
	}
	if _, _, _, err := DecodeDeletions(unhex(t, "93 01 02 c4 01 00")); !errors.Is(err, errShape) {
		t.Errorf("a part of an ID: %v", err)
	}
}

// Times are kept to the millisecond, and none stays none.
func TestStampTimes(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_900_000, time.FixedZone("", 3600))
	s := Stamp{Number: 5}
	s.SetTimes(store.Version{Changed: at})
	want := store.Version{Revision: store.Revision{Number: 5, Digest: 6}, Changed: at.Truncate(time.Millisecond).UTC()}
	if got := s.Version(6); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// The oldest IDs go first, and the floor says up to where.
func TestIDsAreDropped(t *testing.T) {
	var ids []MadeID
	var floor uint64
	made := make([]store.RequestID, 5)
	for i := range made {
		made[i] = store.NewRequestID()
		ids = AddID(ids, &floor, MadeID{ID: made[i], Number: uint64(10 + i)}, 3)
	}
	if len(ids) != 3 || floor != 11 {
		t.Errorf("%d IDs are left, the floor is %d", len(ids), floor)
	}
	if FindID(ids, made[1]) != nil || FindID(ids, made[2]).Number != 12 {
		t.Errorf("found in %+v", ids)
	}
}

// Different changes have different sums, and equal ones the same.
func TestChangesSum(t *testing.T) {
	peer := func(name string) store.Op { return store.AddPeer{PodName: name} }
	seen := map[uint32]bool{}
	for _, changes := range [][]store.Change{
		nil, {{Pod: "a", Op: peer("x")}}, {{Pod: "a", Op: peer("y")}}, {{Pod: "b", Op: peer("x")}}, {{Pod: "a"}},
		{{Pod: "a", Op: peer("x")}, {Pod: "a", Op: peer("y")}}, {{Pod: "a", Op: peer("y")}, {Pod: "a", Op: peer("x")}},
	} {
		sum := ChangesSum(changes)
		if seen[sum] || sum != ChangesSum(changes) {
			t.Errorf("%+v: the sum %#x", changes, sum)
		}
		seen[sum] = true
	}
}

// A chunk opens under its own key and Pod only, and its sum depends on both.
func TestChunksAreBoundToTheirKeys(t *testing.T) {
	e := NewEncoder()
	history := []store.ReclaimedChild{{PodName: "a", ScopeDelegated: []store.ScopeRule{{Target: "t", Permission: "p"}}}, {PodName: "b"}}
	payload := bytes.Clone(e.Chunk(history))
	first, second := ChunkKey(1), ChunkKey(256)
	pod := NameSum([]byte("pod"))
	value := SealChunk(pod, first, payload)
	if got, ok := UnsealChunk(pod, first, value); !ok || !bytes.Equal(got, payload) {
		t.Errorf("got %x, %v", got, ok)
	}
	if _, ok := UnsealChunk(pod, second, value); ok {
		t.Error("it opens in the place of another chunk")
	}
	if _, ok := UnsealChunk(NameSum([]byte("other")), first, value); ok {
		t.Error("it opens in another Pod")
	}
	if _, ok := Unseal(pod, Reclaimed, value); ok {
		t.Error("it opens as a field")
	}
	m := &store.Metadata{}
	if err := DecodeField(m, Reclaimed, payload); err != nil || len(m.Reclaimed) != 2 || m.Reclaimed[0].ScopeDelegated[0].Target != "t" {
		t.Errorf("%+v, %v", m.Reclaimed, err)
	}
	if ChunkSum(first, value) == ChunkSum(second, value) || ChunkSum(first, value) == ChunkSum(first, SealChunk(pod, first, nil)) {
		t.Error("two chunks have one sum")
	}
	if bytes.Compare(first, second) >= 0 {
		t.Error("chunks are out of order")
	}
}
