package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"podstore/store"
)

var update = flag.Bool("update", false, "write the golden screens anew")

// example is a model with some of everything.
func example(t *testing.T, width, height int) *model {
	t.Helper()
	id := func(s string) store.SessionID {
		session, err := store.ParseSessionID(s)
		if err != nil {
			t.Fatal(err)
		}
		return session
	}
	segment, err := store.ParseSegmentID("0197f1d3-0c45-7f10-8123-456789abcdef")
	if err != nil {
		t.Fatal(err)
	}
	coordinator := family("coordinator", "indexer", "reviewer", "builder")
	coordinator.Children[0] = store.SpawnedChild{PodName: "indexer", SocketPath: "/run/pods/indexer.sock", CallbackAddress: "/run/pods/coordinator.sock",
		ScopeDelegated: []store.ScopeRule{{Target: "/src/\x1b[2Jindex", Permission: "write", Recursive: true}}}
	coordinator.Active = store.ActiveIn(id("0197f1d3-0c44-7e01-a5b2-3456789abcde"), segment)
	coordinator.Peers = []store.Peer{{PodName: "翻訳者"}, {PodName: "nobody"}}
	coordinator.Version.Revision = store.Revision{Number: 12288, Digest: 0x3f418a5bc7a1c48a}
	indexer := family("indexer", "a b", "\x1b[31mred", "lost")
	indexer.Active = store.PendingSegment(id("0197f1d4-2e66-7a24-87d4-6789abcdef01"))
	indexer.Version.Changed = noon.Add(-3 * time.Second)
	translator := family("翻訳者")
	translator.Version = store.Version{}

	m := newModel("unix:/run/supervisor.sock", true)
	m.resize(width, height)
	m.take(store.Batch{Synced: true, Events: []store.Event{
		event(coordinator), event(indexer), event(translator), event(family("a b", "e\u0301te\u0301")), event(family("\x1b[31mred")),
		event(family("e\u0301te\u0301")), event(family("builder")), event(family(strings.Repeat("long", 60), "coordinator")),
		{Pod: "reviewer", Err: &store.Error{Op: "watch", Pod: "reviewer", Kind: store.ErrCorrupt, Err: errors.New("the value of active has a wrong checksum")}},
	}}, noon.Add(-time.Minute))
	indexer = indexer.Clone()
	indexer.Peers = []store.Peer{{PodName: "builder"}}
	builder := family("builder")
	builder.Peers = []store.Peer{{PodName: "indexer"}}
	m.take(store.Batch{Events: []store.Event{event(indexer), event(builder), event(family("scout")), {Pod: "\x1b[31mred"}}}, noon.Add(-2*time.Second))
	m.now = noon
	return m
}

// whole is coordinator as it is read.
func whole(m *model) *store.Metadata {
	w := m.pods.byName["coordinator"].meta.Clone()
	w.Manifest = json.RawMessage(`{"model":"large-2","prompt":"` + strings.Repeat("very ", 30) + `long","odd\u009b":["\u202e"]}`)
	w.Manifest = json.RawMessage(strings.NewReplacer(`\u009b`, "\u009b", `\u202e`, "\u202e").Replace(string(w.Manifest)))
	w.Reclaimed = []store.ReclaimedChild{{PodName: "first"}, {PodName: "scout", ScopeDelegated: []store.ScopeRule{{Target: "/src", Permission: "read"}}}}
	w.Extra = map[string]json.RawMessage{"labels": json.RawMessage(`["a"]`)}
	return w
}

// press presses keys, and answers what is asked.
func press(m *model, keys ...string) {
	for _, k := range keys {
		text := ""
		if len(k) == 1 {
			text = k
		}
		m.key(k, text)
		if pod, ask := m.wanted(); pod == "coordinator" {
			m.got(ask, whole(m), nil)
		} else if ask != 0 {
			m.got(ask, nil, &store.Error{Op: "read", Pod: pod, Kind: store.ErrUnavailable})
		}
	}
}

func screenText(m *model) string {
	var b strings.Builder
	for _, l := range m.screen() {
		b.WriteString(strings.TrimRight(l.text, " ") + "\n")
	}
	return b.String()
}

// TestScreens compares whole screens with testdata/screens.
func TestScreens(t *testing.T) {
	to := func(name string) []string { return []string{"/", name, "enter"} }
	screens := map[string][]string{
		"tree":     nil,
		"folded":   {"j", "left"},
		"filter":   {"/", "e", "t", "backspace", "x"},
		"filtered": {"/", "i", "n", "d", "enter"},
		"nothing":  {"/", "z", "z", "enter"},
		"detail":   append(to("coordinator"), "enter"),
		"damaged":  append(to("reviewer"), "enter"),
		"history":  append(to("coordinator"), "H"),
		"json":     append(to("coordinator"), "y", "G"),
		"changes":  {"c"},
		"help":     {"?"},
		"missing":  {"/", "l", "o", "s", "t", "enter", "enter"},
		"trail":    append(to("coordinator"), "enter", "y", "?"),
	}
	for name, keys := range screens {
		for _, size := range [][2]int{{80, 24}, {40, 24}} {
			full := fmt.Sprintf("%s-%dx%d", name, size[0], size[1])
			t.Run(full, func(t *testing.T) {
				m := example(t, size[0], size[1])
				for _, k := range keys {
					if len(k) > 2 && m.typing && k != "enter" && k != "backspace" {
						m.paste(k)
					} else {
						press(m, k)
					}
				}
				got := screenText(m)
				if lines := strings.Count(got, "\n"); lines != size[1] {
					t.Errorf("%d lines", lines)
				}
				for l := range strings.Lines(got) {
					harmless(t, strings.TrimSuffix(l, "\n"), size[0])
				}
				file := filepath.Join("testdata", "screens", full+".txt")
				if *update {
					if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if got != string(want) {
					t.Errorf("got\n%s\nwant\n%s", got, want)
				}
			})
		}
	}
}

// TestAnyKeys presses keys at random, in terminals of any size, while Pods change.
func TestAnyKeys(t *testing.T) {
	keys := []string{"up", "down", "left", "right", "space", "-", "=", "pgup", "pgdown", "ctrl+u", "ctrl+d", "ctrl+w", "home", "end", "g", "G", "j", "k", "h", "l",
		"enter", "esc", "backspace", "/", "c", "?", "y", "H", "r", "e", "x", "é"}
	rnd := rand.New(rand.NewPCG(3, 4))
	m := example(t, 80, 24)
	names := append([]string{"coordinator", "indexer"}, oddNames...)
	name := func() string { return names[rnd.IntN(len(names))] }
	for range 3000 {
		switch rnd.IntN(8) {
		case 0:
			m.resize(rnd.IntN(120), rnd.IntN(40))
		case 1:
			m.take(store.Batch{Resync: rnd.IntN(20) == 0, Synced: true, Events: []store.Event{event(family(name(), name(), name()))}}, noon)
		case 2:
			m.take(store.Batch{Events: []store.Event{{Pod: name()}}}, noon)
		default:
			press(m, keys[rnd.IntN(len(keys))])
		}
		screen := m.screen()
		if len(screen) != m.height {
			t.Fatalf("%d lines of %d", len(screen), m.height)
		}
		for _, l := range screen {
			harmless(t, l.text, m.width)
		}
	}
}

// TestCursorStays has the tree change while the cursor is on a Pod.
func TestCursorStays(t *testing.T) {
	m := newModel("x", true)
	m.take(store.Batch{Synced: true, Events: events("b:c", "c", "d")}, noon)
	press(m, "j", "j")
	m.take(store.Batch{Events: events("a:x,y", "x", "y")}, noon)
	if got := m.selected().name; got != "d" {
		t.Errorf("the cursor went from d to %s", got)
	}
	m.take(store.Batch{Events: []store.Event{{Pod: "d"}}}, noon)
	if m.selected().name == "" {
		t.Error("the cursor is nowhere")
	}
	m.resize(80, 8)
	var many []string
	for i := range 10000 {
		many = append(many, fmt.Sprintf("n%05d", i))
	}
	m.take(store.Batch{Events: events(many...)}, noon)
	press(m, "G", "/", "n", "0", "5", "0", "0", "0", "enter")
	if got := m.selected().name; got != "n05000" || m.total() != "10,005 Pods" {
		t.Errorf("the cursor is on %s of %s", got, m.total())
	}
	press(m, "esc")
	if got := m.selected().name; got != "n05000" || !strings.Contains(screenText(m), "n05003") {
		t.Errorf("the cursor is on %s in\n%s", got, screenText(m))
	}
}

// TestLateAnswer has a Pod change while it is read.
func TestLateAnswer(t *testing.T) {
	m := newModel("x", true)
	m.take(store.Batch{Synced: true, Events: events("a")}, noon)
	m.key("enter", "")
	_, first := m.wanted()
	m.take(store.Batch{Events: events("a:b")}, noon)
	_, second := m.wanted()
	if first == 0 || second == 0 || first == second {
		t.Fatalf("the questions are %d and %d", first, second)
	}
	m.got(first, family("a"), nil)
	if m.page().whole != nil {
		t.Error("an answer of before the change was taken")
	}
	m.got(second, family("a", "b"), nil)
	if m.page().whole == nil {
		t.Error("the answer was not taken")
	}
	m.take(store.Batch{Events: events("other")}, noon.Add(time.Second))
	if _, again := m.wanted(); again != 0 {
		t.Error("another Pod's change makes it read again")
	}
}

func TestLooks(t *testing.T) {
	got := render([]line{{"a", "", strong}, {"b", "", bad | cursor}, {text: "c"}}, 3)
	if want := "\x1b[1ma\x1b[m\n\x1b[31m\x1b[7mb  \x1b[m\nc"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
