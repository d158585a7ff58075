package storetest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	"podstore/store"
)

// generator draws the arguments of random operations. An edit that it draws does the
// same each time it is called.
type generator struct{ *rand.Rand }

// pool has few names, so that operations hit the same Pods.
var pool = []string{
	"agent", "a", "b", "c", "日本語", "line\nbreak", "-dash", `back\slash`, "...", "trail ",
	oddNames[len(oddNames)-1], oddNames[len(oddNames)-2], "peer-a", "worker",
}

func one[T any](g generator, list []T) T { return list[g.IntN(len(list))] }

func (g generator) name() string {
	if g.IntN(40) == 0 {
		return one(g, badNames)
	}
	return one(g, pool)
}

// names draws n names. Now and then one comes twice.
func (g generator) names(n int) []string {
	var names []string
	for _, i := range g.Perm(len(pool))[:n] {
		names = append(names, pool[i])
	}
	if g.IntN(20) == 0 {
		names[g.IntN(n)] = g.name()
	}
	return names
}

// metadata draws valid metadata that need not be in normal form.
func (g generator) metadata(name string) *store.Metadata {
	m := minimal(name)
	for field := range 6 {
		if g.IntN(2) == 0 {
			g.setField(m, field)
		}
	}
	return m
}

// setField draws one field.
func (g generator) setField(m *store.Metadata, field int) {
	switch field {
	case 0:
		m.Active = store.PendingSegment(store.SessionID{byte(g.IntN(256))})
		if g.IntN(2) == 0 {
			m.Active = store.ActiveIn(m.Active.SessionID, store.SegmentID{byte(g.IntN(256))})
		}
	case 1:
		m.Children = []store.SpawnedChild{}
		for range g.length() {
			m.Children = append(m.Children, store.SpawnedChild{
				PodName: one(g, pool), SocketPath: g.text(), ScopeDelegated: g.rules(), CallbackAddress: g.text(),
			})
		}
	case 2:
		m.Reclaimed = []store.ReclaimedChild{}
		for range g.length() {
			m.Reclaimed = append(m.Reclaimed, store.ReclaimedChild{PodName: one(g, pool), ScopeDelegated: g.rules()})
		}
	case 3:
		m.Peers = []store.Peer{}
		for range g.length() {
			m.Peers = append(m.Peers, store.Peer{PodName: one(g, pool)})
		}
	case 4:
		m.Manifest = g.json(4)
	case 5:
		m.Extra = map[string]json.RawMessage{}
		for range g.length() {
			m.Extra[g.field()] = g.json(2)
		}
	}
}

// length is mostly small.
func (g generator) length() int {
	if g.IntN(30) == 0 {
		return g.IntN(120)
	}
	return g.IntN(4)
}

func (g generator) text() string {
	switch g.IntN(8) {
	case 0:
		return ""
	case 1:
		return one(g, oddNames)
	case 2:
		return strings.Repeat("/long", g.IntN(300))
	}
	return fmt.Sprintf("/run/%d.sock", g.IntN(1000))
}

// field draws the name of an unknown field.
func (g generator) field() string {
	for {
		if name := g.text(); !store.IsFieldName(name) {
			return name
		}
	}
}

func (g generator) rules() []store.ScopeRule {
	rules := []store.ScopeRule{}
	for range g.IntN(3) {
		rules = append(rules, store.ScopeRule{Target: g.text(), Permission: one(g, []string{"read", "write", ""}), Recursive: g.IntN(2) == 0})
	}
	return rules
}

// json draws a JSON value as a person might write it.
func (g generator) json(depth int) json.RawMessage {
	var b strings.Builder
	g.value(&b, depth)
	return json.RawMessage(b.String())
}

func (g generator) value(b *strings.Builder, depth int) {
	space := func() { b.WriteString(one(g, []string{"", "", " ", "\n\t"})) }
	space()
	defer space()
	switch kind := g.IntN(6); {
	case kind == 0 && depth > 0:
		b.WriteByte('[')
		for i := range g.length() {
			if i > 0 {
				b.WriteByte(',')
			}
			g.value(b, depth-1)
		}
		b.WriteByte(']')
	case kind < 4 && depth > 0:
		b.WriteByte('{')
		for i := range g.length() {
			if i > 0 {
				b.WriteByte(',')
			}
			space()
			fmt.Fprintf(b, `"%s":`, one(g, []string{"a", "b", `\u0061`, "日本", "", `\n`, "z"}))
			g.value(b, depth-1)
		}
		space()
		b.WriteByte('}')
	case kind == 4 && g.IntN(4) == 0:
		fmt.Fprintf(b, `"%s"`, strings.Repeat("large ", g.IntN(3000)))
	default:
		b.WriteString(one(g, canonical).in)
	}
}

// perhapsSpoil now and then breaks a rule and returns the error to expect. It leaves
// metadata with a bad name alone, so that there is only one fault.
func (g generator) perhapsSpoil(m *store.Metadata) string {
	if g.IntN(12) > 0 || store.ValidateName(m.PodName) != nil {
		return ""
	}
	sp := one(g, spoiled)
	sp.spoil(m)
	return "where " + sp.what
}

// op draws an operation, now and then an invalid one, and sometimes none.
func (g generator) op() store.Op {
	m := g.metadata(one(g, pool))
	field := g.IntN(6)
	g.setField(m, field)
	child := store.SpawnedChild{PodName: g.name(), SocketPath: g.text(), ScopeDelegated: g.rules()}
	switch g.IntN(19) {
	case 0:
		g.perhapsSpoil(m)
		return store.Put{Metadata: m}
	case 1:
		return store.Delete{}
	case 2:
		return store.Remove{}
	case 3:
		return store.SetActive{Active: m.Active, Manifest: m.Manifest}
	case 4:
		return store.SetSegment{Active: m.Active}
	case 5:
		return store.SetChildren{Children: m.Children}
	case 6, 7:
		return store.AddChild{Child: child}
	case 8:
		return store.RemoveChild{PodName: child.PodName}
	case 9:
		return store.SetPeers{Peers: m.Peers}
	case 10, 11:
		return store.AddPeer{PodName: g.name()}
	case 12:
		return store.RemovePeer{PodName: g.name()}
	case 13, 14:
		return store.Reclaim{Reclaimed: append(m.Reclaimed, store.ReclaimedChild{PodName: g.name(), ScopeDelegated: g.rules()})}
	case 15:
		return store.TrimReclaimed{Keep: g.length()*2 - g.IntN(2)}
	case 16:
		if g.IntN(20) == 0 {
			return store.SetField{Field: "peers", Value: g.json(2)}
		}
		return store.SetField{Field: g.field(), Value: g.json(2)}
	case 17:
		return store.ClearField{Field: one(g, append(sortedKeys(m.Extra), "/run/1.sock"))}
	}
	return nil
}

// edit draws an edit for Update.
func (g generator) edit() (string, func(*store.Metadata) error) {
	switch drawn := g.metadata(""); g.IntN(12) {
	case 0:
		return "fail", func(m *store.Metadata) error {
			scribble(m)
			return fmt.Errorf("wrapped: %w", errEdit)
		}
	case 1:
		return "panic", func(m *store.Metadata) error {
			scribble(m)
			panic("edit")
		}
	case 2:
		return "nothing", func(*store.Metadata) error { return nil }
	case 3:
		name := one(g, append(badNames, pool...))
		return "rename", func(m *store.Metadata) error { m.PodName = name; return nil }
	case 4:
		sp := one(g, spoiled)
		return sp.what, func(m *store.Metadata) error { sp.spoil(m); return nil }
	case 5:
		return "replace", func(m *store.Metadata) error { *m = *drawn.Clone(); return nil }
	case 6:
		return "replace by an equal one", func(m *store.Metadata) error { *m = *m.Clone(); return nil }
	case 7:
		name, value := g.field(), g.json(2)
		return "set an unknown field", func(m *store.Metadata) error { setExtra(m, name, string(value)); return nil }
	default:
		field := g.IntN(6)
		g.setField(drawn, field)
		drawn = drawn.Clone()
		return fmt.Sprint("set field ", field), func(m *store.Metadata) error {
			d := drawn.Clone()
			switch field {
			case 0:
				m.Active = d.Active
			case 1:
				m.Children = d.Children
			case 2:
				m.Reclaimed = d.Reclaimed
			case 3:
				m.Peers = d.Peers
			case 4:
				m.Manifest = d.Manifest
			case 5:
				m.Extra = d.Extra
			}
			return nil
		}
	}
}

// change draws what an UpdatePods does to one of its Pods.
func (g generator) change() (string, func(pods []*store.Metadata, i int) error) {
	switch drawn := g.metadata(one(g, pool)); g.IntN(8) {
	case 0:
		return "delete", func(pods []*store.Metadata, i int) error { pods[i] = nil; return nil }
	case 1, 2:
		return "replace", func(pods []*store.Metadata, i int) error { pods[i] = drawn.Clone(); return nil }
	case 3:
		return "copy", func(pods []*store.Metadata, i int) error { pods[i] = pods[0]; return nil }
	case 4:
		return "nothing", func([]*store.Metadata, int) error { return nil }
	}
	what, edit := g.edit()
	return what, func(pods []*store.Metadata, i int) error {
		if pods[i] == nil {
			pods[i] = minimal("")
		}
		return edit(pods[i])
	}
}
