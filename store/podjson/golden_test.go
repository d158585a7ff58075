package podjson

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"podstore/store"
)

const golden = "../../testdata/golden"

// goldenPods calls f for every golden document. want is nil where it must be
// refused.
func goldenPods(t testing.TB, f func(name string, in, want []byte)) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(golden, "in"))
	if err != nil || len(entries) == 0 {
		t.Fatalf("no golden documents: %v", err)
	}
	for _, e := range entries {
		in, err := os.ReadFile(filepath.Join(golden, "in", e.Name(), "metadata.json"))
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join(golden, "want", e.Name(), "metadata.json"))
		if err != nil {
			if _, refused := os.Stat(filepath.Join(golden, "want", e.Name(), "refused")); refused != nil {
				t.Fatalf("%s: neither wanted nor refused", e.Name())
			}
			want = nil
		}
		f(e.Name(), in, want)
	}
}

func TestGoldenDocuments(t *testing.T) {
	goldenPods(t, func(name string, in, want []byte) {
		m, err := Decode(in)
		if want == nil {
			var e *store.Error
			if !errors.Is(err, store.ErrInvalid) || !errors.As(err, &e) || e.Line == 0 || e.Column == 0 {
				t.Errorf("%s: got error %v, want one that matches ErrInvalid, with line and column", name, err)
			}
			t.Log(name, err)
			return
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		if got := Append(nil, m); string(got) != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	})
}
