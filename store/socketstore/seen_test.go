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
	of := func(name string, bytes int) *pod {
		return &pod{m: &store.Metadata{PodName: name, Manifest: []byte(`"` + strings.Repeat("x", bytes) + `"`)}, version: "1"}
	}
	first := of("a", 10)
	s.put("a", first, false)
	s.put("gone", nobody, true)
	if pods, contended := s.get([]string{"gone", "a"}); pods == nil || pods[0] != nobody || pods[1] != first || !contended {
		t.Errorf("it keeps %+v, contended: %t", pods, contended)
	}
	if _, contended := s.get([]string{"a"}); contended {
		t.Error("a Pod is contended because another one is")
	}
	if st, _ := s.get([]string{"a", "b"}); st != nil {
		t.Errorf("it gives %+v where one Pod is not kept", st)
	}
	s.put("a", of("a", seenBytes/16), false) // too large to be kept
	if st, _ := s.get([]string{"a"}); st != nil {
		t.Errorf("it keeps %+v in place of what is no longer so", st)
	}
	for i := range 1000 {
		name := fmt.Sprint(i)
		s.put(name, of(name, seenBytes/100), false)
		if s.of(name) == nil {
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
