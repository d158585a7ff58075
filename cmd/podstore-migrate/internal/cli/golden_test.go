package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const goldenDir = "../../../../testdata/golden"

// migrate runs a command line in this process and returns what it wrote.
func migrate(t *testing.T, wantExit int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if code := newConsole(&out, &errs).execute(context.Background(), args); code != wantExit {
		t.Fatalf("%q: exit code %d, want %d\n%s%s", args, code, wantExit, &out, &errs)
	}
	return out.String(), errs.String()
}

// refusals are the lines on standard error that refuse a Pod, by Pod.
func refusals(t *testing.T, dir, stderr string) map[string]string {
	t.Helper()
	line := regexp.MustCompile(`^refused ` + regexp.QuoteMeta(dir) + `/([^/]+)/metadata\.json:[1-9][0-9]*:[1-9][0-9]*: .+$`)
	found := make(map[string]string)
	for text := range strings.Lines(stderr) {
		text = strings.TrimSuffix(text, "\n")
		if m := line.FindStringSubmatch(text); m != nil {
			found[m[1]] = text
		} else if !strings.HasPrefix(text, "import: ") {
			t.Errorf("unexpected line %q", text)
		}
	}
	return found
}

// TestGoldenTree imports every golden document: what is accepted comes out as
// serde_json prints it, what is not is named with path, line and column.
func TestGoldenTree(t *testing.T) {
	in, want := filepath.Join(goldenDir, "in"), filepath.Join(goldenDir, "want")
	db, out := filepath.Join(t.TempDir(), "pods.db"), filepath.Join(t.TempDir(), "out")
	_, stderr := migrate(t, exitPartial, "import", db, in)
	refused := refusals(t, in, stderr)
	migrate(t, exitDone, "export", db, out)
	entries, err := os.ReadDir(want)
	if err != nil || len(entries) == 0 {
		t.Fatalf("no golden documents: %v", err)
	}
	for _, e := range entries {
		file := filepath.Join(e.Name(), "metadata.json")
		wanted, err := os.ReadFile(filepath.Join(want, file))
		got, gotErr := os.ReadFile(filepath.Join(out, file))
		switch {
		case err != nil:
			if refused[e.Name()] == "" || gotErr == nil {
				t.Errorf("%s is not refused", e.Name())
			}
		case refused[e.Name()] != "":
			t.Error(refused[e.Name()])
		case !bytes.Equal(got, wanted):
			t.Errorf("%s: got\n%s\nwant\n%s", e.Name(), got, wanted)
		}
	}
	migrate(t, exitDone, "verify", db, out)
}

// goldenValue is one line of values.jsonl.
type goldenValue struct {
	In       []byte `json:"in_b64"`
	Accepted bool   `json:"accepted"`
	Pretty   string `json:"pretty"`
}

// TestGoldenValues imports every golden value as a manifest.
func TestGoldenValues(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(goldenDir, "values.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	tree := t.TempDir()
	values := make(map[string]goldenValue)
	for line := range bytes.Lines(data) {
		var v goldenValue
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("value-%03d", len(values))
		values[name] = v
		doc := fmt.Sprintf(`{"pod_name":%q,"resolved_manifest_snapshot":%s}`, name, v.In)
		writeFile(t, filepath.Join(tree, name, "metadata.json"), doc)
	}
	db, out := filepath.Join(t.TempDir(), "pods.db"), filepath.Join(t.TempDir(), "out")
	_, stderr := migrate(t, exitPartial, "import", db, tree)
	refused := refusals(t, tree, stderr)
	migrate(t, exitDone, "export", db, out)
	for name, v := range values {
		if !v.Accepted {
			if refused[name] == "" {
				t.Errorf("%s: %q is not refused", name, v.In)
			}
			continue
		}
		want := fmt.Sprintf("{\n  \"pod_name\": %q,\n  \"resolved_manifest_snapshot\": %s\n}", name, strings.ReplaceAll(v.Pretty, "\n", "\n  "))
		if v.Pretty == "null" {
			want = fmt.Sprintf("{\n  \"pod_name\": %q\n}", name)
		}
		got, err := os.ReadFile(filepath.Join(out, name, "metadata.json"))
		if err != nil || string(got) != want {
			t.Errorf("%s: %q\ngot  %s (%v)\nwant %s", name, v.In, got, err, want)
		}
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
