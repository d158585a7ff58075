package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"podstore/store"
	"podstore/store/boltstore"
	"podstore/store/memstore"
)

// oddNames are names of Pods that shells, terminals and columns may stumble over.
// Each begins with two digits of its own, so that these select it.
var oddNames = func() []string {
	odd := []string{
		"k$(touch ran)", "`touch ran`", "'; touch ran; '", `"; touch ran; "`, "${HOME}", "$HOME", "a b  c", "new\nline", "touch ran\ntouch ran",
		"\x1b]0;PWNED\x07\x1b[31mred", "tab\there", "עברית", "bidi\u202etxt\u2066", "e\u0301\u0301combining", "\u200bzero", "\u009b31mC1\x7f",
		`back\slash\n`, "!!;!1", "*?[a-z]{1,2}~#", "a:b=c@d|e&f>g<h(i)", "日本語🙂", "-dash", "%s%n\r", "\xc2\xadsoft", "a'b\"c`d$e\\f",
	}
	for i := range odd {
		odd[i] = fmt.Sprintf("%02d%s", i, odd[i])
	}
	long := fmt.Sprintf("%02d", len(odd))
	return append(odd, long+strings.Repeat("ü", (store.MaxNameLen-len(long))/2))
}()

// oddDatabase makes a database of Pods of these names.
func oddDatabase(t *testing.T, path string, names []string) {
	t.Helper()
	s, err := boltstore.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := store.Write(t.Context(), s, &store.Metadata{PodName: name}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// oddStarts are names that are odd from the first character on.
var oddStarts = []string{
	"$(touch ran)", "`touch ran`", "; touch ran", "\x1b[2J", "\nline", "\u202ebidi", "עברית", "\u0301mark", "\u3164", "\ufe0f", "-n", "--yes", "'", `"`, `\`, "*", "~", "!x", " ", "=", "%s", "etcd:x", "dir:x",
}

// says runs a command line as on a terminal, or not, and returns what it printed. Nothing
// of it may be what a terminal acts upon.
func says(t *testing.T, terminal bool, wantExit int, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	c := newConsole(&out, &errs)
	c.terminal = terminal
	if code := c.execute(context.Background(), args); code != wantExit {
		t.Fatalf("%q: exit code %d\n%s%s", args, code, &out, &errs)
	}
	for _, text := range []string{out.String(), errs.String()} {
		for _, r := range text {
			if !visible(r) && r != '\n' && (r != '\t' || terminal) {
				t.Fatalf("%q prints %q:\n%q", args, r, text)
			}
		}
	}
	return out.String() + errs.String()
}

// oddStore makes a database of odd Pods that refer to each other.
func oddStore(t *testing.T, path string) (names []string) {
	t.Helper()
	names = append(slices.Clone(oddNames), oddStarts...)
	oddDatabase(t, path, names)
	s, err := boltstore.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i, name := range names {
		next := names[(i+1)%len(names)]
		ops := []store.Op{store.AddPeer{PodName: next}, store.AddChild{Child: store.SpawnedChild{PodName: next, SocketPath: "/run/" + next}}}
		if err := store.Do(t.Context(), s, name, ops...); err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// TestOddNamesAreMended has edit, remove, prune and watch meet each of the odd names.
func TestOddNamesAreMended(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	db := filepath.Join(dir, "p.db")
	names := oddStore(t, db)
	t.Setenv("TMPDIR", dir)
	t.Setenv("VISUAL", "")
	t.Setenv("EDITOR", `printf '%s\n' "$#" >>seen; LC_ALL=C sed -i 's/^{/{"edited": 1,/'`)
	for i, name := range names {
		terminal := i%2 == 0
		says(t, terminal, exitDone, "edit", "--set", "note=1", "--", db, name)
		says(t, terminal, exitDone, "edit", "--", db, name)
		var m struct {
			Name   string `json:"pod_name"`
			Note   int    `json:"note"`
			Edited int    `json:"edited"`
		}
		if text := says(t, true, exitDone, "show", "--", db, name); json.Unmarshal([]byte(text), &m) != nil || m.Name != name || m.Note != 1 || m.Edited != 1 {
			t.Errorf("edit %q: %s", name, text)
		}
		text := says(t, terminal, exitDone, "remove", "--dry-run", "--", db, name)
		if want := "pod " + quoteName(name) + ", changed "; !strings.HasPrefix(text, want) || strings.Count(text, "\n") < 6 {
			t.Errorf("remove %q prints %q", name, text)
		}
		var line struct{ Pod string }
		if text, _, _ := strings.Cut(says(t, terminal, exitDone, "remove", "--json", "--dry-run", "--", db, name), "\n"); json.Unmarshal([]byte(text), &line) != nil || line.Pod != name {
			t.Errorf("remove --json %q: %s", name, text)
		}
		says(t, terminal, exitPartial, "edit", "--set", "peers=1", "--", db, name)
		says(t, terminal, exitPartial, "edit", "--revision", "1-0000000000000000", "--set", "peers=[]", "--", db, name)
	}
	if seen, err := os.ReadFile("seen"); err != nil || strings.ReplaceAll(string(seen), "1\n", "") != "" {
		t.Errorf("the editor was given more than the file: %q, %v", seen, err)
	}
	for _, terminal := range []bool{true, false} {
		says(t, terminal, exitDone, "list", db)
		says(t, terminal, exitDone, "tree", "--reclaimed", db)
		says(t, terminal, exitDone, "remove", "--dry-run", "--", db, names[0], names[1], "no\x1bbody")
	}
	// Half of them go; what referred to them is mended.
	half := names[:len(names)/2]
	says(t, true, exitDone, slices.Concat([]string{"remove", "--", db}, half)...)
	if text := says(t, true, exitDone, "check", db); strings.Contains(text, "missing") {
		t.Error(text)
	}
	for _, name := range names[len(names)/2:] {
		says(t, true, exitDone, "edit", "--set", "children=null", "--", db, name)
	}
	time.Sleep(2 * time.Millisecond)
	left := len(names) - len(half)
	if text := says(t, true, exitDone, "prune", "--older-than", "1ms", db); strings.Count(text, "\n") != left+1 {
		t.Errorf("prune prints\n%s", text)
	}
	says(t, true, exitDone, "prune", "--older-than", "1ms", "--json", db)
	if text := says(t, true, exitDone, "prune", "--older-than", "1ms", "--yes", db); strings.Count(text, "\n") != left+1 || says(t, true, exitDone, "list", db) != "" {
		t.Errorf("prune prints\n%s", text)
	}
	if ran, _ := filepath.Glob("ran*"); len(ran) > 0 {
		t.Error("a part of a name was run")
	}
}

// TestOddNamesAreWatched prints each on a line of its own.
func TestOddNamesAreWatched(t *testing.T) {
	for _, args := range [][]string{{}, {"--json"}, {"--list"}} {
		s := memstore.New()
		out, errs, end := watches(t, s, true, args...)
		if slices.Contains(args, "--json") {
			out.waitFor(t, `"type":"synced"`)
		} else {
			errs.waitFor(t, "watching ")
		}
		names := append(slices.Clone(oddNames), oddStarts...)
		for _, name := range names {
			change(t, s, name, store.AddPeer{PodName: name})
		}
		change(t, s, "zzz-last", store.AddPeer{PodName: "x"})
		out.waitFor(t, "zzz-last")
		end()
		for _, r := range out.String() {
			if !visible(r) && r != '\n' {
				t.Errorf("%q: it prints %q", args, r)
			}
		}
		if n := strings.Count(out.String(), "\n"); n < len(names)+1 {
			t.Errorf("%q: %d lines of %d Pods", args, n, len(names))
		}
	}
}

// TestNamesThatLookLikeLess: what stands before a name is not changed by it, and a name
// that shows nothing is still seen.
func TestNamesThatLookLikeLess(t *testing.T) {
	for name, want := range map[string]string{
		"\u0301mark": `"\u0301mark"`, "\u3164": `"\u3164"`, "x\ufe0f": `"x\ufe0f"`, "e\u0301": "e\u0301", "日本語": "日本語", "": `""`, "\u0301 \"": `"\u0301 \""`,
	} {
		if got := quoteName(name); got != want {
			t.Errorf("%+q is written %s, want %s", name, got, want)
		}
	}
}
