package socketstore

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"podstore/store"
)

func TestSeenIsBounded(t *testing.T) {
	var s seen
	pod := func(name string, bytes int) *store.Metadata {
		return &store.Metadata{PodName: name, Manifest: []byte(`"` + strings.Repeat("x", bytes) + `"`)}
	}
	s.put("a", pod("a", 10), "1")
	s.put("gone", nil, absent)
	if st := s.get([]string{"gone", "a"}); st == nil || st.pods[0] != nil || st.pods[1].PodName != "a" || st.versions[1] != "1" {
		t.Errorf("it keeps %+v", st)
	}
	if st := s.get([]string{"a", "b"}); st != nil {
		t.Errorf("it gives %+v where one Pod is not kept", st)
	}
	s.put("a", pod("a", seenBytes/16), "2") // too large to be kept
	if st := s.get([]string{"a"}); st != nil {
		t.Errorf("it keeps %q in place of what is no longer so", st.versions)
	}
	for i := range 1000 {
		name := fmt.Sprint(i)
		s.put(name, pod(name, seenBytes/100), "3")
		if s.get([]string{name}) == nil {
			t.Fatal("what was put last is not kept")
		}
	}
	if s.size > seenBytes || len(s.pods) < 50 {
		t.Errorf("it keeps %d Pods of %d bytes", len(s.pods), s.size)
	}
	for name := range s.pods {
		s.forget([]string{name, "unknown"})
	}
	if s.size != 0 || len(s.pods) != 0 {
		t.Errorf("%d Pods of %d bytes are left", len(s.pods), s.size)
	}
}

// What takes memory counts.
func TestWeight(t *testing.T) {
	last := weight(&store.Metadata{})
	rules := []store.ScopeRule{{Target: "/", Permission: "read"}}
	for _, m := range []*store.Metadata{
		{Manifest: []byte("1")},
		{Peers: []store.Peer{{PodName: "p"}}},
		{Reclaimed: []store.ReclaimedChild{{PodName: "r", ScopeDelegated: rules}}},
		{Children: []store.SpawnedChild{{PodName: "c", ScopeDelegated: rules}}},
	} {
		if w := weight(m); w <= last {
			t.Errorf("%+v weighs %d, no more than %d", m, w, last)
		} else {
			last = w
		}
	}
	if weight(&store.Metadata{Extra: map[string]json.RawMessage{"k": json.RawMessage("1")}}) == 0 {
		t.Error("extra weighs nothing")
	}
}
