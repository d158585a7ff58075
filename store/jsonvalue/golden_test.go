package jsonvalue

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"testing"
)

const goldenDir = "../../testdata/golden"

// What serde_json accepts and how it prints it, as recorded from serde_json.
func TestGoldenValues(t *testing.T) {
	f, err := os.Open(goldenDir + "/values.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	var accepted, refused int
	for lines.Scan() {
		var v struct {
			In       []byte `json:"in_b64"`
			Accepted bool
			Pretty   string
			Reason   string
		}
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		out, err := AppendCanonical(nil, v.In, MaxDepth)
		if !v.Accepted {
			refused++
			if err == nil {
				t.Errorf("accepted %q as %q; serde_json says %s", v.In, out, v.Reason)
			}
			if out != nil {
				t.Errorf("%q: refused, yet the result is %q", v.In, out)
			}
			continue
		}
		accepted++
		if err != nil {
			t.Errorf("refused %q: %v", v.In, err)
			continue
		}
		if got := string(AppendIndent(nil, out, 0)); got != v.Pretty {
			t.Errorf("%q\n got %q\nwant %q", v.In, got, v.Pretty)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if accepted == 0 || refused == 0 {
		t.Fatalf("%d accepted, %d refused: the golden file is not what it was", accepted, refused)
	}
}

// The files under want are canonical but for the order of the top-level
// fields, which is not alphabetical: their manifests are the test.
func TestGoldenManifests(t *testing.T) {
	entries, err := os.ReadDir(goldenDir + "/want")
	if err != nil {
		t.Fatal(err)
	}
	tested := 0
	for _, e := range entries {
		want, err := os.ReadFile(goldenDir + "/want/" + e.Name() + "/metadata.json")
		if os.IsNotExist(err) {
			continue // refused
		}
		if err != nil {
			t.Fatal(err)
		}
		in, err := os.ReadFile(goldenDir + "/in/" + e.Name() + "/metadata.json")
		if err != nil {
			t.Fatal(err)
		}
		manifest := func(doc []byte) []byte {
			s := NewScanner(doc)
			var out []byte
			s.EnterObject()
			for s.NextKey() {
				value := s.AppendValue(nil)
				if string(s.Key()) == "resolved_manifest_snapshot" {
					out = value
				}
			}
			if err := s.End(); err != nil {
				t.Fatalf("%s: %v", e.Name(), err)
			}
			return out
		}
		got := manifest(in)
		if string(got) == "null" {
			continue // left out on output
		}
		if !bytes.Equal(got, manifest(want)) {
			t.Errorf("%s: %s became %s", e.Name(), in, got)
		}
		if !bytes.Contains(want, AppendIndent(nil, got, 1)) {
			t.Errorf("%s: pretty manifest differs:\n%s", e.Name(), AppendIndent(nil, got, 1))
		}
		if len(got) > 0 {
			tested++
		}
	}
	if tested == 0 {
		t.Fatal("no manifest tested")
	}
}
