package cli

import (
	"path/filepath"
	"strings"
	"testing"
)

// onTerminal runs a shell script on a terminal, with keys typed as questions come, and
// returns what the terminal got.
func onTerminal(t *testing.T, dir, script string, dialogue ...string) string {
	t.Helper()
	s := startShell(t, dir, "sh", "-c", script+"; echo [exit $?]; touch done; cat")
	seen := 0
	for i := 0; i < len(dialogue); i += 2 {
		question, answer := dialogue[i], dialogue[i+1]
		if !s.waits(func(text string) bool { return strings.Contains(text[seen:], question) }) {
			t.Fatalf("%q is not asked:\n%s", question, s.text())
		}
		seen = strings.LastIndex(s.text(), question) + len(question)
		if _, err := s.keys.WriteString(answer); err != nil {
			t.Fatal(err)
		}
	}
	if !s.types("", filepath.Join(dir, "done")) || !s.waits(func(text string) bool { return strings.Contains(text, "[exit ") }) {
		t.Fatalf("it does not end:\n%s", s.text())
	}
	return s.text()
}

// TestQuestions: on a terminal remove asks, and edit offers what can be done with a text
// that is not written.
func TestQuestions(t *testing.T) {
	// The editor takes one step after the other.
	const session = `export TMPDIR=$PWD EDITOR="sh ed.sh"; mkdir steps; echo 's=$(ls steps | head -1); . steps/$s; rm steps/$s' >ed.sh; `
	for name, test := range map[string]struct {
		script   string
		dialogue []string
		says     []string
		never    string
	}{
		"remove: yes": {"podstore-migrate remove p.db b; podstore-migrate list p.db", []string{"remove 1 Pod, 1 reference in 1 other Pod? [y/n] ", "y\n"},
			[]string{"pod a no longer has it as a peer", "remove: 1 Pod, 1 reference in 1 other Pod\r\n"}, "\nb "},
		"remove: no": {"podstore-migrate remove p.db b; code=$?; podstore-migrate list p.db; (exit $code)", []string{"? [y/n] ", "n\n"},
			[]string{"remove: 0 Pods; nothing was removed\r\n", "\nb ", "[exit 3]"}, "remove: 1"},
		"remove: return": {"podstore-migrate remove p.db b; code=$?; podstore-migrate list p.db; (exit $code)", []string{"? [y/n] ", "\n"},
			[]string{"remove: 0 Pods; nothing was removed\r\n", "\nb ", "[exit 3]"}, "remove: 1"},
		"remove: end": {"podstore-migrate remove p.db b; code=$?; podstore-migrate list p.db; (exit $code)", []string{"? [y/n] ", "\x04"},
			[]string{"remove: 0 Pods; nothing was removed\r\n", "\nb ", "[exit 3]"}, "remove: 1"},
		"remove: not asked": {"podstore-migrate remove --yes p.db b; podstore-migrate list p.db", nil,
			[]string{"remove: 1 Pod, 1 reference in 1 other Pod\r\n"}, "[y/n]"},
		"edit: again": {session + `echo 'sed -i s/peers/pers/\;s/pod_name.*a/pod/ "$1"' >steps/1; echo 'cp good.json "$1"' >steps/2; podstore-migrate edit p.db a; podstore-migrate show p.db a`,
			[]string{"[e/q] ", "e\n"}, []string{"refused ", "edited pod a: manifest\r\n", `"good"`}, "your text is in"},
		"edit: quit": {session + `echo 'echo x >"$1"' >steps/1; podstore-migrate edit p.db a`,
			[]string{"[e/q] ", "q\n"}, []string{"your text is in ", "[exit 3]"}, "edited"},
		"edit: both": {session + `echo 'podstore-migrate edit --set active=null --set note=1 p.db a; cp good.json "$1"' >steps/1; podstore-migrate edit p.db a; podstore-migrate show p.db a`,
			[]string{"take both, with your manifest", "b\n"}, []string{"conflict pod a: it was changed meanwhile, in note; nothing was written; what the store has now is in ", "edited pod a: manifest\r\n", `"good"`, `"note": 1`}, "your text is in"},
		"edit: in place of that": {session + `echo 'podstore-migrate edit --set manifest=2 p.db a; cp good.json "$1"' >steps/1; echo true >steps/2; podstore-migrate edit p.db a; podstore-migrate show p.db a`,
			[]string{"edit your text again, to write it in place of that, or quit and keep both files? [e/q] ", "e\n"}, []string{"edited pod a: manifest\r\n", `"good"`}, "your text is in"},
		"edit: keep both": {session + `echo 'podstore-migrate edit --set manifest=2 p.db a; cp good.json "$1"' >steps/1; podstore-migrate edit p.db a; podstore-migrate show p.db a`,
			[]string{"[e/q] ", "q\n"}, []string{"your text is in ", `snapshot": 2`}, "edited pod a: manifest\r\nedited"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			writeFile(t, filepath.Join(dir, "t/a/metadata.json"), `{"pod_name":"a","peers":[{"pod_name":"b"}],"resolved_manifest_snapshot":"old"}`)
			writeFile(t, filepath.Join(dir, "t/b/metadata.json"), `{"pod_name":"b"}`)
			writeFile(t, filepath.Join(dir, "good.json"), `{"pod_name":"a","peers":[{"pod_name":"b"}],"resolved_manifest_snapshot":"good"}`)
			migrate(t, exitDone, "import", filepath.Join(dir, "p.db"), filepath.Join(dir, "t"))
			text := onTerminal(t, dir, test.script, test.dialogue...)
			for _, says := range test.says {
				if !strings.Contains(text, says) {
					t.Errorf("it does not say %q:\n%s", says, text)
				}
			}
			if test.never != "" && strings.Contains(text, test.never) {
				t.Errorf("it says %q:\n%s", test.never, text)
			}
		})
	}
}
