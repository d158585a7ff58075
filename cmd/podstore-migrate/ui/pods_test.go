package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"podstore/store"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// family is a Pod's metadata as a watch gives it.
func family(name string, children ...string) *store.Metadata {
	m := &store.Metadata{PodName: name, Version: store.Version{Created: noon.Add(-time.Hour), Changed: noon.Add(-time.Minute)}}
	for _, c := range children {
		m.Children = append(m.Children, store.SpawnedChild{PodName: c})
	}
	return m
}

func event(m *store.Metadata) store.Event { return store.Event{Pod: m.PodName, Metadata: m} }

// podsOf has Pods, each written as NAME or NAME:CHILD,CHILD.
func podsOf(specs ...string) *pods {
	ps := newPods()
	ps.apply(store.Batch{Resync: true, Synced: true, Events: events(specs...)}, noon)
	return ps
}

func events(specs ...string) (all []store.Event) {
	for _, s := range specs {
		name, children, _ := strings.Cut(s, ":")
		all = append(all, event(family(name, strings.FieldsFunc(children, func(r rune) bool { return r == ',' })...)))
	}
	return all
}

// drawn is a tree as text.
func drawn(rows []row) string {
	var b strings.Builder
	for _, r := range rows {
		b.WriteString(strings.Repeat(" ", r.depth) + r.name)
		if r.folds && !r.open {
			b.WriteString("+")
		}
		if r.note != "" {
			b.WriteString("(" + r.note + ")")
		}
		if r.context {
			b.WriteString("~")
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestTree(t *testing.T) {
	for name, test := range map[string]struct {
		pods   []string
		folded string
		filter string
		want   string
	}{
		"empty":                     {},
		"children keep their order": {pods: []string{"a:z,b", "b", "z", "c"}, want: "a\n z\n b\nc\n"},
		"several parents":           {pods: []string{"a:s", "b:s", "s:x", "x"}, want: "a\n s\n  x\nb\n s(see above)\n"},
		"dangling":                  {pods: []string{"a:gone"}, want: "a\n gone(no such Pod)\n"},
		"a cycle":                   {pods: []string{"a:b", "b:a"}, want: "a\n b\n  a(cycle)\n"},
		"its own child":             {pods: []string{"a:a"}, want: "a\n a(cycle)\n"},
		"below a cycle":             {pods: []string{"b:a,c", "a:b", "c:d", "d"}, want: "a\n b\n  a(cycle)\n  c\n   d\n"},
		"twice the same child":      {pods: []string{"a:b,b", "b"}, want: "a\n b\n"},
		"folded":                    {pods: []string{"a:b", "b:c", "c", "d"}, folded: "a", want: "a+\nd\n"},
		"folded with two parents":   {pods: []string{"a:s", "b:s", "s"}, folded: "a", want: "a+\nb\n s\n"},
		"a folded cycle":            {pods: []string{"a:b", "b:a"}, folded: "a", want: "a+\n"},
		"filter":                    {pods: []string{"a:b,c", "b:x1", "c", "x1", "x2"}, filter: "X", want: "a~\n b~\n  x1\nx2\n"},
		"filter opens":              {pods: []string{"a:b", "b"}, folded: "a", filter: "b", want: "a~\n b\n"},
		"filter in a cycle":         {pods: []string{"a:b", "b:a", "c"}, filter: "b", want: "a~\n b\n  a(cycle)~\n"},
		"filter, not":               {pods: []string{"a:b,c", "b", "c"}, filter: "!c", want: "a\n b\n"},
		"filter, dangling":          {pods: []string{"a:gone", "b"}, filter: "gone", want: "a~\n gone(no such Pod)\n"},
		"filter, nothing":           {pods: []string{"a"}, filter: "zz"},
		"filter, not begun":         {pods: []string{"a"}, filter: "!", want: "a\n"},
	} {
		t.Run(name, func(t *testing.T) {
			rows := podsOf(test.pods...).rows(map[string]bool{test.folded: true}, test.filter)
			if got := drawn(rows); got != test.want {
				t.Errorf("got\n%swant\n%s", got, test.want)
			}
		})
	}
}

func TestFilterFindsSessions(t *testing.T) {
	session, segment := store.NewSessionID(), store.NewSegmentID()
	m := family("a")
	m.Active = store.ActiveIn(session, segment)
	ps := newPods()
	ps.apply(store.Batch{Synced: true, Events: []store.Event{event(m), event(family("b"))}}, noon)
	for _, id := range []string{session.String(), strings.ToUpper(segment.String()[20:])} {
		if got := drawn(ps.rows(nil, id)); got != "a\n" {
			t.Errorf("%s finds\n%s", id, got)
		}
	}
}

func TestWhatChanged(t *testing.T) {
	session, segment := store.NewSessionID(), store.NewSegmentID()
	with := func(edit func(*store.Metadata)) *store.Metadata {
		m := family("p", "c")
		edit(m)
		return m
	}
	revised := func(m *store.Metadata) { m.Version.Revision = store.Revision{Number: 7, Digest: 7} }
	damage := &store.Error{Pod: "p", Kind: store.ErrCorrupt}
	for _, test := range []struct {
		want string
		from *store.Metadata
		to   store.Event
	}{
		{"new", nil, event(family("p"))},
		{"", family("p", "c"), event(family("p", "c"))},
		{"manifest/history", family("p", "c"), event(with(revised))},
		{"active", family("p", "c"), event(with(func(m *store.Metadata) { m.Active = store.PendingSegment(session) }))},
		{"not active", with(func(m *store.Metadata) { m.Active = store.PendingSegment(session) }), event(family("p", "c"))},
		{"segment", with(func(m *store.Metadata) { m.Active = store.PendingSegment(session) }), event(with(func(m *store.Metadata) { m.Active = store.ActiveIn(session, segment) }))},
		{"session", with(func(m *store.Metadata) { m.Active = store.PendingSegment(session) }), event(with(func(m *store.Metadata) { m.Active = store.PendingSegment(store.NewSessionID()) }))},
		{"child +2, child -1", family("p", "c"), event(family("p", "d", "e"))},
		{"child", family("p", "c"), event(with(func(m *store.Metadata) { m.Children[0].SocketPath = "/x" }))},
		{"peer +1", family("p", "c"), event(with(func(m *store.Metadata) { m.Peers = []store.Peer{{PodName: "q"}}; revised(m) }))},
		{"field", family("p", "c"), event(with(func(m *store.Metadata) { m.Extra = map[string]json.RawMessage{"x": json.RawMessage("1")} }))},
		{"damaged", family("p"), store.Event{Pod: "p", Err: damage}},
		{"deleted", family("p"), store.Event{Pod: "p"}},
	} {
		ps := newPods()
		first := store.Batch{Synced: true}
		if test.from != nil {
			first.Events = []store.Event{event(test.from)}
		}
		ps.apply(first, noon)
		ps.apply(store.Batch{Events: []store.Event{test.to}}, noon.Add(time.Second))
		got := ""
		if len(ps.changes) > 0 {
			got = ps.changes[0].what
		}
		if got != test.want || len(ps.changes) > 1 {
			t.Errorf("got %v, want %q", ps.changes, test.want)
		}
	}
	ps := newPods()
	ps.apply(store.Batch{Synced: true, Events: []store.Event{{Pod: "p", Err: damage}}}, noon)
	ps.apply(store.Batch{Events: []store.Event{{Pod: "p", Err: errors.New("other words")}}}, noon)
	ps.apply(store.Batch{Events: events("p")}, noon)
	if len(ps.changes) != 1 || ps.changes[0].what != "mended" || ps.damaged != 0 {
		t.Errorf("changes are %v, %d damaged", ps.changes, ps.damaged)
	}
}

// TestLists has the first list in pieces, and one that begins anew.
func TestLists(t *testing.T) {
	ps := newPods()
	ps.apply(store.Batch{Events: events("a", "b")}, noon)
	ps.apply(store.Batch{Events: events("c")}, noon)
	if ps.synced {
		t.Error("the list is not complete yet")
	}
	ps.apply(store.Batch{Synced: true}, noon)
	if got := drawn(ps.rows(nil, "")); got != "a\nb\nc\n" || len(ps.changes) > 0 {
		t.Errorf("the first list gives\n%s and changes %v", got, ps.changes)
	}
	ps.apply(store.Batch{Resync: true, Events: events("b")}, noon)
	if got := drawn(ps.rows(nil, "")); got != "a\nb\nc\n" {
		t.Errorf("a list that is not complete took something away:\n%s", got)
	}
	ps.apply(store.Batch{Synced: true, Events: events("d")}, noon)
	if got := drawn(ps.rows(nil, "")); got != "b\nd\n" {
		t.Errorf("the second list gives\n%s", got)
	}
	var what []string
	for _, c := range ps.changes {
		what = append(what, c.pod+" "+c.what)
	}
	slices.Sort(what)
	if want := []string{"a deleted", "c deleted", "d new"}; !slices.Equal(what, want) {
		t.Errorf("changes are %q, want %q", what, want)
	}
	for i := range 3 * keptChanges {
		ps.apply(store.Batch{Events: events(fmt.Sprint("n", i))}, noon)
	}
	if n := len(ps.changes); n < keptChanges || n > 2*keptChanges {
		t.Errorf("%d changes are kept", n)
	}
}

// TestLost has a damaged store from which Pods have vanished.
func TestLost(t *testing.T) {
	m := newModel("x", true)
	m.take(store.Batch{Resync: true, Synced: true, Events: append(events("a"), store.Event{Err: errors.New("the record\x1b of names has 2 more")})}, noon)
	if got := screenText(m); m.total() != "1 Pod, some lost" || !strings.Contains(got, `the record\x1b of names has 2 more`) {
		t.Errorf("%s in\n%s", m.total(), got)
	}
	m.take(store.Batch{Resync: true, Synced: true, Events: events("a")}, noon)
	if m.total() != "1 Pod" {
		t.Error(m.total())
	}
}

// TestState has what the title says of how old the data is.
func TestState(t *testing.T) {
	m := newModel("x", true)
	if got := m.state(); got != "reading" {
		t.Error(got)
	}
	m.take(store.Batch{Synced: true, Events: events("a")}, noon)
	if got := m.state(); got != "live" {
		t.Error(got)
	}
	m.now = noon.Add(store.WatchQuiet + time.Second)
	if got := m.state(); got != "live" {
		t.Errorf("after a quiet time: %s", got)
	}
	m.now = noon.Add(time.Minute)
	if got := m.state(); got != "as of 12:00:00, not live" {
		t.Errorf("when nothing is heard any more: %s", got)
	}
	m.take(store.Batch{Synced: true}, noon.Add(time.Minute))
	if got := m.state(); got != "live" {
		t.Errorf("when it is heard again: %s", got)
	}
	m.err = errors.New("lost")
	if got := m.state(); got != "as of 12:01:00, not live" {
		t.Error(got)
	}
	m.err, m.polls = nil, true
	if got := m.state(); got != "as of 12:01:00" {
		t.Error(got)
	}
}

// TestParentsAgree compares what is kept up with what a new list gives.
func TestParentsAgree(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	names := []string{"a", "b", "c", "d", "e"}
	ps := newPods()
	ps.apply(store.Batch{Synced: true}, noon)
	now := map[string]store.Event{}
	for range 2000 {
		e := store.Event{Pod: names[rnd.IntN(len(names))]}
		if delete(now, e.Pod); rnd.IntN(4) > 0 {
			e = event(family(e.Pod, names[rnd.IntN(5)], names[rnd.IntN(5)]))
			now[e.Pod] = e
		}
		ps.apply(store.Batch{Events: []store.Event{e}}, noon)
		fresh := newPods()
		b := store.Batch{Synced: true}
		for _, e := range now {
			b.Events = append(b.Events, e)
		}
		fresh.apply(b, noon)
		if !reflect.DeepEqual(ps.parents, fresh.parents) || !slices.Equal(ps.names, fresh.names) {
			t.Fatalf("parents are %v, want %v; names %v, want %v", ps.parents, fresh.parents, ps.names, fresh.names)
		}
		// Every Pod has one row of its own.
		own := map[string]int{}
		for _, r := range ps.rows(nil, "") {
			if r.note == "" {
				own[r.name]++
			}
		}
		for _, name := range ps.names {
			if own[name] != 1 {
				t.Fatalf("%s has %d rows in\n%s", name, own[name], drawn(ps.rows(nil, "")))
			}
		}
	}
}

func BenchmarkTakeOneOf10000(b *testing.B) {
	m := newModel("bench", true)
	var specs []string
	for i := range 10000 {
		spec := fmt.Sprintf("pod-%05d:", i)
		for j := i*5 + 1; j < min(i*5+6, 10000); j++ {
			spec += fmt.Sprintf("pod-%05d,", j)
		}
		specs = append(specs, spec)
	}
	m.take(store.Batch{Synced: true, Events: events(specs...)}, noon)
	for b.Loop() {
		m.take(store.Batch{Events: events("pod-00003:")}, noon)
		m.screen()
	}
}
